"""DICOM files that cannot be read, and damaged ones: named, never written."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLSLossless

from snraware_jax.errors import InputError
from snraware_jax.formats.dicom_write import write_images
from snraware_jax.formats.images import read, remarks
from snraware_jax.image_check import check
from tests.formats.damage import assert_read_or_refused
from tests.formats.dicoms import ACROSS, position, write_classic


@pytest.fixture
def stored():
    return np.random.default_rng(0).integers(0, 4096, (3, 4, 5, 7))  # [T, S, rows, columns]


def edit(folder: Path, change, only=1) -> None:
    for file in sorted(folder.iterdir())[:only]:
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file)


def other_size(dataset):
    dataset.Rows, dataset.Columns = 7, 5


def other_orientation(dataset):
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def beside(dataset):
    dataset.ImagePositionPatient = [float(a + 50 * b) for a, b in zip(dataset.ImagePositionPatient, ACROSS, strict=True)]


def elsewhere(dataset):
    dataset.ImagePositionPatient = position(9)


def without_position(dataset):
    del dataset.ImagePositionPatient


def without_orientation(dataset):
    del dataset.ImageOrientationPatient


def double(dataset):
    for name in ("TriggerTime", "InstanceNumber"):
        delattr(dataset, name)


def mosaic(dataset):
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]


def colour(dataset):
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"


def no_rows(dataset):
    dataset.Rows = 0


def zero_slope(dataset):
    dataset.RescaleSlope, dataset.RescaleIntercept = 0, 0


def short(dataset):
    dataset.PixelData = dataset.PixelData[:-2]


def three_numbers(dataset):
    dataset.ImagePositionPatient = [1, 2]


def no_pixels(dataset):
    del dataset.PixelData


def many_frames(dataset):
    dataset.NumberOfFrames = 3


def strange_compression(dataset):
    dataset.PixelData = pydicom.encaps.encapsulate([dataset.PixelData])
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_size, r"holds images of several sizes \(5x7, 7x5\)"),
        (other_orientation, "holds slices of 2 orientations"),
        (beside, "several stacks of slices in the same planes"),
        (elsewhere, r"12 images are no full grid of 5 slices: the slice at \(.*\) mm has 1, others up to 3"),
        (without_position, "some have no ImagePositionPatient or ImageOrientationPatient"),
        (without_orientation, "some images have no ImageOrientationPatient"),
        (double, "no temporal position, trigger time or instance number tells them apart"),
        (mosaic, r"IM000.dcm is a Siemens mosaic"),
        (colour, r"IM000.dcm is a colour image \(RGB, 3 samples a pixel\)"),
        (no_rows, "IM000.dcm has 0 rows and 7 columns"),
        (zero_slope, "IM000.dcm has rescale slope 0.0"),
        (short, r"IM000.dcm is damaged .*number of bytes of pixel data is less than expected \(68 vs 70 bytes\)"),
        (three_numbers, "IM000.dcm is damaged .*3 numbers were expected"),
        (no_pixels, "IM000.dcm has no PixelData: it is cut short"),
        (many_frames, "IM000.dcm has 3 frames that do not say where they lie"),
        (strange_compression, "IM000.dcm is compressed as JPEG-LS Lossless Image Compression: decompress it, or install"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.filterwarnings("ignore")
def test_unusable_series_are_refused(tmp_path, stored, change, message):
    write_classic(tmp_path / "in", stored)
    edit(tmp_path / "in", change)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "in")


def without(folder: Path, *places: int, slices: int = 6) -> Path:
    """A series of `slices` slices without those."""
    write_classic(folder, np.random.default_rng(0).integers(0, 4096, (2, slices, 5, 7)))
    for file in list(folder.iterdir()):
        if (pydicom.dcmread(file).InstanceNumber - 1) % slices in places:
            file.unlink()
    return folder


@pytest.mark.parametrize(
    ("places", "slices", "message"),
    [
        ([2], 6, r"a slice is missing at \({}\) mm: slices lie 3.5 mm apart, and there 7 mm"),
        ([1], 4, r"a slice is missing at \({}\) mm: slices lie 3.5 mm apart, and there 7 mm"),
        ([4, 5, 6], 9, r"3 slices are missing from \({}\) mm: slices lie 3.5 mm apart, and there 14 mm"),
    ],
)
def test_a_missing_slice_is_named_with_its_place(tmp_path, places, slices, message):
    place = ", ".join(f"{value:.6g}" for value in position(places[0]))
    with pytest.raises(InputError, match=message.format(place)):
        read(without(tmp_path / "in", *places, slices=slices))


def test_slices_missing_at_the_ends_leave_a_stack(tmp_path):
    images = read(without(tmp_path / "in", 0, 5))
    assert images.data.shape == (2, 4, 5, 7)
    assert "uneven_slices_mm" not in images.metadata


def test_uneven_slices_are_said(tmp_path):
    def moved(dataset):
        place = (dataset.InstanceNumber - 1) % 4
        dataset.ImagePositionPatient = position(place + (0.4 if place == 2 else 0))

    write_classic(tmp_path / "in", np.random.default_rng(0).integers(0, 4096, (2, 4, 5, 7)))
    edit(tmp_path / "in", moved, only=8)
    images = read(tmp_path / "in")
    assert images.metadata["uneven_slices_mm"] == pytest.approx([2.1, 4.9, 1.4], abs=1e-4)
    said = "in: SLICES LIE UNEVENLY, 2.1 to 4.9 mm apart: an affine, whose steps are even, puts them up to 1.4 mm from their places"
    assert remarks(images, "in") == [said]
    assert said.removeprefix("in: ") in check(images, "in").lines


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MR_truncated.dcm", "is damaged .*less than expected"),
        ("SC_rgb_small_odd.dcm", "is a colour image"),
        ("JPEG-lossy.dcm", "is compressed as JPEG Extended"),
        ("liver_1frame.dcm", "has 1 bits a pixel"),
        ("rtdose.dcm", "has 15 frames that do not say where they lie"),
        ("badVR.dcm", "is damaged"),
        ("reportsi.dcm", "no DICOM image among 1 files"),
        ("rtplan.dcm", "no DICOM image among 1 files"),
        ("nested_priv_SQ.dcm", "says no SOPClassUID"),
        ("zipMR.gz", "is no image that can be read"),
        ("README.txt", "is no image that can be read"),
        ("DICOMDIR", "no DICOM image among 1 files"),
    ],
)
def test_files_of_pydicom_that_are_no_grey_images_are_refused(name, message):
    path = get_testdata_file(name, download=False)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_damaged_file_is_read_or_refused(tmp_path):
    """Bytes of the header changed, and the file cut anywhere: no other exception."""
    rng = np.random.default_rng(0)
    write_classic(tmp_path / "in", np.full((1, 1, 3, 3), 5))
    (source,) = (tmp_path / "in").iterdir()
    content = source.read_bytes()
    path = tmp_path / "fuzzed.dcm"
    for trial in range(300):
        damaged = bytearray(content)
        if trial % 4:
            for place in rng.integers(128, len(content), 1 + trial % 3):
                damaged[place] ^= int(rng.integers(1, 256))
        else:
            damaged = damaged[: rng.integers(1, len(content))]
        assert_read_or_refused(path, damaged, write_images)
