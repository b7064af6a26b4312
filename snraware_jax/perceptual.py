"""The perceptual loss: distance of two images in the features of VGG-16, whose weights are the user's (`interop/vgg_weights.py`).

Source: Johnson et al., ECCV 2016; Simonyan and Zisserman, ICLR 2015; as in the authors' code, which shows the network magnitudes in
SNR units three times, without ImageNet's mean and SD.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from snraware_jax.models.products import convolved

# outputs of the convolutions up to relu4_3, by stage; a stage ends in a feature that is compared, and begins with pooling
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
SMALLEST = 2 ** (len(STAGES) - 1)  # H and W of an image

Weights = Sequence[tuple[Any, Any]]  # kernel [3, 3, I, O] and bias [O] of every convolution


def features(weights: Weights, frames: Array) -> list[Array]:
    """relu1_2, relu2_2, relu3_3, relu4_3 of images `[N, H, W]`: `[N, H / 2^i, W / 2^i, 64 2^i]`, i = 0..3.

    Raises:
      ValueError: for images of fewer than 8 x 8 pixels.
    """
    if min(frames.shape[1:]) < SMALLEST:
        raise ValueError(f"images of {frames.shape[1]} x {frames.shape[2]}: VGG-16 needs {SMALLEST} x {SMALLEST} for relu4_3")
    same = partial(lax.conv_general_dilated, window_strides=(1, 1), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    x, layers, found = jnp.repeat(frames[..., None], 3, axis=-1), iter(weights), []
    for stage in STAGES:
        if found:
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        for _ in stage:
            kernel, bias = next(layers)
            x = jax.nn.relu(convolved(same, x, kernel) + bias)
        found.append(x)
    return found


def distance(weights: Weights, output: Array, target: Array) -> Array:
    """Sum over the four features of their mean absolute difference, of magnitudes `[..., H, W]`; the target gets no gradient."""
    as_frames = lambda image: image.reshape(-1, *image.shape[-2:])
    of_target = features(weights, lax.stop_gradient(as_frames(target)))
    differences = [jnp.mean(jnp.abs(a - b)) for a, b in zip(features(weights, as_frames(output)), of_target, strict=True)]
    return jnp.sum(jnp.stack(differences))
