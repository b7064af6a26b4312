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
from snraware_jax.formats.images import MAPS, Images, Role, Wanted, fitting, pick, size
from snraware_jax.formats.mrd_planes import lay_out
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
FLOAT, COMPLEX = 5, 7  # data_type of float32 and complex64
MAGNITUDE, PHASE, COMPLEX_IMAGES = 1, 2, 5  # image_type
MAP_ROLES = {"noise map": "NoiseSD", "g-map": "Gfactor"}
RATIO, ROLE = "GADGETRON_ScaleRatio", ("GADGETRON_DataRole", "DataRole")


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


def read_images(path: Path, series: str | None = None, wanted: Wanted = "images and g-map") -> Images:
    """Read one series of a file: the only one, or that of the group `series`; a series of g-factors beside it is its g-map.

    Slices are the header's, in the order of their places, or the partitions of volumes; frames the distinct (contrast, set,
    average, repetition, phase). Where headers do not tell images apart, they are frames in the order of image_index. The
    scale ratio that Gadgetron records is in `units`, and is not applied.

    Raises:
      InputError: several series, several channels, images missing, slices that form no stack, a g-map that does not fit, a
        damaged file.
    """
    with fitting(path, *BROKEN), h5py.File(path, "r") as file:
        names = image_groups(file)
        maps = [name for name in names if is_g_map(_attributes(file, name))]
        group = _choose(path, file, names, maps, series, wanted)
        images = _series(path, file, group)
        if group in maps or wanted != "images and g-map":
            return images
        found = [_series(path, file, name) for name in maps]
        with_map = with_one_of(images, found)
        if with_map.g_map is None and (misfit := _misfit(path, file, images, found)):
            raise InputError(misfit)
        return with_map


def with_one_of(images: Images, maps: Iterable[Images]) -> Images:
    """`images` with the first g-map of their size; as they were where none fits.

    A g-map may have several frames if all are equal. Its slices go by their counters.
    """
    for found in maps:
        if found.data.shape[1:] == images.data.shape[1:] and _is_one(found.data):
            units = {"g_map_scale_ratio": found.units["scale_ratio"]} if "scale_ratio" in found.units else {}
            metadata = images.metadata | {"g_map_from": found.metadata["series"]}
            return replace(images, g_map=_in_order_of(images, found), units=images.units | units, metadata=metadata)
    return images


def _is_one(maps: np.ndarray) -> bool:
    return len(maps) == 1 or np.array_equal(maps, np.broadcast_to(maps[:1], maps.shape), equal_nan=True)


def _in_order_of(images: Images, g_map: Images) -> np.ndarray:
    """`[slices, H, W]`; by the counters, for the headers of one of both may know no places, by which the other is ordered."""
    mine, its = (one.template.header["slice"][one.template.rows[0]].tolist() for one in (images, g_map))
    values = np.abs(g_map.data[0])
    return values[[its.index(number) for number in mine]] if len(mine) > 1 and set(mine) == set(its) else values


def _misfit(path: Path, file: h5py.File, images: Images, maps: list[Images]) -> str | None:
    """Why no g-map of a file is for these images; None where there is none, or they are for other images of the file."""
    images_of_others = {
        file[f"{name}/data"].shape[-2:]  # type: ignore[union-attr]
        for name in image_groups(file)
        if name not in (images.metadata["series"], *(one.metadata["series"] for one in maps))
    }
    matrix = images.data.shape[2:]
    for found in maps:
        if found.data.shape[2:] != matrix and found.data.shape[2:] in images_of_others:
            continue
        said = f"{path}: its g-map '{found.metadata['series']}' is {size(found.data.shape)}, image is {size(images.data.shape)}"
        if not _is_one(found.data):
            return f"{said}: {len(found.data)} g-maps that differ, and frames share one. Give it with --gmap FILE."
        if found.data.shape[1] != images.data.shape[1]:
            return f"{said}: every slice needs a g-map of its own. Give them with --gmap FILE."
        return f"{said}. Use --gmap {path} --gmap-resize if the fields of view agree, or give another with --gmap FILE."
    return None


def _choose(path: Path, file: h5py.File, names: list[str], maps: list[str], series: str | None, wanted: Wanted) -> str:
    if series is not None:
        picked = [name for name in names if series in (name, name.rsplit("/", 1)[-1])]
    elif wanted == "g-map":
        picked = maps or names
    elif wanted == "phase" and len(names) > 1:
        picked = [name for name in names if (read_dataset(file, f"{name}/header")["image_type"] == PHASE).all()]
    else:
        picked = [name for name in names if name not in maps] or names
    if len(picked) == 1:
        return picked[0]
    text = ", ".join(f"'{name}' ({len(read_dataset(file, f'{name}/header'))} images)" for name in names)
    what = f"holds {len(names)} image series" if series is None else f"has no single series '{series}'"
    raise InputError(f"{path} {what}: {text}; {pick(path, wanted, (picked or names)[0])}")


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
      InputError: several channels, images missing, slices that form no stack (`mrd_planes.lay_out`).
    """
    stored = _numbers(path, name, stored)
    if not len(header) or stored.ndim != 5 or len(stored) != len(header):
        raise InputError(f"{path}: {name} has {len(header)} headers, and data of shape {stored.shape}: export it again.")
    if stored.shape[1] != 1:
        raise InputError(f"{path}: {name} has {stored.shape[1]} channels; combined images are needed: combine the coils first.")
    rows, frame_axes, affine, spacing, notes = lay_out(path, name, header, stored.shape[2:])
    partitions = stored.shape[2]
    if partitions > 1 and rows.shape[1] > 1:
        raise InputError(f"{path}: {name} holds {rows.shape[1]} slabs of {partitions} partitions: export each by itself.")
    data = stored[rows, 0]  # [frames, slices, z, H, W]
    data = data.reshape(len(rows), rows.shape[1] * partitions, *stored.shape[3:])
    units = {"scale_ratio": _ratio(path, name, attributes[RATIO])} if attributes.get(RATIO) else {}
    return Images(
        data=data,
        kind="mrd",
        affine=affine,
        spacing=spacing,
        units=units,
        metadata={"format": "MRD", "name": path.name, "series": name, "frame_axes": frame_axes, "attributes": attributes}
        | notes,
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


def write_images(path: Path, images: Images, like: Images, role: Role = "denoised") -> None:
    """Write one series under the name of its group, float32 or complex64, and the header of the measurement.

    Headers are copied byte by byte but for data_type, and image_type where magnitudes take the place of complex images;
    attributes as they are, but for the data role of maps; other series and raw data are left out.

    Raises:
      InputError: attributes that are no XML, of maps.
    """
    template: Template = like.template
    rows = template.rows[: len(images.data)].ravel()
    is_complex = np.iscomplexobj(images.data)
    data = images.data.reshape(len(rows), 1, template.partitions, *images.data.shape[2:])
    order = np.argsort(rows)
    header = template.header[rows[order]].copy()
    header["data_type"] = COMPLEX if is_complex else FLOAT
    if not is_complex:
        header["image_type"][header["image_type"] == COMPLEX_IMAGES] = MAGNITUDE
    with h5py.File(path, "w") as file:
        group = file.create_group(template.group)
        group.create_dataset("header", data=header, maxshape=(None,))
        group.create_dataset("data", data=_pairs(data[order]) if is_complex else data[order], fletcher32=True)
        if (text := _attributes_of(template, rows[order], role)) is not None:
            group.create_dataset("attributes", data=text, dtype=h5py.string_dtype(), maxshape=(None,))
        if template.xml is not None:
            beside = f"{template.group.rpartition('/')[0]}/xml"
            file.create_dataset(beside, data=template.xml, dtype=h5py.string_dtype())


def _attributes_of(template: Template, rows: np.ndarray, role: Role) -> Any:
    """Of the images written, as stored; those of maps say so."""
    text = None if template.attributes is None else np.atleast_1d(template.attributes)[rows]
    if role not in MAPS:
        return text
    before = (
        [""] * len(rows) if text is None else [one.decode() if isinstance(one, bytes) else str(one) for one in text.ravel()]
    )
    with fitting(Path("the attributes of its images"), *BROKEN):
        return [_with_role(one, MAP_ROLES[role]) for one in before]


def _with_role(text: str, role: str) -> str:
    """Attributes (XML) with another data role."""
    root = ET.fromstring(text.strip("\0 \n") or "<ismrmrdMeta/>")
    for entry in root.findall("meta"):
        if entry.findtext("name") in ROLE:
            root.remove(entry)
    entry = ET.SubElement(root, "meta")
    ET.SubElement(entry, "name").text, ET.SubElement(entry, "value").text = "DataRole", role
    return ET.tostring(root, encoding="unicode")


def _pairs(data: np.ndarray) -> Any:
    return np.ascontiguousarray(data).view(np.dtype([("real", "<f4"), ("imag", "<f4")]))
