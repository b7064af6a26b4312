"""UNet with 3-D Swin cells (attention in windows, every other time shifted): Table 2, 49,309,314 parameters, PSNR 51.59, SSIM 0.628.

python launch/train.py --config=configs/unet_swin3d.py --workdir=runs/unet_swin3d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/unet_swin3d.py:quick                          # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(backbone="unet", cells="S3Sh" * 3, mixer_ratio=0.0)
    if (
        size == "quick"
    ):  # a token is a pixel, whose cosines would be 1 or -1 if heads had one channel; a quarter of the products
        config.model.update(window=(8, 4, 4), window_heads=2)
    return config
