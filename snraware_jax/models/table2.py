"""The networks of the paper's Table 2 by name.

python -m snraware_jax.models.table2     prints name,parameters of each
"""

import argparse
import math
from dataclasses import replace

import jax
from flax import nnx

from snraware_jax.models import ModelSettings, build

CNNT = ModelSettings()
NO_MIXER = ModelSettings(mixer_ratio=0.0)
BY_CELLS = {
    "cnnt_large": replace(CNNT, cells="T1" * 6),
    "cnnt": replace(CNNT, cells="T1" * 3),
    "swin3d": replace(NO_MIXER, cells="S3Sh" * 3),
    "vit3d": replace(NO_MIXER, cells="V3" * 3),
    "conv3d": replace(NO_MIXER, cells="C3" * 3),
    "vit2d": replace(NO_MIXER, cells="V2" * 3),
    "conv2d": replace(NO_MIXER, cells="C2" * 3),
}
NETWORKS = {
    f"{backbone}_{name}": replace(settings, backbone=backbone)
    for backbone in ("hrnet", "unet")
    for name, settings in BY_CELLS.items()
}
RELEASED = {
    f"imaging_transformer_{size}": ModelSettings(cells="T1L1G1" * times, relative_bias=True)
    for size, times in (("small", 1), ("medium", 2), ("large", 4))
}


def parameters(name_or_settings: str | ModelSettings) -> int:
    """How many parameters a network has, without allocating them."""
    model = nnx.eval_shape(lambda: build(name_or_settings))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model)))


if __name__ == "__main__":
    argparse.ArgumentParser(description="Prints name,parameters of the paper's networks and of the released ones.").parse_args()
    for name in NETWORKS | RELEASED:
        print(f"{name},{parameters(name)}")
