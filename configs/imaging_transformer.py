"""The network of the released weights (Imaging Transformer): cells of attention in time, in windows and across them, turn by turn.

python launch/train.py --config=configs/imaging_transformer.py:small --workdir=runs/imaging_transformer     # 27,701,329 parameters
python launch/train.py --config=configs/imaging_transformer.py:medium      # 55,110,688
python launch/train.py --config=configs/imaging_transformer.py:large       # 109,929,406
python launch/train.py --config=configs/imaging_transformer.py:quick       # minutes on 2 CPU cores

Not a row of Table 2. `snraware import-weights` reads the released files.
"""

from ml_collections import ConfigDict

from configs import base

TIMES = {"small": 1, "medium": 2, "large": 4, "quick": 1}


def get_config(size: str = "small") -> ConfigDict:
    if size not in TIMES:
        raise ValueError(f"size {size!r} does not exist: write imaging_transformer.py:small, :medium, :large or :quick")
    config = base.get_config("quick" if size == "quick" else "paper")
    config.model.update(cells="T1L1G1" * TIMES[size], relative_bias=True)
    return config
