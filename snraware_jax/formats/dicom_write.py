"""DICOM series out: the data sets of the input with other pixels, new UIDs, and what says that they are derived.

Source: DICOM PS3.3, C.7.6.1 (derived images), C.11.1 (rescaling).
"""

import copy
import hashlib
import io
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import require_own_folder
from snraware_jax.formats.dicom import Template, decoding
from snraware_jax.formats.images import DICOM, MAPS, Images, Role
from snraware_jax.formats.scaled import Limits, Scale, fits, limits_of, new_scale, to_integers

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

LONGEST_DESCRIPTION = 64  # characters of a LO value


class Label(NamedTuple):
    """What the data sets of one role say.

    Attributes:
      suffix: behind the SeriesDescription.
      derivation: DerivationDescription.
      further: by how much the SeriesNumber goes up, or viewers put a map among the images.
    """

    suffix: str
    derivation: str
    further: int = 0


LABELS: dict[Role, Label] = {
    "denoised": Label(" SNRAware", "Denoised by SNRAware-JAX"),
    "unchanged": Label(" copy", "Copied by SNRAware-JAX"),
    "noise map": Label(" SNRAware noise SD", "Noise SD of the images denoised by SNRAware-JAX", 1000),
    "g-map": Label(" g-factor map", "g-factor map of the images, written by SNRAware-JAX", 2000),
}
# how images are shown, and what their values mean: not those of a map
OF_IMAGES = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTSequence", "FrameVOILUTSequence")


def require_writable(path: Path, like: Images, frames: int, is_complex: bool, role: Role = "denoised") -> None:
    """Refuse what `write_images` cannot write.

    Args:
      path: of the output: a file by its suffix, else a folder.
      like: series whose files are written.
      frames, is_complex: of the images.
      role: of the images.

    Raises:
      InputError: complex images, a file name for a series of several files, a folder with other files.
    """
    if is_complex:
        raise InputError("DICOM holds magnitudes: write complex images as .nii.gz or .npy, or give --phase.")
    used = {plane.file for frame in like.template.planes[:frames] for plane in frame}
    if path.suffix.lower() not in DICOM:
        require_own_folder(path, [like.template.names[number] for number in used])
    elif len(used) > 1:
        raise InputError(f"the series has {len(used)} files: give a folder, without {path.suffix}.")


def write_images(path: Path, images: Images, like: Images, role: Role = "denoised") -> None:
    """Write a series of the files of `like`, which `require_writable` lets pass: `path` is a file or a folder that is there.

    Data sets are copied with private tags and patient data; new are the instance and series UIDs (from the source's UID and
    the pixels: the same images give the same UIDs), ImageType DERIVED, SeriesDescription, DerivationDescription and
    SourceImageSequence. Compressed input becomes Explicit VR Little Endian, other transfer syntaxes stay.

    Values are integers of one slope for the series: that of the input where its slices share one and all values fit its
    bits, else the finest that 16 bits allow; they come back to within half a slope. With a new slope,
    RealWorldValueMappingSequence, PixelPaddingValue and the Philips scale slope go, which would be wrong. Maps always get a
    new slope, whatever that of the images, and their windows go too.

    Raises:
      InputError: a data set that pydicom cannot write.
    """
    template: Template = like.template
    planes = template.planes[: len(images.data)]
    used = sorted({plane.file for frame in planes for plane in frame})
    datasets = [template.datasets[number] for number in used]
    scales = {plane.scale for frame in planes for plane in frame} if role not in MAPS else set()
    scale, limits, fresh = _scale(images.data, datasets, scales)
    digest = hashlib.sha256(images.data.tobytes()).hexdigest() + (f" {role}" if role in MAPS else "")
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
            _mark_derived(dataset, digest, LABELS[role])
            if role in MAPS:
                _forget(dataset, OF_IMAGES)
            if fresh:
                _set_scale(dataset, scale, limits)
            _set_pixels(dataset, to_integers(values, scale, limits))
            encoded = io.BytesIO()
            dataset.save_as(encoded, enforce_file_format=True)
        (path / name if path.is_dir() else path).write_bytes(encoded.getbuffer())


def _scale(data: np.ndarray, datasets: list["Dataset"], scales: set[Scale]) -> tuple[Scale, Limits, bool]:
    """Scale and limits of the stored integers, and whether they are other than the input's, `scales`."""
    stored = {(int(dataset.BitsStored), bool(dataset.PixelRepresentation)) for dataset in datasets}
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


def _mark_derived(dataset: "Dataset", digest: str, label: Label) -> None:
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
    dataset.SeriesDescription = described[: LONGEST_DESCRIPTION - len(label.suffix)] + label.suffix
    dataset.DerivationDescription = label.derivation
    if label.further and str(dataset.get("SeriesNumber") or ""):
        dataset.SeriesNumber = int(dataset.SeriesNumber) + label.further
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _forget(dataset: "Dataset", names: Sequence[str]) -> None:
    """Without those attributes, in its functional groups too."""
    groups = [dataset.get(f"{which}FunctionalGroupsSequence") or [] for which in ("PerFrame", "Shared")]
    for place in (dataset, *groups[0], *groups[1]):
        for name in names:
            place.pop(name, None)


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
