"""Makes tiny DICOM series, classic and multi-frame, oblique, with slopes of every slice and private tags."""

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ACROSS, DOWN = np.array([0.8, 0.6, 0.0]), np.array([-0.48, 0.64, 0.6])  # exact unit vectors, oblique
ORIGIN, GAP = np.array([-83.25, 11.5, 40.125]), 3.5
CLASSIC, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"


def position(place: int) -> list[float]:
    return [float(f"{value:.6f}") for value in ORIGIN + GAP * place * np.cross(ACROSS, DOWN)]


def common(sop_class: str, uid: str, rows: int, columns: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.PatientName, dataset.PatientID = "Somebody^Else", "0815"
    dataset.Modality, dataset.Manufacturer = "MR", "Nobody"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "1.2.3.4", "1.2.3"
    dataset.SeriesNumber, dataset.SeriesDescription = 7, "cine short axis"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    block = dataset.private_block(0x0029, "SOMEBODY", create=True)
    block.add_new(0x10, "LO", "private")
    block.add_new(0x11, "OB", bytes(range(16)))
    return dataset


def write_classic(folder: Path, stored: np.ndarray, slope=None, seed=0, **changes) -> None:
    """Files of `stored` `[T, S, rows, columns]` in shuffled order of names; `slope(s)` -> (slope, intercept) of a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    frames, slices, rows, columns = stored.shape
    names = np.random.default_rng(seed).permutation(frames * slices)
    for t in range(frames):
        for s in range(slices):
            number = t * slices + s
            dataset = common(CLASSIC, f"1.2.3.4.{number + 1}", rows, columns)
            dataset.InstanceNumber = number + 1
            dataset.TriggerTime = f"{40.5 * t:g}"
            dataset.ImagePositionPatient = position(s)
            dataset.ImageOrientationPatient = [*ACROSS, *DOWN]
            dataset.PixelSpacing, dataset.SliceThickness = [1.25, 1.5], 3
            if slope is not None:
                dataset.RescaleSlope, dataset.RescaleIntercept = slope(s)
            dataset.PixelData = stored[t, s].astype("<u2").tobytes()
            for name, value in changes.items():
                setattr(dataset, name, value)
            dataset.save_as(folder / f"IM{names[number]:03}.dcm", enforce_file_format=True)


def item(**values) -> list[Dataset]:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return [dataset]


def write_enhanced(path: Path, stored: np.ndarray, slope=None, seed=0, kind="M") -> None:
    """One file of `stored` `[T, S, rows, columns]`, its frames shuffled; slopes in every frame's own functional group."""
    frames, slices, rows, columns = stored.shape
    dataset = common(ENHANCED, "1.2.3.5.1", rows, columns)
    order = np.random.default_rng(seed).permutation(frames * slices)
    dataset.NumberOfFrames = frames * slices
    shared = Dataset()
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[*ACROSS, *DOWN])
    shared.PixelMeasuresSequence = item(PixelSpacing=[1.25, 1.5], SliceThickness=3)
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number in order:
        t, s = divmod(int(number), slices)
        group = Dataset()
        group.PlanePositionSequence = item(ImagePositionPatient=position(s))
        group.FrameContentSequence = item(TemporalPositionIndex=t + 1)
        group.MRImageFrameTypeSequence = item(FrameType=["ORIGINAL", "PRIMARY", kind, "NONE"])
        if slope is not None:
            values = slope(s)
            group.PixelValueTransformationSequence = item(RescaleSlope=values[0], RescaleIntercept=values[1], RescaleType="US")
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.PixelData = stored.reshape(-1, rows, columns)[order].astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)
