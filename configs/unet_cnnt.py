"""UNet with CNNT cells (attention between frames): Table 2, 25,226,193 parameters, PSNR 54.09, SSIM 0.674.

python launch/train.py --config=configs/unet_cnnt.py --workdir=runs/unet_cnnt     # the paper's sizes, for accelerators
python launch/train.py --config=configs/unet_cnnt.py:quick                        # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(backbone="unet", cells="T1" * 3)
    return config
