"""A trained network as a function of an image and its g-map."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from snraware_jax.errors import InputError
from snraware_jax.inference import bundle
from snraware_jax.inference.bundle import Bundle
from snraware_jax.inference.tiles import Told, denoise_tiled, tiled

Denoiser = Callable[[np.ndarray, np.ndarray], np.ndarray]
Device = Any  # a jax.Device, which type checkers take for a variable

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # in what XLA raises


class Program(NamedTuple):
    """A network compiled for one batch of tiles.

    Attributes:
      apply: `[batch, t, h, w, 3]` float32 -> `[batch, t, h, w, 2]`.
      batch: tiles in one pass.
      bytes: that a pass takes on each device: parameters, input, output and what is between them.
    """

    apply: Callable[[np.ndarray], jax.Array]
    batch: int
    bytes: int


def compile_tiles(
    graphdef: nnx.GraphDef, params: Any, tile: tuple[int, int, int], batch: int, devices: Sequence[Device]
) -> Program:
    """The network for up to `batch` tiles in one pass, as many as fit the memory of the devices, which share them.

    Raises:
      InputError: if the network does not take tiles of this size.
    """
    network = lambda params, x: nnx.merge(graphdef, params)(x)
    sizes = " x ".join(map(str, tile))
    try:
        _trace(graphdef, params, tile)
    except ValueError as error:
        raise InputError(f"{sizes} (T x H x W) at once, which the network does not take: {error}") from error
    devices = devices[:batch]
    mesh = jax.make_mesh((len(devices),), ("tiles",), axis_types=(AxisType.Auto,), devices=devices)
    whole, divided = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("tiles"))
    # parameters are an argument: closed over, they would become constants of the compiled program
    params = jax.device_put(params, whole)
    free, batch = min(map(_free, devices)), batch - batch % len(devices)

    def compiled(batch: int) -> tuple[jax.stages.Compiled, int]:
        x = jax.ShapeDtypeStruct((batch, *tile, 3), np.float32, sharding=divided)
        found = jax.jit(network, out_shardings=divided).lower(params, x).compile()
        return found, _bytes(found)

    apply, needed = compiled(batch)
    while needed > free and batch > len(devices):
        fewer = max(batch // 2 // len(devices), 1) * len(devices)
        _say_fewer(fewer, f"{batch} tiles of {sizes} need {needed / 1e9:.1f} GB, {free / 1e9:.1f} are free")
        batch = fewer
        apply, needed = compiled(batch)
    return Program(lambda x: apply(params, jax.device_put(x, divided)), batch, needed)


def _bytes(compiled: jax.stages.Compiled) -> int:
    found = compiled.memory_analysis()
    if found is None:  # a platform that does not say
        return 0
    return found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes


def _free(device: Device) -> float:
    """Bytes that a program may take on a device; of the host's memory what Linux says is available."""
    if stats := device.memory_stats():
        return stats["bytes_limit"] - stats["bytes_in_use"]
    meminfo = Path("/proc/meminfo")
    if device.platform != "cpu" or not meminfo.exists():
        return math.inf
    (available,) = (line.split()[1] for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
    return 1024 * int(available)


def _say_fewer(batch: int, why: str) -> None:
    warnings.warn(f"{why}; going on with {batch} tile{'s' if batch > 1 else ''} at a time", stacklevel=3)


def make_denoiser(
    graphdef: nnx.GraphDef,
    params: Any,
    *,
    tile: tuple[int, int, int],
    overlap: tuple[int, int, int],
    batch: int = 8,
    devices: Sequence[Device] | None = None,
    told: Told | None = None,
) -> Denoiser:
    """A function (image `[T, H, W]`, g-map `[H, W]`) -> denoised `[T, H, W]`, all in SNR units.

    Memory beside the image and the result is that of one pass of `compile_tiles` and of two batches of tiles, however many tiles there
    are. Where it does not suffice the batch is halved, and a warning says so.

    Args:
      graphdef, params: the network, as `nnx.split` gives it.
      tile: T, H, W that the network sees at once; 0 is the whole axis of the image.
      overlap: of neighbouring tiles; 0 along an axis that is not cut.
      batch: tiles in one pass, at most; 1 where the image is not cut.
      devices: that share the tiles; None are all of this process.
      told: of progress, as `denoise_tiled` does.

    The function raises an InputError for an image, or tile, whose size the network does not take, or which memory does not hold.
    """
    devices = jax.local_devices() if devices is None else devices
    program = cache(lambda shape, batch: compile_tiles(graphdef, params, shape, batch, devices))
    largest = batch

    def denoise(image: np.ndarray, g_map: np.ndarray) -> np.ndarray:
        nonlocal largest
        frames, height, width = (size or whole for size, whole in zip(tile, image.shape, strict=True))
        shape = (frames, height, width)
        while True:
            at_once = 1 if shape == image.shape else largest
            try:
                apply, at_once, _ = program(shape, at_once)
                return denoise_tiled(apply, image, g_map, tile=shape, overlap=overlap, batch=at_once, told=told)
            except jax.errors.JaxRuntimeError as error:
                if OUT_OF_MEMORY not in str(error):
                    raise
                if at_once == 1:
                    raise _no_memory(" x ".join(map(str, shape)) + " (T x H x W) at once") from error
                largest = at_once // 2
                _say_fewer(largest, f"out of memory with {at_once} tiles")

    return denoise


@contextmanager
def memory_of(what: str) -> Iterator[None]:
    """Says of what does not fit into memory what to do."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        raise _no_memory(what) from error


def _no_memory(what: str) -> InputError:
    return InputError(f"no memory for {what}: export the network with a smaller --tile")


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
      whole: the same as one function of JAX, of `whole`.
    """

    bundle: Bundle
    denoise: Denoiser
    whole: Callable[[jax.Array, jax.Array], jax.Array]

    def __call__(self, image: np.ndarray, g_map: np.ndarray) -> np.ndarray:
        return self.denoise(image, g_map)


def load(path: str | Path, batch: int = 8, told: Told | None = None) -> Bundled:
    """The denoiser of a bundle, `batch` tiles in one pass; `told` is as of `make_denoiser`.

    Raises:
      InputError: if the file is no bundle, or damaged.
    """
    found = bundle.load(path)
    graphdef, state = nnx.split(found.network)
    parts = graphdef, nnx.to_pure_dict(state)
    options: dict[str, Any] = {**found.tiling._asdict(), "batch": batch}
    # one tile at a time, because it is differentiated for several probes at once, which take the memory of as many
    many, of_jax = make_denoiser(*parts, **options, told=told), whole(*parts, **dict[str, Any](options, batch=1))
    (_, height, width), (_, *shared) = found.tiling
    if not _takes(*parts, (1, height, width)):
        return Bundled(found, many, of_jax)
    # a single frame continued to the length of a tile is that frame many times over, which costs as often as much and tells nothing
    options |= {"tile": (1, height, width), "overlap": (0, *shared)}
    single = make_denoiser(*parts, **options, told=told)
    by_frames = jax.tree_util.Partial(_by_frames, whole(*parts, **dict[str, Any](options, batch=1)), of_jax)
    return Bundled(found, lambda image, g_map: _by_frames(single, many, image, g_map), by_frames)


def _by_frames(single: Callable, many: Callable, image: Any, g_map: Any) -> Any:
    return (single if image.shape[0] == 1 else many)(image, g_map)


def _takes(graphdef: nnx.GraphDef, params: Any, tile: tuple[int, int, int]) -> bool:
    """Whether a network takes tiles of a size."""
    try:
        _trace(graphdef, params, tile)
    except ValueError:
        return False
    return True


def _trace(graphdef: nnx.GraphDef, params: Any, tile: tuple[int, int, int]) -> None:
    """Raises ValueError for tiles of a size that a network does not take."""
    jax.eval_shape(lambda params, x: nnx.merge(graphdef, params)(x), params, jax.ShapeDtypeStruct((1, *tile, 3), np.float32))
