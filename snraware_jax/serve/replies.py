"""What goes back to a client: images with the headers of what they were made from, and attributes that say what they are."""

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable

import ismrmrd
import numpy as np
from ismrmrd.hdf5 import image_header_dtype

from snraware_jax.serve.protocol import Image

# of images: the series that came, and these further on
DENOISED, ORIGINALS = 1000, 2000
# of raw data, which has no series yet
RECONSTRUCTED, NOT_DENOISED, G_MAP, NOISE_MAP = 1, 2, 3, 4
FROM_READOUT = (
    "measurement_uid",
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
    "patient_table_position",
    "acquisition_time_stamp",
    "physiology_time_stamp",
    "user_int",
    "user_float",
)
COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set")


def with_pixels(image: Image, pixels: np.ndarray, comment: str) -> Image:
    """A denoised image: pixels `[1, z, y, x]`, everything else as it came but for its series and comment."""
    head = _in_series(image.head, DENOISED)
    if np.iscomplexobj(image.pixels) and not np.iscomplexobj(pixels):
        head["image_type"] = ismrmrd.IMTYPE_MAGNITUDE
    return Image(head, described(image.attributes, "Image", comment, "SNRAware"), pixels)


def original(image: Image, why: str) -> Image:
    """An image as it came, in a series of its own whose comment says that, and why, it is not denoised."""
    attributes = described(image.attributes, None, f"NOT DENOISED: {why}", "NOT_DENOISED")
    return image._replace(head=_in_series(image.head, ORIGINALS), attributes=attributes)


def _in_series(head: np.void, further: int) -> np.void:
    head = head.copy()
    head["image_series_index"] = (int(head["image_series_index"]) + further) % (1 << 16)
    return head


def from_readouts(
    heads: np.ndarray,
    data: np.ndarray,
    field_of_view: tuple[float, float, float],
    series: int,
    comment: str,
    role: str = "Image",
) -> list[Image]:
    """Images that were reconstructed.

    Args:
      heads: `[N]`, of the first readout of every image; a volume is one image.
      data: `[T, H, W]`, T images or the partitions of one; complex64 or float32.
      field_of_view: x, y, z, millimetres.
      series: their image_series_index.
      comment: what they are.
      role: their data role.
    """
    pixels = data.reshape(len(heads), 1, -1, *data.shape[1:])  # [N, channel, z, y, x]
    attributes = described("", role, comment, "SNRAware")
    return [
        Image(_image_head(head, field_of_view, number, series, np.iscomplexobj(data)), attributes, one)
        for number, (head, one) in enumerate(zip(heads, pixels, strict=True), 1)
    ]


def _image_head(
    readout: np.void, field_of_view: tuple[float, float, float], number: int, series: int, is_complex: bool
) -> np.void:
    head = np.zeros(1, image_header_dtype)[0]
    head["version"] = 1
    for name in FROM_READOUT:
        head[name] = readout[name]
    for name in COUNTERS:
        head[name] = readout["idx"][name]
    head["field_of_view"] = field_of_view
    head["image_type"] = ismrmrd.IMTYPE_COMPLEX if is_complex else ismrmrd.IMTYPE_MAGNITUDE
    head["image_index"], head["image_series_index"] = number, series
    return head


def described(attributes: str, role: str | None, comment: str, description: str) -> str:
    """Attributes (XML) that say what an image is now, behind what they said before.

    New ones where they were no XML, or tags within tags so deep that Python cannot write them.
    """
    if attributes.strip() and is_plain(attributes):
        with contextlib.suppress(ET.ParseError, LookupError, ValueError, RecursionError):
            return _described(ET.fromstring(attributes), role, comment, description)
    return _described(ET.Element("ismrmrdMeta"), role, comment, description)


def _described(root: ET.Element, role: str | None, comment: str, description: str) -> str:
    if role is not None:
        _set(root, "DataRole", [role])
        _set(root, "ImageProcessingHistory", [*_values(root, "ImageProcessingHistory"), "SNRAWARE"])
    _set(root, "ImageComments", [*_values(root, "ImageComments"), comment])
    _set(root, "SequenceDescriptionAdditional", [description])
    _set(root, "Keep_image_geometry", ["1"])  # without it a scanner may take the geometry of the protocol instead
    return ET.tostring(root, encoding="unicode")


def is_plain(xml: str) -> bool:
    """Whether XML is without a DOCTYPE, whose entities can make a gigabyte of a line."""
    return "<!DOCTYPE" not in xml


def _values(root: ET.Element, name: str) -> list[str]:
    return [
        value.text or "" for entry in root.findall("meta") if entry.findtext("name") == name for value in entry.findall("value")
    ]


def _set(root: ET.Element, name: str, values: Iterable[str]) -> None:
    for entry in [entry for entry in root.findall("meta") if entry.findtext("name") == name]:
        root.remove(entry)
    entry = ET.SubElement(root, "meta")
    ET.SubElement(entry, "name").text = name
    for value in values:
        # XML holds no control characters, and messages may quote what a client sent
        ET.SubElement(entry, "value").text = "".join(letter if letter.isprintable() else "?" for letter in value)
