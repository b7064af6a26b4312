"""The networks: `build("hrnet_cnnt")` or `build(ModelSettings(...))`.

Every network is called as `model(x, keys=None)`: `[B, T, H, W, 3]` (real, imaginary, g-map, SNR units) -> `[B, T, H, W, 2]`.
In training each sample has a random key, `keys` `[B]`; without them nothing is random.
"""

from snraware_jax.models.building import DTYPES, build
from snraware_jax.models.settings import ModelSettings

__all__ = ["DTYPES", "ModelSettings", "build"]
