"""A trained network as a function of an image and its g-map."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.inference import bundle
from snraware_jax.inference.bundle import Bundle
from snraware_jax.inference.tiles import denoise_tiled, tiled

Denoiser = Callable[[np.ndarray, np.ndarray], np.ndarray]


def make_denoiser(
    graphdef: nnx.GraphDef, params: Any, *, tile: tuple[int, int, int], overlap: tuple[int, int, int], batch: int = 8
) -> Denoiser:
    """A function (image `[T, H, W]`, g-map `[H, W]`) -> denoised `[T, H, W]`, all in SNR units.

    Args:
      graphdef, params: the network, as `nnx.split` gives it.
      tile: T, H, W that the network sees at once; 0 is the whole axis of the image.
      overlap: of neighbouring tiles; 0 along an axis that is not cut.
      batch: tiles in one pass; 1 where the image is not cut.

    The function raises an InputError for an image, or tile, whose size the network does not take.
    """
    network = lambda params, x: nnx.merge(graphdef, params)(x)
    # parameters are an argument: closed over, they would become constants of the compiled program
    apply = partial(jax.jit(network), params)

    @cache
    def check(shape: tuple[int, int, int]) -> None:
        try:
            jax.eval_shape(network, params, jax.ShapeDtypeStruct((1, *shape, 3), np.float32))
        except ValueError as error:
            raise InputError(
                f"{' x '.join(map(str, shape))} (T x H x W) at once, which the network does not take: {error}"
            ) from error

    def denoise(image: np.ndarray, g_map: np.ndarray) -> np.ndarray:
        frames, height, width = (size or whole for size, whole in zip(tile, image.shape, strict=True))
        shape = (frames, height, width)
        check(shape)
        return denoise_tiled(apply, image, g_map, tile=shape, overlap=overlap, batch=1 if shape == image.shape else batch)

    return denoise


def whole(
    graphdef: nnx.GraphDef, params: Any, *, tile: tuple[int, int, int], overlap: tuple[int, int, int], batch: int = 8
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """`make_denoiser` as one function of JAX, to be differentiated, or mapped over replicas: series and g-map -> series.

    Args:
      graphdef, params, tile, overlap, batch: as of `make_denoiser`.

    Returns:
      A `jax.tree_util.Partial`: given to a compiled program as an argument, its parameters are no constants of it.

    Raises:
      ValueError: when traced for an image whose size the network does not take.
    """

    def denoise(params: Any, image: jax.Array, g_map: jax.Array) -> jax.Array:
        network = lambda x: nnx.merge(graphdef, params)(x)
        sizes = [size or whole for size, whole in zip(tile, image.shape, strict=True)]
        shape = (image.shape[0], image.shape[1], image.shape[2])
        at_once = 1 if tuple(sizes) == shape else batch
        return tiled(network, shape, tile=(sizes[0], sizes[1], sizes[2]), overlap=overlap, batch=at_once)(image, g_map)

    return jax.tree_util.Partial(denoise, params)


class Bundled(NamedTuple):
    """A denoiser from a file, to be called: (image `[T, H, W]` complex64, g-map `[H, W]` or `[T, H, W]`) -> image, SNR units.

    Attributes:
      bundle: what the file holds: settings, card, tiling.
      denoise: the call.
    """

    bundle: Bundle
    denoise: Denoiser

    def __call__(self, image: np.ndarray, g_map: np.ndarray) -> np.ndarray:
        return self.denoise(image, g_map)


def load(path: str | Path, batch: int = 8) -> Bundled:
    """The denoiser of a bundle, `batch` tiles in one pass.

    Raises:
      InputError: if the file is no bundle, or damaged.
    """
    found = bundle.load(path)
    graphdef, state = nnx.split(found.network)
    tile, overlap = found.tiling
    return Bundled(found, make_denoiser(graphdef, nnx.to_pure_dict(state), tile=tile, overlap=overlap, batch=batch))
