"""Image series of MRD (ISMRMRD) HDF5 files, as Gadgetron and MRD servers write them.

A series is a group with `header`, `data` `[N, channels, z, y, x]` and `attributes`; x is the column, y the row.

Source: Inati et al., MRM 2017 (ISMRMRD); attribute names of Gadgetron's mri_core_def.h.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.arrays import as_numbers, joined
from snraware_jax.formats.hdf5 import read_dataset
from snraware_jax.formats.images import Images, fitting
from snraware_jax.formats.sniff import image_groups

BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    MemoryError,
    ET.ParseError,
)
FRAME_AXES = ("contrast", "set", "average", "repetition", "phase")
FLOAT, COMPLEX = 5, 7  # data_type of float32 and complex64
RATIO, ROLE = "GADGETRON_ScaleRatio", ("GADGETRON_DataRole", "DataRole")
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Template(NamedTuple):
    """A series but for its pixels.

    Attributes:
      group: its name in the file.
      header, attributes: `[N]`, as stored.
      xml: the header of the measurement, beside the series; None: none.
      rows: `rows[frame][slice]`, the image of the group that lies there; of a volume's partitions one for all.
      partitions: of an image.
    """

    group: str
    header: np.ndarray
    attributes: np.ndarray | None
    xml: np.ndarray | None
    rows: np.ndarray
    partitions: int


def read_images(path: Path, series: str | None = None) -> Images:
    """Read one series of a file: the only one, or that of the group `series`; a series of g-factors beside it is its g-map.

    Slices are the header's, or the partitions of volumes; frames the distinct (contrast, set, average, repetition, phase).
    Where headers do not tell images apart, they are frames in the order of image_index. The scale ratio that Gadgetron
    records is in `units`, and is not applied.

    Raises:
      InputError: several series, several channels, images missing, a damaged file.
    """
    with fitting(path, *BROKEN), h5py.File(path, "r") as file:
        names = image_groups(file)
        maps = [name for name in names if is_g_map(_attributes(file, name))]
        group = _choose(path, file, names, maps, series)
        images = _series(path, file, group)
        if group in maps:
            return images
        return with_one_of(images, (_series(path, file, name) for name in maps))


def with_one_of(images: Images, maps: Iterable[Images]) -> Images:
    """`images` with the first g-map of their size; as they were where none fits."""
    for found in maps:
        if found.data.shape == (1, *images.data.shape[1:]):
            units = {"g_map_scale_ratio": found.units["scale_ratio"]} if "scale_ratio" in found.units else {}
            metadata = images.metadata | {"g_map_from": found.metadata["series"]}
            return replace(images, g_map=np.abs(found.data[0]), units=images.units | units, metadata=metadata)
    return images


def _choose(path: Path, file: h5py.File, names: list[str], maps: list[str], series: str | None) -> str:
    if series is not None:
        picked = [name for name in names if series in (name, name.rsplit("/", 1)[-1])]
    else:
        picked = [name for name in names if name not in maps] or names
    if len(picked) == 1:
        return picked[0]
    text = ", ".join(f"'{name}' ({len(read_dataset(file, f'{name}/header'))} images)" for name in names)
    what = f"holds {len(names)} image series" if series is None else f"has no single series '{series}'"
    raise InputError(f"{path} {what}: {text}; give one, for example --series '{names[0]}'.")


def _attributes(file: h5py.File, name: str) -> dict[str, str]:
    """The attributes of a series' first image, the first value of each."""
    group = file[name]
    assert isinstance(group, h5py.Group)
    stored = group.get("attributes")
    if not isinstance(stored, h5py.Dataset) or not stored.size:
        return {}
    first = np.asarray(stored[()]).ravel()[0]
    return attributes_of(first.decode() if isinstance(first, bytes) else str(first))


def attributes_of(text: str) -> dict[str, str]:
    """The attributes of an image, the first value of each."""
    if not text.strip("\0 \n"):
        return {}
    entries = ET.fromstring(text.strip("\0 \n")).findall("meta")
    return {entry.findtext("name", ""): entry.findtext("value", "") for entry in entries}


def is_g_map(attributes: dict[str, str]) -> bool:
    """Whether the data role is the g-factor."""
    return any(attributes.get(name, "").lower().endswith("gfactor") for name in ROLE)


def _series(path: Path, file: h5py.File, name: str) -> Images:
    beside = f"{name.rpartition('/')[0]}/xml".lstrip("/")
    images = series_of(
        path,
        name,
        read_dataset(file, f"{name}/header").ravel(),
        read_dataset(file, f"{name}/data"),
        _attributes(file, name),
    )
    template = images.template._replace(
        attributes=read_dataset(file, f"{name}/attributes") if f"{name}/attributes" in file else None,
        xml=read_dataset(file, beside) if beside in file else None,
    )
    return replace(images, template=template)


def series_of(path: Path, name: str, header: np.ndarray, stored: np.ndarray, attributes: dict[str, str]) -> Images:
    """Images of one series, wherever it came from.

    Args:
      path: its file, or another name for messages.
      name: of the series there.
      header: `[N]` image headers.
      stored: `[N, channels, z, y, x]`, numbers of any type.
      attributes: of its first image.

    Raises:
      InputError: several channels, images missing.
    """
    stored = _numbers(path, name, stored)
    if not len(header) or stored.ndim != 5 or len(stored) != len(header):
        raise InputError(f"{path}: {name} has {len(header)} headers, and data of shape {stored.shape}: export it again.")
    if stored.shape[1] != 1:
        raise InputError(f"{path}: {name} has {stored.shape[1]} channels; combined images are needed: combine the coils first.")
    rows, frame_axes = _rows(path, name, header)
    partitions = stored.shape[2]
    if partitions > 1 and rows.shape[1] > 1:
        raise InputError(f"{path}: {name} holds {rows.shape[1]} slabs of {partitions} partitions: export each by itself.")
    data = stored[rows, 0]  # [frames, slices, z, H, W]
    data = data.reshape(len(rows), rows.shape[1] * partitions, *stored.shape[3:])
    affine, spacing = _geometry(header[rows[0]], stored.shape[2:])
    units = {"scale_ratio": _ratio(path, name, attributes[RATIO])} if attributes.get(RATIO) else {}
    return Images(
        data=data,
        kind="mrd",
        affine=affine,
        spacing=spacing,
        units=units,
        metadata={"format": "MRD", "name": path.name, "series": name, "frame_axes": frame_axes, "attributes": attributes},
        template=Template(group=name, header=header, attributes=None, xml=None, rows=rows, partitions=partitions),
    )


def _ratio(path: Path, name: str, stored: str) -> float:
    if not 0 < float(stored) < float("inf"):
        raise InputError(f"{path}: {name} has {RATIO} {stored}, which is no scale: export it again.")
    return float(stored)


def _numbers(path: Path, name: str, stored: np.ndarray) -> np.ndarray:
    """float32, or complex64 of the pairs (real, imag) that are complex values in MRD."""
    if stored.dtype.names == ("real", "imag"):
        return joined(stored["real"], stored["imag"])
    return as_numbers(path, name, stored)


def _rows(path: Path, name: str, header: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """`[frames, slices]` places of the images in their group, and the counters that tell frames apart."""
    frames = np.stack([header[axis] for axis in FRAME_AXES], axis=1)
    labels = np.concatenate([frames, header["slice"][:, None]], axis=1)
    if len(header) > 1 and len(np.unique(labels, axis=0)) == 1:
        return np.argsort(header["image_index"], kind="stable")[:, None], ["image_index"]
    distinct, frame = np.unique(frames, axis=0, return_inverse=True)
    slices, place = np.unique(header["slice"], return_inverse=True)
    rows = np.full((len(distinct), len(slices)), -1)
    rows[frame.ravel(), place.ravel()] = np.arange(len(header))
    if len(header) != rows.size or (rows < 0).any():
        raise InputError(
            f"{path}: {name} holds {len(header)} images, not one for each of {len(distinct)} frames x {len(slices)} slices: "
            "export it again."
        )
    return rows, [axis for axis, values in zip(FRAME_AXES, distinct.T, strict=True) if len(np.unique(values)) > 1]


def _geometry(header: np.ndarray, matrix: tuple[int, ...]) -> tuple[np.ndarray | None, tuple[float, float, float] | None]:
    """Affine and spacing of the slices of a frame, in order; `position` is the centre of an image, LPS millimetres."""
    counts = np.array(matrix[::-1], np.float64)  # x, y, z
    extent = header["field_of_view"][0].astype(np.float64)
    if not (np.isfinite(extent).all() and (extent > 0).all()):
        return None, None
    steps = extent / counts
    directions = [header[name][0].astype(np.float64) for name in ("read_dir", "phase_dir", "slice_dir")]
    columns = [direction * step for direction, step in zip(directions, steps, strict=True)]
    positions = header["position"].astype(np.float64)
    if len(header) > 1:
        columns[2] = (positions[-1] - positions[0]) / (len(header) - 1)
        steps[2] = np.linalg.norm(columns[2])
    affine = np.eye(4)
    affine[:3, :3] = np.stack(columns, axis=1)
    affine[:3, 3] = positions[0] - affine[:3, :3] @ ((counts - 1) / 2)
    usable = np.isfinite(affine).all() and np.linalg.matrix_rank(affine[:3, :3]) == 3
    return (TO_RAS @ affine if usable else None), (float(steps[2]), float(steps[1]), float(steps[0]))


def write_images(path: Path, images: Images, like: Images) -> None:
    """Write one series under the name of its group, float32 or complex64, and the header of the measurement.

    Headers are copied byte by byte but for data_type, and attributes as they are; other series and raw data are left out.
    """
    template: Template = like.template
    rows = template.rows[: len(images.data)].ravel()
    is_complex = np.iscomplexobj(images.data)
    data = images.data.reshape(len(rows), 1, template.partitions, *images.data.shape[2:])
    order = np.argsort(rows)
    header = template.header[rows[order]].copy()
    header["data_type"] = COMPLEX if is_complex else FLOAT
    with h5py.File(path, "w") as file:
        group = file.create_group(template.group)
        group.create_dataset("header", data=header, maxshape=(None,))
        group.create_dataset("data", data=_pairs(data[order]) if is_complex else data[order], fletcher32=True)
        if template.attributes is not None:
            text = np.atleast_1d(template.attributes)[rows[order]]
            group.create_dataset("attributes", data=text, dtype=h5py.string_dtype(), maxshape=(None,))
        if template.xml is not None:
            beside = f"{template.group.rpartition('/')[0]}/xml"
            file.create_dataset(beside, data=template.xml, dtype=h5py.string_dtype())


def _pairs(data: np.ndarray) -> Any:
    return np.ascontiguousarray(data).view(np.dtype([("real", "<f4"), ("imag", "<f4")]))
