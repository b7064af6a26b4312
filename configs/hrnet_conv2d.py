"""HRNet with 2-D convolution cells: Table 2, 20,382,865 parameters, PSNR 46.67, SSIM 0.468.

python launch/train.py --config=configs/hrnet_conv2d.py --workdir=runs/hrnet_conv2d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/hrnet_conv2d.py:quick                           # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(cells="C2" * 3, mixer_ratio=0.0)
    return config
