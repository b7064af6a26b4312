"""NumPy files: .npy with one image, .npz with `image` and perhaps `g_map`.

Axes are [H, W], [T, H, W] or [T, S, H, W]: frames, slices, rows, columns. Of three axes the first is T, frames; where there
is a g-map `[N, H, W]`, it is slices, as in a series in SNR units.
"""

from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.archive import BROKEN as BROKEN_ARCHIVE
from snraware_jax.formats.images import Images, Wanted, fitting

BROKEN = (*BROKEN_ARCHIVE, OSError, ValueError, LookupError, TypeError, SyntaxError, OverflowError, TokenError)


class Template(NamedTuple):
    """How many axes the image had."""

    axes: int


def read_images(path: Path, series: str | None = None, wanted: Wanted = "images and g-map") -> Images:
    """Read a NumPy file; real values as float32, complex ones as complex64; its g-map only where it is wanted.

    Raises:
      InputError: a damaged file, an archive without `image`, values that are no numbers, other axes.
    """
    with fitting(path, *BROKEN):
        image, g_map = _load(path)
    if image.ndim not in (2, 3, 4):
        raise InputError(f"{path}: image is {image.shape}; [H, W], [T, H, W] or [T, S, H, W] can be read: reshape it.")
    values = as_numbers(path, "image", image)
    data = values[(None,) * (4 - image.ndim)] if image.ndim != 3 else values[:, None]
    g_map = g_map if wanted == "images and g-map" else None
    if g_map is not None:
        g_map = as_numbers(path, "g_map", g_map)
        if g_map.ndim == 2:
            g_map = g_map[None]
        elif image.ndim == 3 and g_map.shape == image.shape:
            data = data.swapaxes(0, 1)
        if np.iscomplexobj(g_map) or g_map.shape != data.shape[1:]:
            raise InputError(
                f"{path}: g_map is {g_map.dtype} {g_map.shape}, image {image.shape}: real [S, H, W] or [H, W] fit."
            )
    return Images(
        data=data,
        kind="numpy",
        g_map=g_map,
        metadata={"format": "NumPy", "name": path.name, "stored": str(image.dtype)},
        template=Template(image.ndim),
    )


def _load(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with path.open("rb") as file:  # np.load leaves a broken archive open
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found, None
        names = list(found)
        key = "image" if "image" in names else names[0] if len(names) == 1 else None
        if key is None:
            raise InputError(f"{path} holds {sorted(names)}: name the image 'image', its g-map 'g_map'.")
        return found[key], found["g_map"] if "g_map" in names else None


def as_numbers(path: Path, what: str, array: np.ndarray) -> np.ndarray:
    """float32 or complex64.

    Raises:
      InputError: values that are no numbers.
    """
    if array.dtype.kind not in "biufc":
        raise InputError(f"{path}: {what} is of type {array.dtype}; numbers are needed, real or complex: convert it.")
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes Inf, which is refused by name
        return array.astype(np.complex64 if array.dtype.kind == "c" else np.float32)


def joined(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    """complex64 of two real arrays, without arithmetic: signs of zeros stay."""
    values = np.empty(real.shape, np.complex64)
    with np.errstate(over="ignore"):
        values.real, values.imag = real, imaginary
    return values


def write_images(path: Path, images: Images, like: Images) -> None:
    """Write .npy, or .npz with `image` and the g-map of `images`; as many axes as a NumPy `like` had, else the fewest."""
    frames, slices, height, width = images.data.shape
    if like.kind == "numpy":
        axes = like.template.axes
    else:
        axes = 4 if slices > 1 else 3 if frames > 1 else 2
    shape = {2: (height, width), 3: (frames * slices, height, width), 4: images.data.shape}[axes]
    data = np.ascontiguousarray(images.data.reshape(shape))
    with path.open("wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, data)
        elif images.g_map is None:
            np.savez(file, image=data)
        else:
            np.savez(file, image=data, g_map=images.g_map)
