"""DICOM series: sorted, rescaled, given back with geometry and patient as they were; what cannot be read is named."""

import copy
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLSLossless

from snraware_jax.errors import InputError
from snraware_jax.formats.dicom_write import write_images
from snraware_jax.formats.images import read, write
from tests.formats.damage import assert_read_or_refused
from tests.formats.dicoms import ACROSS, DOWN, GAP, ORIGIN, position, write_classic, write_enhanced
from tests.recon.phantom import replace

# what writing may change, besides pixels; with another slope also the second line
DERIVED = (
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "ImageType",
    "SeriesDescription",
    "DerivationDescription",
    "SourceImageSequence",
)
RESCALED = ("RescaleSlope", "RescaleIntercept", "RescaleType", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
SHAPE = (3, 4, 5, 7)  # [T, S, rows, columns], odd sizes


def slopes(s: int) -> tuple[str, str]:
    return f"{1.5 + 0.25 * s:g}", f"{-10 * s:g}"


@pytest.fixture
def stored():
    return np.random.default_rng(0).integers(0, 4096, SHAPE)


def assert_same_but_derived(before, after, changed=DERIVED):
    """Every element is the same, of the same representation, in the functional groups too."""
    names = {element.keyword for element in (*before, *after)}
    for name in names - {"PixelData", *changed}:
        if name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
            continue
        assert before.get(name) == after.get(name), name
    for element in before:
        if element.tag.is_private:
            assert after[element.tag] == element
    assert before.PatientName == after.PatientName
    assert after.ImageType[0] == "DERIVED"
    assert after.SeriesDescription == f"{before.get('SeriesDescription') or ''} SNRAware"
    assert after.SourceImageSequence[-1].ReferencedSOPInstanceUID == before.SOPInstanceUID
    for name in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert after[name].value != before[name].value
        assert after[name].value.is_valid
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID


def files(folder: Path) -> dict:
    return {file.name: pydicom.dcmread(file) for file in sorted(folder.iterdir())}


def test_a_classic_series_is_sorted_and_comes_back(tmp_path, stored):
    write_classic(tmp_path / "in", stored)
    images = read(tmp_path / "in")
    np.testing.assert_array_equal(images.data, stored.astype(np.float32))
    assert images.metadata["frame_order"] == "TriggerTime"
    assert images.spacing == pytest.approx((GAP, 1.25, 1.5), abs=1e-5)
    corner = images.affine @ [2, 3, 1, 1]
    lps = ORIGIN + GAP * np.cross(ACROSS, DOWN) + 2 * 1.5 * ACROSS + 3 * 1.25 * DOWN
    np.testing.assert_allclose(corner[:3], lps * [-1, -1, 1], atol=1e-5)

    assert write(tmp_path / "out", images, images) == (tmp_path / "out",)
    before, after = files(tmp_path / "in"), files(tmp_path / "out")
    assert before.keys() == after.keys()
    for name in before:
        assert_same_but_derived(before[name], after[name])
        assert before[name].PixelData == after[name].PixelData
    assert len({dataset.SeriesInstanceUID for dataset in after.values()}) == 1
    assert len({dataset.SOPInstanceUID for dataset in after.values()}) == 12
    again = read(tmp_path / "out")
    np.testing.assert_array_equal(again.data, images.data)
    np.testing.assert_array_equal(again.affine, images.affine)


@pytest.mark.parametrize("make", [write_classic, write_enhanced])
def test_slopes_of_every_slice_become_one(tmp_path, stored, make):
    source = tmp_path / ("in" if make is write_classic else "in.dcm")
    make(source, stored, slope=slopes)
    images = read(source)
    slope, intercept = (np.array([float(slopes(s)[i]) for s in range(4)])[:, None, None] for i in (0, 1))
    np.testing.assert_array_equal(images.data, (stored * slope + intercept).astype(np.float32))
    assert images.units == {"slope": [1.5, 2.25], "slopes": 4}

    output = source.with_name(source.name.replace("in", "out"))
    write(output, images, images)
    again = read(output)
    one = again.units["slope"]
    assert one <= (images.data.max() - images.data.min()) / 65000
    np.testing.assert_allclose(again.data, images.data, atol=0.501 * one)
    np.testing.assert_array_equal(again.affine, images.affine)
    if make is write_classic:
        before, after = files(source), files(output)
        for name in before:
            assert_same_but_derived(before[name], after[name], DERIVED + RESCALED)


@pytest.mark.parametrize("slope", [None, lambda s: ("2", "-7")], ids=["no slope", "one slope"])
def test_an_enhanced_file_comes_back_frame_by_frame(tmp_path, stored, slope):
    write_enhanced(tmp_path / "in.dcm", stored, slope)
    images = read(tmp_path / "in.dcm")
    np.testing.assert_array_equal(images.data, stored * (2 if slope else 1) - (7 if slope else 0))
    assert images.metadata["frame_order"] == "TemporalPositionIndex"
    write(tmp_path / "out.dcm", images, images)
    before, after = pydicom.dcmread(tmp_path / "in.dcm"), pydicom.dcmread(tmp_path / "out.dcm")
    assert_same_but_derived(before, after)
    assert before.PixelData == after.PixelData
    assert before.SharedFunctionalGroupsSequence == after.SharedFunctionalGroupsSequence
    pairs = zip(before.PerFrameFunctionalGroupsSequence, after.PerFrameFunctionalGroupsSequence, strict=True)
    for a, b in pairs:
        assert b.MRImageFrameTypeSequence[0].FrameType[0] == "DERIVED"
        assert all(a[name] == b[name] for name in ("PlanePositionSequence", "FrameContentSequence"))
    np.testing.assert_array_equal(read(tmp_path / "out.dcm").data, images.data)


def test_enhanced_files_of_one_volume_each(tmp_path, stored):
    (tmp_path / "in").mkdir()
    for t in range(3):
        path = tmp_path / "in" / f"{2 - t}.dcm"
        write_enhanced(path, stored[t : t + 1])
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber, dataset.SOPInstanceUID = t + 1, f"1.2.3.5.{t}"
        dataset.save_as(path)
    images = read(tmp_path / "in")
    assert images.metadata["frame_order"] == "InstanceNumber"
    np.testing.assert_array_equal(images.data, stored)
    write(tmp_path / "out", images, images)
    np.testing.assert_array_equal(read(tmp_path / "out").data, stored)
    write(tmp_path / "one", replace(images, data=images.data[:1]), images)
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["2.dcm"]


def test_magnitude_and_phase_of_one_enhanced_file(tmp_path, stored):
    path = tmp_path / "in.dcm"
    write_enhanced(path, stored[:2])
    dataset = pydicom.dcmread(path)
    for group in dataset.PerFrameFunctionalGroupsSequence:
        if group.FrameContentSequence[0].TemporalPositionIndex == 2:
            group.MRImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "P", "NONE"]
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"holds 2 series: .*'7 P\\NONE' \(cine short axis, 4 images\)"):
        read(path)
    images = read(path, series="7 P\\NONE")
    np.testing.assert_array_equal(images.data, stored[1:2])
    write(tmp_path / "out.dcm", images, images)
    again = read(tmp_path / "out.dcm")
    assert pydicom.dcmread(tmp_path / "out.dcm").NumberOfFrames == 4
    np.testing.assert_array_equal(again.data, images.data)
    np.testing.assert_array_equal(again.affine, images.affine)


@pytest.mark.parametrize("make", [write_classic, write_enhanced])
def test_one_frame_of_many_in_another_scale(tmp_path, stored, make):
    source = tmp_path / ("in" if make is write_classic else "in.dcm")
    make(source, stored)
    images = read(source)
    noise = replace(images, data=np.random.default_rng(1).normal(size=(1, *SHAPE[1:])).astype(np.float32))
    output = source.with_name(source.name.replace("in", "noise"))
    write(output, noise, images)
    found = read(output)
    assert found.data.shape == (1, *SHAPE[1:])
    np.testing.assert_allclose(found.data, noise.data, atol=0.51 * found.units["slope"])
    assert found.units["slope"] < 2e-4
    np.testing.assert_array_equal(found.affine, images.affine)


def test_the_same_images_give_the_same_files(tmp_path, stored):
    write_classic(tmp_path / "in", stored)
    images = read(tmp_path / "in")
    content = []
    for _ in range(2):  # the second time over the first
        write(tmp_path / "out", images, images)
        content.append({file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()})
    assert content[0] == content[1]
    other = replace(images, data=images.data // 2)
    write(tmp_path / "other", other, images)
    uids = {read(tmp_path / name).template.datasets[0].SeriesInstanceUID for name in ("in", "out", "other")}
    assert len(uids) == 3


def test_frames_are_ordered_by_the_number_where_trigger_times_jitter(tmp_path, stored):
    write_classic(tmp_path / "in", stored)
    for i, t in enumerate((700, 655, 710)):  # perfusion: a frame a heartbeat
        for dataset_file in (tmp_path / "in").iterdir():
            dataset = pydicom.dcmread(dataset_file)
            if (dataset.InstanceNumber - 1) // 4 == i:
                dataset.TriggerTime = t
                dataset.save_as(dataset_file)
    images = read(tmp_path / "in")
    assert images.metadata["frame_order"] == "InstanceNumber"
    np.testing.assert_array_equal(images.data, stored)


def test_other_files_of_a_folder_are_named_and_left_out(tmp_path, stored):
    write_classic(tmp_path / "in", stored)
    (tmp_path / "in" / "DICOMDIR").write_bytes(Path(get_testdata_file("DICOMDIR")).read_bytes())
    (tmp_path / "in" / "report.dcm").write_bytes(Path(get_testdata_file("reportsi.dcm")).read_bytes())
    (tmp_path / "in" / "notes.txt").write_text("notes")
    (tmp_path / "in" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "in" / "below").mkdir()
    images = read(tmp_path / "in")
    assert images.metadata["ignored"] == ["DICOMDIR", "notes.txt", "report.dcm"]
    np.testing.assert_array_equal(images.data, stored)


def test_philips_private_slopes_are_used_and_said(tmp_path, stored):
    write_classic(tmp_path / "in", stored[:1, :1])
    (file,) = (tmp_path / "in").iterdir()
    dataset = pydicom.dcmread(file)
    dataset.add_new((0x2005, 0x0014), "LO", "Philips MR Imaging DD 005")
    dataset.add_new((0x2005, 0x1409), "DS", "5")
    dataset.add_new((0x2005, 0x140A), "DS", "0.5")
    dataset.save_as(file)
    images = read(file)
    np.testing.assert_array_equal(images.data[0, 0], 0.5 * stored[0, 0] + 5)
    assert "(2005,140A)" in images.units["slope_from"]
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, 0
    dataset.save_as(file)
    np.testing.assert_array_equal(read(file).data[0, 0], 2 * stored[0, 0])


def test_series_of_one_folder_are_picked_by_name(tmp_path, stored):
    folder = tmp_path / "in"
    write_classic(folder, stored[:1])
    for file in list(folder.iterdir()):
        dataset = pydicom.dcmread(file)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "P", "ND"]
        dataset.SOPInstanceUID += ".9"
        dataset.PixelData = (stored[1, 0] * 0 + 9).astype("<u2").tobytes()
        dataset.save_as(folder / f"phase{file.name}")
        dataset.SeriesNumber, dataset.SeriesInstanceUID, dataset.SeriesDescription = 8, "1.2.3.99", "other"
        dataset.save_as(folder / f"other{file.name}")
    with pytest.raises(InputError, match=r"in holds 3 series: .*'7 M\\ND' \(cine short axis, 4 images\)") as caught:
        read(folder)
    assert "'8' (other, 4 images); give one, for example --series '" in str(caught.value)
    np.testing.assert_array_equal(read(folder, series="7 M\\ND").data, stored[:1])
    assert (read(folder, series="7 P\\ND").data == 9).all()
    for name in ("8", "other", "1.2.3.99"):
        assert read(folder, series=name).metadata["series"] == "8"
    for name in ("7", "9", ""):
        with pytest.raises(InputError, match=f"has no single series '{name}'"):
            read(folder, series=name)


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


def test_complex_images_and_many_files_in_one_are_refused(tmp_path, stored):
    write_classic(tmp_path / "in", stored)
    images = read(tmp_path / "in")
    with pytest.raises(InputError, match="DICOM holds magnitudes: write complex images as"):
        write(tmp_path / "out", replace(images, data=images.data.astype(np.complex64)), images)
    with pytest.raises(InputError, match="the series has 12 files: give a folder"):
        write(tmp_path / "out.dcm", images, images)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match=r"full holds other files \(precious.txt\): give an empty folder"):
        write(tmp_path / "full", images, images)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["full", "in"]
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["precious.txt"]


def test_magnitude_and_phase_series(tmp_path, stored):
    write_classic(tmp_path / "m", stored, slope=lambda s: ("1", "0"))
    phase = np.random.default_rng(3).integers(0, 4096, SHAPE)
    write_classic(tmp_path / "p", phase, slope=lambda s: ("2", "-4096"), SeriesInstanceUID="1.2.3.5", SeriesNumber=8)
    images = read(tmp_path / "m", phase=tmp_path / "p")
    assert images.units["phase_unit"] == "-4096..4095"
    expected = stored * np.exp(1j * np.pi * (2 * phase - 4096) / 4096)
    np.testing.assert_allclose(images.data, expected, atol=1e-3)
    assert write(tmp_path / "out", images, images) == (tmp_path / "out", tmp_path / "out_phase")
    np.testing.assert_array_equal(read(tmp_path / "out").data, stored)
    found = read(tmp_path / "out_phase").data
    np.testing.assert_array_equal(found[stored > 0], (2 * phase - 4096)[stored > 0])


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_padded.dcm",
        "CT_small.dcm",
        "examples_overlay.dcm",
        "image_dfl.dcm",
        "rtdose_1frame.dcm",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_files_of_pydicom_come_back(tmp_path, name):
    source = Path(get_testdata_file(name, download=False))
    before = pydicom.dcmread(source)
    images = read(source)
    slope, intercept = float(before.get("RescaleSlope", 1)), float(before.get("RescaleIntercept", 0))
    np.testing.assert_array_equal(images.data[0, 0], (slope * before.pixel_array + intercept).astype(np.float32))
    write(tmp_path / "out.dcm", images, images)
    after = pydicom.dcmread(tmp_path / "out.dcm")
    if before.BitsStored <= 16:
        np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    edges = ("SmallestImagePixelValue", "LargestImagePixelValue")
    changed = (*DERIVED, *edges, *(RESCALED if before.BitsStored > 16 else ()))
    assert_same_but_derived(before, after, changed)


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


def test_writing_leaves_the_template_as_it_was(tmp_path, stored):
    write_enhanced(tmp_path / "in.dcm", stored, slope=slopes)
    images = read(tmp_path / "in.dcm")
    before = copy.deepcopy(images.template.datasets[0])
    write(tmp_path / "out.dcm", images, images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert before == images.template.datasets[0]
