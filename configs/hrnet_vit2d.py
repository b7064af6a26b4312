"""HRNet with 2-D ViT cells (attention between the windows of a frame): Table 2, 17,746,306 parameters, PSNR 46.96, SSIM 0.477.

python launch/train.py --config=configs/hrnet_vit2d.py --workdir=runs/hrnet_vit2d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/hrnet_vit2d.py:quick                          # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(cells="V2" * 3, mixer_ratio=0.0)
    return config
