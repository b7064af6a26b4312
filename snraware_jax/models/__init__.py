"""The networks: `build("hrnet_cnnt")` or `build(ModelSettings(...))`.

Every network is called as `model(x, key=None)`: `[B, T, H, W, 3]` (real, imaginary, g-map, SNR units) -> `[B, T, H, W, 2]`.
"""

from snraware_jax.models.building import DTYPES, build
from snraware_jax.models.settings import ModelSettings

__all__ = ["DTYPES", "ModelSettings", "build"]
