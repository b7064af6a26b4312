"""UNet with 2-D ViT cells (attention between the windows of a frame): Table 2, 15,487,362 parameters, PSNR 46.53, SSIM 0.469.

python launch/train.py --config=configs/unet_vit2d.py --workdir=runs/unet_vit2d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/unet_vit2d.py:quick                         # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(backbone="unet", cells="V2" * 3, mixer_ratio=0.0)
    return config
