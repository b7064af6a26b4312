"""A small network for small budgets, not one of the paper's: a half-resolution stack that steers a bank of smoothing filters.

    python launch/train.py --config=configs/laptop.py --workdir=runs/laptop              # 4 minutes on 2 CPU cores
    python launch/train.py --config=configs/laptop.py:long --workdir=runs/laptop-long    # half an hour
    python launch/train.py --config=configs/laptop.py:magnitude --workdir=runs/magnitude # the same for magnitudes

96 thousand parameters; no norm and no attention, so it takes series of any size in one pass.
"""

from ml_collections import ConfigDict

from configs import base

SIZES = ("short", "long", "magnitude")


def get_config(size: str = "short") -> ConfigDict:
    if size not in SIZES:
        raise ValueError(f"size {size!r} does not exist: write laptop.py or one of laptop.py:{', laptop.py:'.join(SIZES)}")
    config = base.get_config("quick")
    config.model.update(backbone="stack", cells="", channels=32, levels=1, heads=1, norm="none", head="filter_bank")
    config.evaluation.update(tile=(0, 0, 0), overlap=(0, 0, 0))
    config.data.patch = (8, 32, 32)
    config.data.simulation.subjects = (48, 4, 4)
    config.train.update(steps=800, evaluate_every=200, checkpoint_every=200)
    if size != "short":
        config.data.simulation.subjects = (600, 8, 32)
        config.train.update(steps=3000, evaluate_every=600, checkpoint_every=600)
    if size == "magnitude":
        config.model.input = "magnitude_g"
    return config
