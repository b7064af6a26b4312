"""UNet with 3-D ViT cells (attention between windows): Table 2, 25,661,826 parameters, PSNR 51.25, SSIM 0.620.

python launch/train.py --config=configs/unet_vit3d.py --workdir=runs/unet_vit3d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/unet_vit3d.py:quick                         # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(backbone="unet", cells="V3" * 3, mixer_ratio=0.0)
    return config
