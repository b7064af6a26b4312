"""UNet with 2-D convolution cells: Table 2, 16,206,993 parameters, PSNR 47.43, SSIM 0.497.

python launch/train.py --config=configs/unet_conv2d.py --workdir=runs/unet_conv2d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/unet_conv2d.py:quick                          # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(backbone="unet", cells="C2" * 3, mixer_ratio=0.0)
    return config
