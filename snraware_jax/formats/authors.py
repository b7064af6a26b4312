"""The layout of the authors' inference program: NAME_real.npy, NAME_imag.npy and gmap.npy in one folder.

Their axes are [RO, E1], [RO, E1, T] or [RO, E1, T, S]: readout, which is the column here, then phase encode, the row.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.arrays import BROKEN, as_numbers, joined
from snraware_jax.formats.atomic import require_own_folder
from snraware_jax.formats.images import MAPS, Images, Role, Wanted, fitting

G_MAPS = ("gmap", "gfactor")  # their names in the two versions of the program


class Template(NamedTuple):
    """NAME of the pair, and how many axes its arrays had."""

    name: str
    axes: int


def read_images(path: Path, series: str | None = None, wanted: Wanted = "images and g-map") -> Images:
    """Read a folder of the authors' arrays, or the pair that one of its files belongs to.

    A g-map [RO, E1] is for all frames; one of [RO, E1, N] beside an image [RO, E1, N] makes the N slices.

    Args:
      path: the folder, or NAME_real.npy in it.
      series: NAME, where the folder holds several.
      wanted: whether its g-map is read.

    Raises:
      InputError: a missing half, halves that differ, other axes, a g-map of another size, damaged files.
    """
    folder, name = (path, _choose(path, series)) if path.is_dir() else (path.parent, path.stem.rpartition("_")[0])
    real, imaginary = (_load(folder / f"{name}_{part}.npy") for part in ("real", "imag"))
    if real.shape != imaginary.shape or real.ndim not in (2, 3, 4) or np.iscomplexobj(real) or np.iscomplexobj(imaginary):
        raise InputError(
            f"{folder}/{name}: real part is {real.dtype} {real.shape}, imaginary {imaginary.dtype} {imaginary.shape}; "
            "two real arrays [RO, E1], [RO, E1, T] or [RO, E1, T, S] are needed: export them again."
        )
    image = joined(real, imaginary)
    g_path = next(iter(g_maps_beside(folder)), None) if wanted == "images and g-map" else None
    data, g_map = _arrange(image), None
    if g_path is not None:
        data, g_map = _with_map(g_path, image, _load(g_path))
    return Images(
        data=data,
        kind="authors",
        g_map=g_map,
        metadata={"format": "NumPy, real and imaginary part", "name": name, "g_map_from": g_path and g_path.name},
        template=Template(name, image.ndim),
    )


def g_maps_beside(folder: Path) -> list[Path]:
    """The g-maps of a folder, of which the first is read."""
    return [file for file in (folder / f"{name}.npy" for name in G_MAPS) if file.is_file()]


def _choose(folder: Path, series: str | None) -> str:
    names = sorted(file.name.removesuffix("_real.npy") for file in folder.glob("*_real.npy"))
    if series is not None and series in names:
        return series
    if series is None and len(names) == 1:
        return names[0]
    what = f"holds {len(names)} images" if series is None else f"has no image '{series}'"
    raise InputError(f"{folder} {what}: {', '.join(names)}; give one, for example --series {names[0]}.")


def _load(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; real and imaginary part lie beside each other as NAME_real.npy, NAME_imag.npy."
        )
    with fitting(path, *BROKEN):
        return as_numbers(path, path.stem, np.load(path, allow_pickle=False))


def _arrange(image: np.ndarray) -> np.ndarray:
    """[RO, E1, T, S] -> [T, S, E1, RO]."""
    return np.ascontiguousarray(image.reshape(*image.shape, *(1,) * (4 - image.ndim)).transpose(2, 3, 1, 0))


def _with_map(path: Path, image: np.ndarray, g_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images and map `[S, E1, RO]`."""
    data = _arrange(image)
    if g_map.ndim == 3 and image.ndim == 3 and g_map.shape == image.shape and g_map.shape[2] > 1:
        data = data.swapaxes(0, 1)
    found = g_map.reshape(*g_map.shape, *(1,) * (3 - g_map.ndim)).T if g_map.ndim in (2, 3) else g_map
    if np.iscomplexobj(g_map) or found.shape != data.shape[1:]:
        raise InputError(
            f"{path}: g-map is {'x'.join(map(str, g_map.shape))}, image is {'x'.join(map(str, image.shape))} (RO x E1 ...): "
            "put one of the image's size in its place, or give one [E1, RO] with --gmap FILE."
        )
    return data, np.ascontiguousarray(found)


def require_writable(path: Path, like: Images, frames: int, is_complex: bool, role: Role = "denoised") -> None:
    """Refuse a folder with other files than those that `write_images` writes.

    Raises:
      InputError: if it holds any.
    """
    require_own_folder(path, _names(like, role))


def _names(images: Images, role: Role) -> list[str]:
    """Of the arrays: a map is real, and would be read as an image if it were a pair."""
    name = images.template.name
    if role in MAPS:
        return [f"{name}_{role.replace(' ', '_')}.npy"]
    return [f"{name}_real.npy", f"{name}_imag.npy", *([f"{G_MAPS[0]}.npy"] if images.g_map is not None else [])]


def write_images(path: Path, images: Images, like: Images, role: Role = "denoised") -> None:
    """Write NAME_real.npy, NAME_imag.npy and, where there is a g-map, gmap.npy into the folder `path`, in their axes.

    A map alone is NAME_noise_map.npy or NAME_g-map.npy, real.
    """
    template: Template = like.template
    image = images.data.transpose(3, 2, 0, 1)  # [RO, E1, T, S]
    frames, slices = images.data.shape[:2]
    image = image.reshape(*image.shape[:2], *{2: (), 3: (frames * slices,), 4: (frames, slices)}[template.axes])
    parts = [image] if role in MAPS else [np.real(image), np.imag(image)]
    if images.g_map is not None and role not in MAPS:
        g_map = images.g_map.T
        parts.append(g_map if g_map.shape[2] > 1 else g_map[..., 0])
    for name, part in zip(_names(replace(images, template=template), role), parts, strict=True):
        np.save(path / name, np.ascontiguousarray(part))
