"""HRNet with CNNT cells, twice as many (attention between frames): Table 2, 54,678,304 parameters, PSNR 54.90, SSIM 0.705.

python launch/train.py --config=configs/hrnet_cnnt_large.py --workdir=runs/hrnet_cnnt_large     # the paper's sizes, for accelerators
python launch/train.py --config=configs/hrnet_cnnt_large.py:quick                               # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.update(cells="T1" * 6)
    return config
