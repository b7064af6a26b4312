"""UNet with CNNT cells, twice as many (attention between frames): Table 2, 48,880,416 parameters, PSNR 54.70, SSIM 0.698.

python launch/train.py --config=configs/unet_cnnt_large.py --workdir=runs/unet_cnnt_large     # the paper's sizes, for accelerators
python launch/train.py --config=configs/unet_cnnt_large.py:quick                              # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(backbone="unet", cells="T1" * 6)
    return config
