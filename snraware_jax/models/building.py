"""From a name or settings to a network."""

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from snraware_jax.models.channels import Seeing
from snraware_jax.models.denoiser import Denoiser
from snraware_jax.models.filter_bank import FilterBank
from snraware_jax.models.settings import ModelSettings
from snraware_jax.models.stack import Stack

DTYPES = ("float32", "bfloat16")


def build(name_or_settings: str | ModelSettings, *, seed: int = 0, dtype: DTypeLike = jnp.float32) -> nnx.Module:
    """A network with random parameters: `model(x[B, T, H, W, 3], keys=None) -> [B, T, H, W, 2]`.

    Split it once, then jit pure functions of its parameters:

        graphdef, params = nnx.split(models.build("hrnet_cnnt"))
        denoise = jax.jit(lambda params, x: nnx.merge(graphdef, params)(x))

    Args:
      name_or_settings: a name of `models.table2.NETWORKS`, or settings.
      seed: of the parameters.
      dtype: of the operands of products; all else is float32.

    Raises:
      ValueError: if no network has this name, windows and heads do not fit the sizes of its levels, or for another dtype.
    """
    settings = named(name_or_settings) if isinstance(name_or_settings, str) else name_or_settings
    if not isinstance(settings, ModelSettings):
        raise ValueError(f"{settings!r} is no network: give a name of models.table2, or ModelSettings(...)")
    if jnp.dtype(dtype).name not in DTYPES:
        raise ValueError(f"dtype is {dtype}: networks multiply in {' or '.join(DTYPES)}")
    network = Stack if settings.backbone == "stack" else Denoiser
    network = partial(network, settings, dtype=dtype, rngs=nnx.Rngs(seed))
    if settings.head == "filter_bank":
        network = partial(FilterBank, network)
    if settings.input == "complex_g":
        return network()
    return Seeing(network, magnitude=settings.magnitude, g_map=settings.input.endswith("_g"))


def named(name: str) -> ModelSettings:
    """The settings of a network of Table 2.

    Raises:
      ValueError: listing the names that exist.
    """
    # here, because table2 is also a program, which counts built networks
    from snraware_jax.models.table2 import NETWORKS, RELEASED

    known = NETWORKS | RELEASED
    if name not in known:
        raise ValueError(f"no network is called {name!r}: choose one of {', '.join(known)}")
    return known[name]
