"""A small network for small budgets, not one of the paper's: a half-resolution stack that steers a bank of smoothing filters.

    python launch/train.py --config=configs/laptop.py --workdir=runs/laptop              # 8 minutes on 2 CPU cores

96 thousand parameters; no norm and no attention, so it takes series of any size in one pass.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config("quick")
    config.model.update(backbone="stack", cells="", channels=32, levels=1, heads=1, norm="none", head="filter_bank")
    config.evaluation.update(tile=(0, 0, 0), overlap=(0, 0, 0))
    config.data.patch = (8, 32, 32)
    config.data.simulation.subjects = (48, 4, 4)
    config.train.update(steps=800, evaluate_every=200, checkpoint_every=200)
    return config
