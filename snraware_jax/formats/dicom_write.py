"""DICOM series out: the data sets of the input with other pixels, new UIDs, and what says that they are derived.

Source: DICOM PS3.3, C.7.6.1 (derived images), C.11.1 (rescaling).
"""

import copy
import hashlib
import io
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.dicom import Template, decoding
from snraware_jax.formats.dicom_planes import Plane
from snraware_jax.formats.images import Images
from snraware_jax.formats.scaled import Limits, Scale, fits, limits_of, new_scale, to_integers

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

SUFFIX = " SNRAware"
LONGEST_DESCRIPTION = 64  # characters of a LO value
DERIVATION = "Denoised by SNRAware-JAX"


def write_images(path: Path, images: Images, like: Images) -> None:
    """Write a series of the files of `like`: `path` is a file where it was one, else a folder.

    Data sets are copied with private tags and patient data; new are the instance and series UIDs (from the source's UID and
    the pixels: the same images give the same UIDs), ImageType DERIVED, SeriesDescription, DerivationDescription and
    SourceImageSequence. Compressed input becomes Explicit VR Little Endian, other transfer syntaxes stay.

    Values are integers of one slope for the series: that of the input where its slices share one and all values fit its
    bits, else the finest that 16 bits allow; they come back to within half a slope. With a new slope,
    RealWorldValueMappingSequence, PixelPaddingValue and the Philips scale slope go, which would be wrong.

    Raises:
      InputError: complex images, or a file name for a series of several files, a data set that pydicom
        cannot write.
    """
    if np.iscomplexobj(images.data):
        raise InputError("DICOM holds magnitudes: write complex images as .nii.gz or .npy, or give --phase.")
    template: Template = like.template
    planes = template.planes[: len(images.data)]
    used = sorted({plane.file for frame in planes for plane in frame})
    if not path.is_dir() and len(used) > 1:
        raise InputError(f"the series has {len(used)} files: give a folder, without .dcm.")
    datasets = [template.datasets[number] for number in used]
    scale, limits, fresh = _scale(images.data, datasets, [plane for frame in planes for plane in frame])
    digest = hashlib.sha256(images.data.tobytes()).hexdigest()
    for number in used:
        members = sorted(
            (p.frame or 0, t, s) for t, frame in enumerate(planes) for s, p in enumerate(frame) if p.file == number
        )
        values = np.stack([images.data[t, s] for _, t, s in members])
        name = template.names[number]
        with decoding(Path(name)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, about values of the input that break the standard
            dataset = copy.deepcopy(template.datasets[number])
            _keep_frames(dataset, [frame for frame, _, _ in members])
            _mark_derived(dataset, digest)
            if fresh:
                _set_scale(dataset, scale, limits)
            _set_pixels(dataset, to_integers(values, scale, limits))
            encoded = io.BytesIO()
            dataset.save_as(encoded, enforce_file_format=True)
        (path / name if path.is_dir() else path).write_bytes(encoded.getbuffer())


def _scale(data: np.ndarray, datasets: list["Dataset"], planes: list[Plane]) -> tuple[Scale, Limits, bool]:
    """Scale and limits of the stored integers, and whether they are other than the input's."""
    stored = {(int(dataset.BitsStored), bool(dataset.PixelRepresentation)) for dataset in datasets}
    scales = {plane.scale for plane in planes}
    if len(scales) == len(stored) == 1:
        scale, limits = scales.pop(), limits_of(*stored.pop())
        if fits(data, scale, limits):
            return scale, limits, False
    limits = limits_of(16, bool(datasets[0].PixelRepresentation))
    return new_scale(data, limits, lambda value: float(_decimal(value))), limits, True


def _decimal(value: float) -> str:
    """A number in the 16 characters of a DICOM decimal string."""
    return next(text for digits in range(15, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)


def _keep_frames(dataset: "Dataset", frames: list[int]) -> None:
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is not None and len(frames) < len(groups):
        dataset.PerFrameFunctionalGroupsSequence = [groups[frame] for frame in frames]
        dataset.NumberOfFrames = len(frames)


def _mark_derived(dataset: "Dataset", digest: str) -> None:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset

    source = Dataset()
    source.ReferencedSOPClassUID = dataset.SOPClassUID
    source.ReferencedSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    dataset.SourceImageSequence = [*(dataset.get("SourceImageSequence") or []), source]
    dataset.SOPInstanceUID = _derived_uid(source.ReferencedSOPInstanceUID, digest)
    dataset.SeriesInstanceUID = _derived_uid(dataset.get("SeriesInstanceUID", ""), digest)
    dataset.ImageType = _derived(dataset.get("ImageType"))
    for group in dataset.get("PerFrameFunctionalGroupsSequence") or []:
        for item in group.get("MRImageFrameTypeSequence") or []:
            item.FrameType = _derived(item.get("FrameType"))
    for group in dataset.get("SharedFunctionalGroupsSequence") or []:
        for item in group.get("MRImageFrameTypeSequence") or []:
            item.FrameType = _derived(item.get("FrameType"))
    described = str(dataset.get("SeriesDescription") or "")
    dataset.SeriesDescription = described[: LONGEST_DESCRIPTION - len(SUFFIX)] + SUFFIX
    dataset.DerivationDescription = DERIVATION
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _derived(types: Any) -> list[str]:
    values = [] if types is None else [types] if isinstance(types, str) else list(types)
    return ["DERIVED", *(values[1:] or ["PRIMARY"])]


def _derived_uid(source: str, digest: str) -> "UID":
    from pydicom.uid import UID

    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{source} {digest}').int}")


def _set_scale(dataset: "Dataset", scale: Scale, limits: Limits) -> None:
    """One new rescaling, in 16 bits, wherever the input had its own."""
    from pydicom import Dataset

    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(limits.low < 0)
    places = [dataset]
    if (groups := dataset.get("PerFrameFunctionalGroupsSequence")) is not None:
        shared = dataset.get("SharedFunctionalGroupsSequence")
        if not shared:
            dataset.SharedFunctionalGroupsSequence = shared = [Dataset()]
        places = [item for group in [*groups, *shared] for item in group.get("PixelValueTransformationSequence") or []]
        if not places:
            places = [Dataset()]
            shared[0].PixelValueTransformationSequence = places
        for group in [*groups, *shared]:
            group.pop("RealWorldValueMappingSequence", None)
    for place in places:
        place.RescaleSlope, place.RescaleIntercept = _decimal(scale.slope), _decimal(scale.intercept)
        place.RescaleType = place.get("RescaleType") or "US"
    for name in ("RealWorldValueMappingSequence", "PixelPaddingValue", (0x2005, 0x100E)):
        dataset.pop(name, None)


def _set_pixels(dataset: "Dataset", stored: np.ndarray) -> None:
    """Pixels `[N, rows, columns]`, uncompressed, in the byte order of the data set."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        implicit = bool(dataset.original_encoding[0])
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    if syntax.is_encapsulated:
        syntax = ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    order = "<" if syntax.is_little_endian else ">"
    kind = "i" if dataset.PixelRepresentation else "u"
    size = int(dataset.BitsAllocated) // 8
    content = stored.astype(f"{order}{kind}{size}").tobytes()
    dataset.add_new("PixelData", "OB" if size == 1 else "OW", content + b"\0" * (len(content) % 2))
    for name, value in (("SmallestImagePixelValue", stored.min()), ("LargestImagePixelValue", stored.max())):
        if name in dataset:
            dataset.add_new(name, "SS" if kind == "i" else "US", int(value))
