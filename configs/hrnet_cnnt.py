"""HRNet with CNNT cells, the paper's second-best model (Table 2: 27.5 M parameters, PSNR 54.14, SSIM 0.676).

python launch/train.py --config=configs/hrnet_cnnt.py --workdir=runs/hrnet_cnnt      # the paper's settings, for accelerators
python launch/train.py --config=configs/hrnet_cnnt.py:quick                          # minutes on 2 CPU cores
python launch/train.py --config=configs/hrnet_cnnt.py:small --workdir=runs/small     # an hour: beats TV-3D on the real cine
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "paper") -> ConfigDict:
    config = base.get_config("quick" if size == "small" else size)
    config.model.backbone = "hrnet"
    config.model.cells = "T1T1T1"
    if size == "small":
        config.model.head = "filter_bank"
        config.batch_size = 4
        config.data.patch = (8, 32, 32)
        config.data.simulation.subjects = (600, 8, 8)
        config.train.update(steps=4800, evaluate_every=600, checkpoint_every=600)
        config.evaluation.update(tile=(16, 32, 32), overlap=(8, 8, 8))
    return config
