"""HRNet with 3-D ViT cells (attention between windows): Table 2, 27,478,402 parameters, PSNR 51.75, SSIM 0.626.

python launch/train.py --config=configs/hrnet_vit3d.py --workdir=runs/hrnet_vit3d     # the paper's sizes, for accelerators
python launch/train.py --config=configs/hrnet_vit3d.py:quick                          # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(cells="V3" * 3, mixer_ratio=0.0)
    return config
