"""HRNet with CNNT cells, the paper's second-best model (Table 2: 27.5 M parameters, PSNR 54.14, SSIM 0.676).

python launch/train.py --config=configs/hrnet_cnnt.py --workdir=runs/hrnet_cnnt      # the paper's settings, for accelerators
python launch/train.py --config=configs/hrnet_cnnt.py:quick                          # minutes on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config(size)
    config.model.backbone = "hrnet"
    config.model.cells = "T1T1T1"
    return config
