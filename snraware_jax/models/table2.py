"""The networks of the paper's Table 2 by name.

python -m snraware_jax.models.table2     prints name,parameters of each
"""

import math

import jax
from flax import nnx

from snraware_jax.models import ModelSettings, build

NETWORKS = {
    "hrnet_cnnt_large": ModelSettings(cells="T1" * 6),
    "hrnet_cnnt": ModelSettings(cells="T1" * 3),
    "hrnet_conv3d": ModelSettings(cells="C3" * 3, mixer_ratio=0.0),
    "hrnet_conv2d": ModelSettings(cells="C2" * 3, mixer_ratio=0.0),
}


def parameters(name_or_settings: str | ModelSettings) -> int:
    """How many parameters a network has, without allocating them."""
    model = nnx.eval_shape(lambda: build(name_or_settings))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model)))


if __name__ == "__main__":
    for name in NETWORKS:
        print(f"{name},{parameters(name)}")
