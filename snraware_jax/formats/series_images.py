"""A series in SNR units, as `snraware reconstruct` makes it, as images, and back."""

import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.hdf5 import KIND, NOISE_MAP, read_series, write_series
from snraware_jax.formats.images import Images, Role, Wanted, fitting
from snraware_jax.formats.series import Series


def read_images(path: Path, series: str | None = None, wanted: Wanted = "images and g-map") -> Images:
    """Read a series: T is frames where they share a g-map `[H, W]`, slices where each has its own; SNR units.

    A noise map that was written beside one is real, and `metadata["role"]` says what it is.

    Raises:
      InputError: as `hdf5.read_series`.
    """
    with fitting(path, AttributeError, LookupError, RuntimeError, TypeError, ValueError):  # of damage that HDF5 does not notice
        with h5py.File(path, "r") as file:
            is_map = file.attrs.get("kind") == NOISE_MAP
        found = read_series(path, NOISE_MAP if is_map else KIND)
    images = images_of(found)
    return replace(images, metadata=images.metadata | {"role": "noise map"}) if is_map else images


def images_of(series: Series) -> Images:
    """A series as images over g."""
    frames = np.ndim(series.g_map) == 2
    return Images(
        data=series.image[:, None] if frames else series.image[None],
        kind="series",
        g_map=series.g_map[None] if frames else series.g_map,
        spacing=_spacing(series),
        units={"over_g": True},
        metadata=series.metadata | {"format": "series in SNR units"},
        template=series,
    )


def _spacing(series: Series) -> tuple[float, float, float] | None:
    """Millimetres of the pixels, of the field of view that reconstruction recorded; nothing is recorded of the slices."""
    extents = series.metadata.get("fov_mm")
    known = lambda mm: isinstance(mm, (int, float)) and 0 < mm < math.inf
    if not (isinstance(extents, list) and len(extents) == 2 and all(map(known, extents))):
        return None
    height, width = (float(mm) / n for mm, n in zip(extents, series.image.shape[1:], strict=True))
    return math.nan, height, width


def require_writable(path: Path, like: Images, frames: int, is_complex: bool, role: Role = "denoised") -> None:
    """Refuse what `write_images` cannot write.

    Raises:
      InputError: a g-map, which a series holds itself.
    """
    if role == "g-map":
        raise InputError("a series holds its g-map itself: give .nii.gz or .npy for the map alone.")


def write_images(path: Path, images: Images, like: Images, role: Role = "denoised") -> None:
    """Write images, complex or real, with the g-maps and accelerations of the series `like`; noise maps as what they are."""
    series: Series = like.template
    frames, slices, height, width = images.data.shape
    is_map = role == "noise map" or (role == "unchanged" and like.metadata.get("role") == "noise map")
    image = images.data.reshape(frames * slices, height, width)
    write_series(path, replace(series, image=image), NOISE_MAP if is_map else KIND)
