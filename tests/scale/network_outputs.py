"""Outputs of every kind of cell on one device and on eight: `python -m tests.scale.network_outputs OUT.npz`.

To be started with XLA_FLAGS=--xla_force_host_platform_device_count=8.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snraware_jax.models import ModelSettings, build
from snraware_jax.training import mesh

BATCH, PATCH = 8, (3, 8, 8)
CELLS = {"unet": "T1L1V2,V3S3Sh", "hrnet": "G1C2C3"}


def outputs(backbone: str) -> dict[str, np.ndarray]:
    """Of inference and training, on 1 device, on 8 and on 8 again: `[B, T, H, W, 2]` each."""
    settings = ModelSettings(
        backbone=backbone, cells=CELLS[backbone], channels=4, levels=1, heads=2, window_heads=4, window=(2, 4, 4),
        window_patch=(2, 2), mixer_ratio=0.0, patch=PATCH, gates=backbone == "unet", relative_bias=True, stochastic_depth=0.3,
    )  # fmt: skip
    graphdef, params = nnx.split(build(settings))
    noisy = jax.random.normal(jax.random.key(0), (BATCH, *PATCH, 2))
    x = jnp.concatenate([noisy, jnp.ones((BATCH, *PATCH, 1))], axis=-1)
    keys = jax.random.split(jax.random.key(1), BATCH)

    @jax.jit
    def both(params, x, keys):
        network = nnx.merge(graphdef, params)
        return network(x), network(x, keys)

    found = {}
    for name, devices in (("1", 1), ("8", 8), ("again", 8)):
        over = mesh.make_mesh(devices=jax.devices()[:devices])
        placed = jax.device_put(params, mesh.replicated(over)), jax.device_put(x, mesh.batch_sharding(over))
        for mode, output in zip(
            ("inference", "training"), both(*placed, jax.device_put(keys, mesh.batch_sharding(over))), strict=True
        ):
            found[f"{backbone}-{mode}-{name}"] = np.asarray(output)
    return found


if __name__ == "__main__":
    np.savez(sys.argv[1], **{name: output for backbone in CELLS for name, output in outputs(backbone).items()})
