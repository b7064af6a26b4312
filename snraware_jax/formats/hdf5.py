"""One `Series` as one HDF5 file, every dataset with a checksum."""

import json
from pathlib import Path

import h5py
import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing
from snraware_jax.formats.series import Series

KIND = "snraware series"
NOISE_MAP = "snraware noise map"  # of a series: its image is real, and no program takes it for a series


def write_series(path: str | Path, series: Series, kind: str = KIND) -> None:
    """Write `image`, `g_map`, `g_maps`, `accelerations` as datasets, the rest as attributes.

    `accelerations` is `[R]` or, of pairs, `[R, 2]`. Every dataset carries a fletcher32 checksum, without which a flipped bit
    is read back in silence. The file appears under its name only when it is complete. A noise map, `kind` NOISE_MAP, has the
    g-maps of its series and a real image: the noise SD of the image of that series, so over g.

    Raises:
      ValueError: if the shapes of the series disagree, or a noise map is complex.
    """
    if kind == NOISE_MAP and np.iscomplexobj(series.image):
        raise ValueError("a noise map is real")
    arrays = {
        "image": np.asarray(series.image, np.complex64 if kind == KIND else np.float32),
        "g_map": np.asarray(series.g_map, np.float32),
        "g_maps": np.asarray(series.g_maps, np.float32),
        "accelerations": np.asarray(series.accelerations, np.int32),
    }
    if problem := _disagreement(series):
        raise ValueError(problem)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["kind"] = kind
        file.attrs["acceleration"] = series.acceleration
        file.attrs["metadata"] = json.dumps(series.metadata)
        for name, array in arrays.items():
            file.create_dataset(name, data=array, fletcher32=True)


def read_series(path: str | Path, kind: str = KIND) -> Series:
    """Read what `write_series` wrote as that kind.

    Raises:
      InputError: if the file is absent, damaged, not of that kind, of shapes that disagree, or holds NaN or Inf.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r") as file:
            if kind == KIND and file.attrs.get("kind") == NOISE_MAP:
                raise InputError(f"{path} is a noise map, not a series: give the series that it lies beside.")
            if file.attrs.get("kind") != kind:
                raise InputError(
                    f"{path} is not a series in SNR units: make one with `snraware reconstruct RAW.h5 -o {path.name}`."
                )
            series = Series(
                image=read_dataset(file, "image"),
                g_map=read_dataset(file, "g_map"),
                g_maps=read_dataset(file, "g_maps"),
                accelerations=tuple(_acceleration(r) for r in read_dataset(file, "accelerations")),
                acceleration=_acceleration(np.asarray(file.attrs["acceleration"])),
                metadata=json.loads(str(file.attrs["metadata"])),
            )
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged or not HDF5 ({error}): make it again.") from error
    if problem := _disagreement(series):
        raise InputError(f"{path}: {problem}: make it again.")
    for name in ("image", "g_map", "g_maps"):
        require_finite(path, name, getattr(series, name))
    return series


def read_metadata(path: str | Path) -> dict:
    """The metadata of a series alone, without its images.

    Raises:
      InputError: if the file is not a series.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("kind") != KIND:
                raise InputError(f"{path} is not a series in SNR units.")
            return json.loads(str(file.attrs["metadata"]))
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged or not HDF5 ({error}): make it again.") from error


def _acceleration(stored: np.ndarray) -> int | tuple[int, int]:
    """A number, or a pair (R along H, R along T)."""
    if stored.shape == (2,):
        return int(stored[0]), int(stored[1])
    if stored.shape:
        raise KeyError(f"{stored.shape[0]} numbers for one acceleration")
    return int(stored)


def _disagreement(series: Series) -> str | None:
    """How the shapes of a series disagree; None where they do not."""
    image, g_map, g_maps = np.shape(series.image), np.shape(series.g_map), np.shape(series.g_maps)
    if len(image) != 3:
        return f"image is {image}, not [T, H, W]"
    if g_map not in (image[1:], image):
        return f"g_map is {g_map}, the image {image}"
    if g_maps[1:] not in (image[1:], image):
        return f"g_maps are {g_maps}, the image {image}"
    if g_maps[0] != len(series.accelerations):
        return f"g_maps are {g_maps}, for {len(series.accelerations)} accelerations"
    return None


def read_dataset(file: h5py.File, name: str) -> np.ndarray:
    """All of one dataset.

    Raises:
      KeyError: if there is none of that name.
      OSError: if its checksum is wrong or the file is cut short.
    """
    item = file[name]
    if not isinstance(item, h5py.Dataset):
        raise KeyError(f"{name} is not a dataset")
    return np.asarray(item[()])


def require_finite(path: str | Path, what: str, array: np.ndarray) -> None:
    """Refuse NaN and Inf, naming the first index and how many there are.

    Raises:
      InputError: if any value is not finite.
    """
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.unravel_index(np.argmax(bad), bad.shape))
        raise InputError(
            f"{path}: {what} holds {int(bad.sum())} NaN or Inf of {bad.size} values (first: {first}): export the data again."
        )
