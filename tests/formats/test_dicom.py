"""DICOM series: sorted, rescaled, given back with geometry and patient as they were; what cannot be read is named."""

import copy
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from snraware_jax import cli
from snraware_jax.errors import InputError
from snraware_jax.formats.images import read, write
from tests.formats.dicoms import ACROSS, DOWN, GAP, ORIGIN, write_classic, write_enhanced
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


@pytest.mark.parametrize("make", [write_classic, write_enhanced])
@pytest.mark.parametrize(
    ("role", "description", "number", "derivation"),
    [
        ("noise map", "cine short axis SNRAware noise SD", 1007, "Noise SD of the images denoised by SNRAware-JAX"),
        ("g-map", "cine short axis g-factor map", 2007, "g-factor map of the images, written by SNRAware-JAX"),
    ],
)
def test_maps_are_no_denoised_images(tmp_path, stored, make, role, description, number, derivation):
    """A noise map was "cine short axis SNRAware", of the same number, and in integers of the images' slope: SD 1.5 was 1 or 2."""
    source = tmp_path / ("in" if make is write_classic else "in.dcm")
    make(source, stored, slope=lambda s: ("1", "0"))
    for file in source.iterdir() if source.is_dir() else [source]:
        dataset = pydicom.dcmread(file)
        dataset.WindowCenter, dataset.WindowWidth = "2000", "4000"
        dataset.save_as(file)
    images = read(source)
    noise = replace(images, data=np.full(SHAPE, 1.5, np.float32) + np.linspace(0, 0.01, 420, dtype=np.float32).reshape(SHAPE))
    output = source.with_name(source.name.replace("in", "noise"))
    write(output, noise, images, role=role)
    again = read(output)
    np.testing.assert_allclose(again.data, noise.data, atol=2e-5)
    np.testing.assert_array_equal(again.affine, images.affine)
    for after in files(output).values() if output.is_dir() else [pydicom.dcmread(output)]:
        assert (after.SeriesDescription, after.SeriesNumber, after.DerivationDescription) == (description, number, derivation)
        assert "WindowCenter" not in after
        assert "WindowWidth" not in after
        assert after.PatientName == "Somebody^Else"
    write(output.with_name(f"same{output.suffix}"), noise, images)
    uids = {read(path).template.datasets[0].SeriesInstanceUID for path in (output, output.with_name(f"same{output.suffix}"))}
    assert len(uids) == 2


def test_images_that_were_not_denoised_do_not_say_so(tmp_path, stored):
    write_classic(tmp_path / "in", stored)
    images = read(tmp_path / "in")
    write(tmp_path / "out", images, images, role="unchanged")
    for name, after in files(tmp_path / "out").items():
        assert (after.SeriesDescription, after.DerivationDescription) == ("cine short axis copy", "Copied by SNRAware-JAX")
        assert after.PixelData == pydicom.dcmread(tmp_path / "in" / name).PixelData


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


def test_complex_images_and_many_files_in_one_are_refused(tmp_path, stored):
    write_classic(tmp_path / "in", stored)
    images = read(tmp_path / "in")
    with pytest.raises(InputError, match=f"{tmp_path}/out: DICOM holds magnitudes: write complex images as"):
        write(tmp_path / "out", replace(images, data=images.data.astype(np.complex64)), images)
    with pytest.raises(InputError, match=f"{tmp_path}/out.dcm: the series has 12 files: give a folder"):
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


def test_magnitude_and_phase_of_one_folder(tmp_path, stored):
    """--series says which images; the phase is the only series whose image type says so."""
    folder = tmp_path / "in"
    phase = np.random.default_rng(3).integers(0, 4096, SHAPE)
    write_classic(folder, stored)
    write_classic(tmp_path / "p", phase, slope=lambda s: ("2", "-4096"), ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])
    for file in list((tmp_path / "p").iterdir()):
        file.rename(folder / f"p{file.name}")
    images = read(folder, series="7 M\\ND", phase=folder)
    np.testing.assert_allclose(np.abs(images.data), stored, atol=1e-3)
    assert images.units["phase_unit"] == "-4096..4095"
    np.testing.assert_array_equal(images.phase.data, 2 * phase - 4096)

    write_classic(
        tmp_path / "p", phase, SeriesNumber=9, SeriesInstanceUID="1.2.9", ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]
    )
    for file in list((tmp_path / "p").iterdir()):
        file.rename(folder / f"q{file.name}")
    with pytest.raises(InputError, match=r"in holds 3 series: .* --phase takes one phase series: write it by itself") as caught:
        read(folder, series="7 M\\ND", phase=folder)
    name = "7 P\\ND"
    assert f"`snraware convert {folder} --series '{name}' -o phase`" in str(caught.value)
    assert cli.main(["convert", str(folder), "--series", name, "-o", str(tmp_path / "phase")]) == 0  # what it says
    np.testing.assert_array_equal(read(folder, series="7 M\\ND", phase=tmp_path / "phase").data, images.data)


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


def test_writing_leaves_the_template_as_it_was(tmp_path, stored):
    write_enhanced(tmp_path / "in.dcm", stored, slope=slopes)
    images = read(tmp_path / "in.dcm")
    before = copy.deepcopy(images.template.datasets[0])
    write(tmp_path / "out.dcm", images, images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert before == images.template.datasets[0]
