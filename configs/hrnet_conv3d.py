"""HRNet with 3-D convolution cells: Table 2, 22,815,889 parameters, PSNR 50.74, SSIM 0.601.

python launch/train.py --config=configs/hrnet_conv3d.py --workdir=runs/hrnet_conv3d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/hrnet_conv3d.py:quick                           # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(cells="C3" * 3, mixer_ratio=0.0)
    return config
