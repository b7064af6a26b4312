"""HRNet with CNNT cells on the noise and the augmentation of the authors' public code; the losses are still the paper's.

    python launch/train.py --config=configs/upstream.py --workdir=runs/upstream
    python launch/train.py --config=configs/upstream.py:quick                      # minutes on 2 CPU cores

docs/noise.md lists what differs from the paper.
"""

from dataclasses import asdict

from ml_collections import ConfigDict

from configs import hrnet_cnnt
from snraware_jax.noise import PRESETS


def get_config(size: str = "paper") -> ConfigDict:
    config = hrnet_cnnt.get_config(size)
    config.data.augmentation = "upstream"
    config.noise.update(asdict(PRESETS["upstream"]))
    return config
