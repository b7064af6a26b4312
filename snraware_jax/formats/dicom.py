"""DICOM series, classic (a file an image) and enhanced multi-frame: a folder or one file in.

Source: DICOM PS3.3 (C.7.6.2 image plane, C.7.6.16 functional groups, C.11.1 rescaling).
"""

import struct
import warnings
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.dicom_planes import Layout, Plane, choose, lay_out, planes_of
from snraware_jax.formats.images import DICOM, Images, Wanted, fitting
from snraware_jax.formats.sniff import first_bytes, is_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"  # the SOP class of DICOMDIR
# what pydicom raises on damaged files besides its own exceptions, as found by damaging some
BROKEN = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
KEPT = ("Modality", "Manufacturer", "SeriesDescription", "SeriesNumber", "MagneticFieldStrength", "FlipAngle", "RepetitionTime")


class Template(NamedTuple):
    """A series but for its pixels.

    Attributes:
      datasets: of every file, `PixelData` left out.
      names: of the files.
      planes: `planes[frame][slice]`, where every image lies.
    """

    datasets: list["Dataset"]
    names: list[str]
    planes: list[list[Plane]]


def read_images(path: Path, series: str | None = None, wanted: Wanted = "images") -> Images:
    """Read one series: slices along their normal, frames by time (`dicom_planes.lay_out`); `[frames, slices, rows, columns]`.

    Values are slope * stored + intercept of every slice's own rescaling, float32; phase images of the same series are picked
    by `series`. Files that are no images (DICOMDIR, reports, text) are left out and named in the metadata.

    Args:
      path: folder, or one file.
      series: number, description or UID of the series, with image type or echo time behind the number where these differ.
      wanted: of several series, that of phase images, if it is "phase".

    Raises:
      InputError: nothing to read, several series, orientations or sizes, images missing, colours, a compression without a
        decoder, damaged files.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about values that break the standard and are not used here
        loaded, ignored = _load(path)
        planes = []
        for number, (file, dataset) in enumerate(loaded):
            with decoding(file):
                _require_images(file, dataset)
                planes += planes_of(file, dataset, number)
        with decoding(path):
            planes, name = choose(path, planes, series, wanted)
            layout = lay_out(path, planes)
        data = _pixels(loaded, layout.planes)
        for _, dataset in loaded:
            del dataset.PixelData
        first = loaded[planes[0].file][1]
        with decoding(path):
            units, metadata = _units(planes), _metadata(first, layout, name, ignored)
    return Images(
        data=data,
        kind="dicom",
        affine=layout.affine,
        spacing=layout.spacing,
        units=units,
        metadata=metadata | {"name": path.name},
        template=Template([dataset for _, dataset in loaded], [file.name for file, _ in loaded], layout.planes),
    )


def decoding(path: Path) -> AbstractContextManager[None]:
    """Turns what pydicom raises on damaged files into a message.

    Raises:
      InputError: for any of it.
    """
    from pydicom import errors

    return fitting(path, *BROKEN, errors.InvalidDicomError, errors.BytesLengthException)


def _load(path: Path) -> tuple[list[tuple[Path, "Dataset"]], list[str]]:
    """Image files with their data sets, and the names of what is no image."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    loaded, ignored = [], []
    for file in files:
        if file.name.startswith(".") and file != path:
            continue
        dataset = _dataset(file)
        if dataset is None:
            ignored.append(file.name)
        else:
            loaded.append((file, dataset))
    if not loaded:
        raise InputError(
            f"{path}: no DICOM image among {len(files)} files ({', '.join(ignored[:3])}): give the series' folder."
        )
    return loaded, ignored


def _dataset(file: Path) -> "Dataset | None":
    """One file's data set; None for what is no DICOM or holds no image."""
    import pydicom

    named = file.suffix.lower() in DICOM
    if not (named or is_dicom(first_bytes(file))):
        return None
    with decoding(file):
        dataset = pydicom.dcmread(file, force=named)
        if str(dataset.file_meta.get("MediaStorageSOPClassUID", "")) == MEDIA_DIRECTORY:
            return None
        if "SOPClassUID" not in dataset:
            raise InputError(f"{file} is damaged or no DICOM: it says no SOPClassUID; copy it again, or take it out.")
        if "Rows" not in dataset:  # a report, a waveform
            return None
        if "PixelData" not in dataset:
            raise InputError(f"{file} has no PixelData: it is cut short; copy it again.")
        return dataset


def _require_images(file: Path, dataset: "Dataset") -> None:
    samples, photometric = dataset.get("SamplesPerPixel", 1), dataset.get("PhotometricInterpretation", "MONOCHROME2")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"{file} is a colour image ({photometric}, {samples} samples a pixel): give grey images.")
    if not (dataset.Rows and dataset.Columns):
        raise InputError(f"{file} has {dataset.Rows} rows and {dataset.Columns} columns: export it again.")
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        raise InputError(
            f"{file} is a Siemens mosaic, many slices in one picture: convert it with dcm2niix, or export multi-frame."
        )
    if dataset.BitsAllocated not in (8, 16, 32):
        raise InputError(f"{file} has {dataset.BitsAllocated} bits a pixel; 8, 16 or 32 can be read: give images, not masks.")
    _require_decoder(file, dataset)


def _require_decoder(file: Path, dataset: "Dataset") -> None:
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_compressed or syntax.is_deflated:
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise InputError(f"{file} is compressed as {syntax.name}, which cannot be decoded: decompress it.") from None
    if not decoder.is_available:
        needs = "; ".join(decoder.missing_dependencies)
        raise InputError(f"{file} is compressed as {syntax.name}: decompress it, or install one decoder ({needs}).")


def _pixels(loaded: Sequence[tuple[Path, "Dataset"]], planes: list[list[Plane]]) -> np.ndarray:
    """`[frames, slices, rows, columns]` float32, rescaled; every file is decoded once."""
    rows, columns = planes[0][0].size
    data = np.empty((len(planes), len(planes[0]), rows, columns), np.float32)
    places = sorted((plane.file, frame, i) for frame, row in enumerate(planes) for i, plane in enumerate(row))
    number, stored = -1, np.empty(0)
    for file, frame, i in places:
        if file != number:
            number, stored = file, _stored(*loaded[file])
        plane = planes[frame][i]
        values = stored[plane.frame or 0].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # refused by name later
            data[frame, i] = values * plane.scale.slope + plane.scale.intercept
    return data


def _stored(file: Path, dataset: "Dataset") -> np.ndarray:
    """`[N, rows, columns]` integers of one file."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    with decoding(file):
        try:
            stored = np.asarray(dataset.pixel_array).reshape(-1, dataset.Rows, dataset.Columns)
        except RuntimeError as error:  # what all decoders that are there say
            said = " ".join(str(error).split())
            raise InputError(
                f"{file} is compressed as {syntax and syntax.name}, which failed ({said}): decompress it."
            ) from error
        return stored


def _units(planes: list[Plane]) -> dict:
    slopes = sorted({plane.scale for plane in planes})
    found: dict[str, Any] = {"slope": slopes[0].slope, "intercept": slopes[0].intercept}
    if len(slopes) > 1:
        found = {"slope": [slopes[0].slope, slopes[-1].slope], "slopes": len(slopes)}
    if source := next((plane.scale_from for plane in planes if plane.scale_from), None):
        found["slope_from"] = source
    return found


def _metadata(first: "Dataset", layout: Layout, name: str, ignored: list[str]) -> dict:
    found: dict[str, Any] = {
        "format": "DICOM, multi-frame" if "PerFrameFunctionalGroupsSequence" in first else "DICOM",
        "series": name,
        "frame_order": layout.frame_order,
        "ignored": ignored,
    }
    found |= {keyword: _json(first[keyword].value) for keyword in KEPT if first.get(keyword) not in (None, "")}
    if (encoding := first.get("InPlanePhaseEncodingDirection")) in ("ROW", "COL"):
        found["phase_encode_axis"] = {"ROW": "column", "COL": "row"}[encoding]  # along a row: from column to column
    if str(first.get("LossyImageCompression", "00")) == "01":
        found["lossy"] = True
    return found | layout.notes


def _json(value: Any) -> Any:
    return float(value) if isinstance(value, (int, float)) else str(value)
