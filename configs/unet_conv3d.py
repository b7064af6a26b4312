"""UNet with 3-D convolution cells: Table 2, 18,787,473 parameters, PSNR 51.79, SSIM 0.623.

python launch/train.py --config=configs/unet_conv3d.py --workdir=runs/unet_conv3d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/unet_conv3d.py:quick                          # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(backbone="unet", cells="C3" * 3, mixer_ratio=0.0)
    return config
