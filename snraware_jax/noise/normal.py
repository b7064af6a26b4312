"""White complex noise from a key, in one fused pass.

`jax.random.normal` keeps the rounds of its generator in a loop through memory on CPU: under `vmap` it takes ten
times as long as this (docs/benchmarks.md). Here they are written out, so the compiler fuses generator, transform and whatever follows.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def complex_normal(key: Array, shape: tuple[int, ...], first: ArrayLike = 0) -> Array:
    """White noise of SD 1 in the real and 1 in the imaginary part, complex64 of `shape`.

    Number i is a function of (key, first + i), so a part of an array can be made without the rest.

    Raises:
      ValueError: for 2^32 numbers or more, which the counter does not reach.
    """
    count = math.prod(shape)
    if count >= 2**32:
        raise ValueError(f"noise of {shape} has {count} numbers: one key reaches 2^32")
    key_0, key_1 = jax.random.bits(key, (2,), jnp.uint32)
    counter = jax.lax.iota(jnp.uint32, count).reshape(shape) + jnp.asarray(first, jnp.uint32)
    real, imaginary = threefry(key_0, key_1, counter, jnp.zeros_like(counter))
    return jax.lax.complex(normal(real), normal(imaginary))


def threefry(key_0: Array, key_1: Array, x_0: Array, x_1: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds: two words of a counter to two random words, all uint32.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
    """
    keys = (key_0, key_1, key_0 ^ key_1 ^ PARITY)
    x_0, x_1 = x_0 + keys[0], x_1 + keys[1]
    for injection in range(5):
        for rotation in ROTATIONS[injection % 2]:
            x_0 = x_0 + x_1
            x_1 = ((x_1 << np.uint32(rotation)) | (x_1 >> np.uint32(32 - rotation))) ^ x_0
        x_0 = x_0 + keys[(injection + 1) % 3]
        x_1 = x_1 + keys[(injection + 2) % 3] + np.uint32(injection + 1)
    return x_0, x_1


def normal(words: Array) -> Array:
    """Standard normal numbers from random uint32 words: sqrt(2) erfinv(u), u uniform on the 2^23 midpoints of (-1, 1)."""
    u = ((words >> 9).astype(jnp.int32) - (2**22)).astype(jnp.float32) * 2**-22 + 2**-23
    return math.sqrt(2) * jax.lax.erf_inv(u)
