"""HRNet with CNNT cells on noise, augmentation and losses of the authors' public code.

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
    config.optimizer.cycle_momentum = config.optimizer.name == "sign_momentum"
    with config.unlocked():
        config.loss = ConfigDict({"mse": 1.0, "perpendicular": 1.0, "charbonnier": 1.0, "gaussian3d": 1.0, "perceptual": 1.0})
    return config
