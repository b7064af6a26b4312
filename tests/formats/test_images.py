"""What all image formats share: kinds, g-maps, names of outputs; NumPy files, the authors' layout, series in SNR units."""

import os

import nibabel as nib
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats.hdf5 import read_series, write_series
from snraware_jax.formats.images import Images, files_of, is_series, kind_of, read, require_writable, size, write
from snraware_jax.formats.series import Series
from tests.formats.dicoms import write_classic
from tests.formats.test_nifti import oblique
from tests.recon.phantom import replace


def complex_values(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def g_values(*shape):
    return np.random.default_rng(9).uniform(1, 2, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (3, 2, 5, 7)])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, np.float64, np.int16, np.uint8])
def test_npy_files_come_back(tmp_path, shape, dtype):
    values = (100 * complex_values(*shape)).astype(dtype) if np.dtype(dtype).kind == "c" else np.ones(shape, dtype)
    np.save(tmp_path / "in.npy", np.asfortranarray(values))
    images = read(tmp_path / "in.npy")
    frames, slices, *_ = (1, 1, *shape) if len(shape) == 2 else (shape[0], 1, *shape[1:]) if len(shape) == 3 else shape
    assert images.data.shape == (frames, slices, 5, 7)
    write(tmp_path / "out.npy", images, images)
    found = np.load(tmp_path / "out.npy")
    assert found.dtype == (np.complex64 if np.dtype(dtype).kind == "c" else np.float32)
    np.testing.assert_array_equal(found, values.astype(found.dtype))


@pytest.mark.parametrize(
    ("image", "g_map", "data"),
    [
        ((3, 5, 7), (5, 7), (3, 1, 5, 7)),
        ((3, 5, 7), (1, 5, 7), (3, 1, 5, 7)),
        ((3, 5, 7), (3, 5, 7), (1, 3, 5, 7)),
        ((4, 3, 5, 7), (3, 5, 7), (4, 3, 5, 7)),
        ((5, 7), (5, 7), (1, 1, 5, 7)),
    ],
)
def test_an_array_of_slices_is_told_by_its_g_map(tmp_path, image, g_map, data):
    values, g = complex_values(*image), g_values(*g_map)
    np.savez(tmp_path / "in.npz", image=values, g_map=g)
    np.save(tmp_path / "in.npy", values)
    np.save(tmp_path / "g.npy", g)
    for images in (read(tmp_path / "in.npz"), read(tmp_path / "in.npy", gmap=tmp_path / "g.npy")):
        assert images.data.shape == data
        assert images.g_map.shape == data[1:]
        np.testing.assert_array_equal(images.g_map.ravel(), g.ravel())
        write(tmp_path / "out.npz", images, images)
        with np.load(tmp_path / "out.npz") as found:
            np.testing.assert_array_equal(found["image"], values)
            np.testing.assert_array_equal(found["g_map"], images.g_map)
        again = read(tmp_path / "out.npz")
        np.testing.assert_array_equal(again.data, images.data)


@pytest.mark.parametrize(
    ("image", "g_map", "data"),
    [
        ((7, 5), (7, 5), (1, 1, 5, 7)),
        ((7, 5, 3), (7, 5), (3, 1, 5, 7)),
        ((7, 5, 3), (7, 5, 1), (3, 1, 5, 7)),
        ((7, 5, 3), (7, 5, 3), (1, 3, 5, 7)),
        ((7, 5, 3, 2), (7, 5, 2), (3, 2, 5, 7)),
        ((7, 5, 3), None, (3, 1, 5, 7)),
    ],
)
def test_the_authors_layout(tmp_path, image, g_map, data):
    folder, values = tmp_path / "in", complex_values(*image)
    folder.mkdir()
    np.save(folder / "input_real.npy", values.real)
    np.save(folder / "input_imag.npy", values.imag)
    if g_map:
        np.save(folder / "gmap.npy", g_values(*g_map))
    assert kind_of(folder) == kind_of(folder / "input_imag.npy") == "authors"
    images = read(folder)
    np.testing.assert_array_equal(read(folder / "input_real.npy").data, images.data)
    assert images.data.shape == data
    assert images.data[0, 0, 4, 2] == values[(2, 4, 0, 0)[: len(image)]]
    assert (images.g_map is None) == (g_map is None)
    if g_map:
        assert images.g_map.shape == data[1:]
        assert images.g_map[0, 4, 2] == g_values(*g_map)[(2, 4, 0)[: len(g_map)]]
    assert write(tmp_path / "out", images, images) == (tmp_path / "out",)
    found = np.load(tmp_path / "out" / "input_real.npy") + 1j * np.load(tmp_path / "out" / "input_imag.npy")
    np.testing.assert_array_equal(found, values)
    again = read(tmp_path / "out")
    np.testing.assert_array_equal(again.data, images.data)
    if g_map:
        np.testing.assert_array_equal(again.g_map, images.g_map)


def test_authors_folders_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "a_real.npy", np.ones((7, 5, 3)))
    with pytest.raises(InputError, match="a_imag.npy: no such file; real and imaginary part lie beside each other"):
        read(tmp_path)
    np.save(tmp_path / "a_imag.npy", np.ones((7, 5, 2)))
    with pytest.raises(InputError, match=r"a: real part is float32 \(7, 5, 3\), imaginary float32 \(7, 5, 2\)"):
        read(tmp_path)
    np.save(tmp_path / "a_imag.npy", np.ones((7, 5, 3)))
    np.save(tmp_path / "gmap.npy", np.ones((4, 4)))
    with pytest.raises(InputError, match="gmap.npy: g-map is 4x4, image is 7x5x3 .*: put one of the image's size in its place"):
        read(tmp_path)
    np.save(tmp_path / "g.npy", np.full((5, 7), 2.0))  # [E1, RO], as of any other array
    assert (read(tmp_path, gmap=tmp_path / "g.npy").g_map == 2).all()
    np.save(tmp_path / "g.npy", np.full((3, 5, 7), 2.0))
    assert read(tmp_path, gmap=tmp_path / "g.npy").data.shape == (1, 3, 5, 7)
    (tmp_path / "g.npy").unlink()
    np.save(tmp_path / "b_real.npy", np.ones((7, 5, 3)))
    with pytest.raises(InputError, match="holds 2 images: a, b; give one, for example --series a"):
        read(tmp_path)
    with pytest.raises(InputError, match="has no image 'c'"):
        read(tmp_path, series="c")


@pytest.mark.parametrize("depth", [False, True], ids=["frames", "slices"])
def test_series_in_snr_units(tmp_path, depth):
    image = complex_values(3, 5, 7)
    maps = g_values(2, 3, 5, 7) if depth else g_values(2, 5, 7)
    series = Series(image, maps[0], maps, (2, 3), 2, {"name": "raw.h5"})
    write_series(tmp_path / "in.h5", series)
    images = read(tmp_path / "in.h5")
    assert kind_of(tmp_path / "in.h5") == "series"
    assert images.data.shape == ((1, 3, 5, 7) if depth else (3, 1, 5, 7))
    assert images.g_map.shape == images.data.shape[1:]
    write(tmp_path / "out.h5", images, images)
    found = read_series(tmp_path / "out.h5")
    for name in ("image", "g_map", "g_maps"):
        np.testing.assert_array_equal(getattr(found, name), getattr(series, name))
    assert (found.acceleration, found.accelerations, found.metadata) == (2, (2, 3), series.metadata)


def test_a_g_map_from_another_file(tmp_path):
    (tmp_path / "t1.nii").write_bytes(oblique((7, 5, 3, 4), np.float32))
    (tmp_path / "g.nii").write_bytes(oblique((7, 5, 3), np.uint8))
    images = read(tmp_path / "t1.nii", gmap=tmp_path / "g.nii")
    np.testing.assert_array_equal(images.g_map, read(tmp_path / "g.nii").data[0])
    assert images.metadata["g_map_from"] == "g.nii"
    np.save(tmp_path / "g.npy", g_values(3, 5, 7))
    np.testing.assert_array_equal(read(tmp_path / "t1.nii", gmap=tmp_path / "g.npy").g_map, g_values(3, 5, 7))


def test_g_maps_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "t1.npy", np.ones((30, 192, 256)))
    refused = {
        r"g-map is 128x128, image is 192x256x30. Use --gmap-resize if the fields of view agree.": np.ones((128, 128)),
        r"g-map is 192x256x29, image is 192x256x30": np.ones((29, 192, 256)),
        "is complex; a g-map is real": np.ones((192, 256), complex),
        "g-map holds 2 negative values": np.where(np.arange(192 * 256).reshape(192, 256) < 2, -1, 1),
    }
    for message, g_map in refused.items():
        np.save(tmp_path / "g.npy", g_map)
        with pytest.raises(InputError, match=f"g.npy:? {message}"):
            read(tmp_path / "t1.npy", gmap=tmp_path / "g.npy")
    g_map[...] = 1
    g_map = g_map.astype(float)
    g_map[3, 4] = np.inf
    np.save(tmp_path / "g.npy", g_map)
    with pytest.raises(InputError, match=r"g.npy: g-map .* holds 1 NaN or Inf of 49152 values \(first: \(0, 0, 3, 4\)\)"):
        read(tmp_path / "t1.npy", gmap=tmp_path / "g.npy")


def test_a_g_map_of_another_matrix_is_interpolated_on_demand(tmp_path):
    """Linear maps stay linear: fields of view agree at their edges, not at the middles of their corner voxels."""
    ramp = lambda rows, columns: np.add.outer((np.arange(rows) + 0.5) / rows, 2 + (np.arange(columns) + 0.5) / columns)
    np.save(tmp_path / "t1.npy", np.ones((30, 24, 32)))
    np.save(tmp_path / "g.npy", ramp(12, 40))
    found = read(tmp_path / "t1.npy", gmap=tmp_path / "g.npy", resize_gmap=True)
    assert found.g_map.shape == (1, 24, 32)
    np.testing.assert_allclose(found.g_map[0, 1:-1, 1:-1], ramp(24, 32)[1:-1, 1:-1], rtol=1e-6)
    volume = np.ones((1, 5, 24, 32))
    np.save(tmp_path / "t1.npy", volume)
    with pytest.raises(InputError, match="Every slice needs a g-map of its own"):
        read(tmp_path / "t1.npy", gmap=tmp_path / "g.npy", resize_gmap=True)


def test_slices_with_phase_and_g_map_of_arrays(tmp_path):
    values = complex_values(3, 25, 17)
    for name, array in {"m": np.abs(values), "p": np.angle(values), "g": g_values(3, 25, 17)}.items():
        np.save(tmp_path / f"{name}.npy", array)
    images = read(tmp_path / "m.npy", phase=tmp_path / "p.npy", gmap=tmp_path / "g.npy")
    assert images.data.shape == (1, 3, 25, 17)
    for ending in (".npy", ".nii"):
        written = write(tmp_path / f"out{ending}", images, images)
        assert [file.name for file in written] == [f"out{ending}", f"out_phase{ending}"]
        magnitude, phase = (read(file).data.reshape(3, 25, 17) for file in written)
        np.testing.assert_allclose(magnitude * np.exp(1j * phase), values, atol=2e-5)
    assert read(tmp_path / "out_phase.nii").data.shape == (1, 3, 25, 17)


def test_a_g_map_that_is_given_takes_the_place_of_a_bad_one(tmp_path):
    bad = {"size": np.ones((4, 4)), "value": np.full((5, 7), np.nan)}
    np.save(tmp_path / "g.npy", g_values(5, 7))
    for name, g_map in bad.items():
        np.savez(tmp_path / f"{name}.npz", image=complex_values(3, 5, 7), g_map=g_map)
        with pytest.raises(InputError, match=f"{name}.npz: g.map"):
            read(tmp_path / f"{name}.npz")
        images = read(tmp_path / f"{name}.npz", gmap=tmp_path / "g.npy")
        np.testing.assert_array_equal(images.g_map[0], g_values(5, 7))


def test_a_g_map_for_every_frame_is_refused(tmp_path):
    (tmp_path / "cine.nii").write_bytes(oblique((7, 5, 1, 4), np.float32))
    (tmp_path / "g.nii").write_bytes(oblique((7, 5, 1, 4), np.uint8))
    np.save(tmp_path / "g.npy", g_values(4, 5, 7))
    for name in ("g.nii", "g.npy"):
        with pytest.raises(InputError, match=f"{name} holds 4 g-maps; frames share one, slices have one each: give those"):
            read(tmp_path / "cine.nii", gmap=tmp_path / name)


def test_kinds(tmp_path):
    (tmp_path / "a.img").write_bytes(oblique())
    write_classic(tmp_path / "series", np.ones((1, 1, 4, 4)))
    next((tmp_path / "series").iterdir()).rename(tmp_path / "series" / "0001")  # no suffix
    np.save(tmp_path / "b.npy", np.ones((4, 4)))
    (tmp_path / "c.dcm").write_text("not DICOM")
    (tmp_path / "study" / "one").mkdir(parents=True)
    expected = {"a.img": "nifti", "series": "dicom", "series/0001": "dicom", "b.npy": "numpy", "c.dcm": "dicom"}
    assert {name: kind_of(tmp_path / name) for name in expected} == expected
    (tmp_path / "text").write_text("text")
    (tmp_path / "empty.nii").touch()
    assert [name for name in expected if is_series(tmp_path / name)] == ["series"]
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "DICOMDIR").write_bytes((tmp_path / "series" / "0001").read_bytes())
    (tmp_path / "media" / "IMAGES").mkdir()
    write_classic(tmp_path / "both", np.ones((1, 1, 4, 4)))
    np.save(tmp_path / "both" / "a_real.npy", np.ones((4, 4)))
    assert not is_series(tmp_path / "media")
    assert is_series(tmp_path / "both")  # which is refused, not left out
    messages = {
        "media": "media holds no DICOM series .*it has folders: give one of them, .*IMAGES",
        "both": "both holds DICOM files, and NAME_real.npy too: put each into a folder of its own",
        "absent": "absent: no such file or folder",
        "text": "text is no image that can be read: give NIfTI",
        "empty.nii": r"empty.nii is empty \(0 bytes\)",
        "study": "study holds no DICOM series .*it has folders: give one of them, .*one",
        "study/one": "one holds no DICOM series .*give a folder of DICOM files",
    }
    for name, message in messages.items():
        with pytest.raises(InputError, match=message):
            kind_of(tmp_path / name)


def test_files_that_are_read(tmp_path):
    write_classic(tmp_path / "series", np.ones((1, 2, 4, 4)))
    for name in ("DICOMDIR", "t1.nii", ".hidden.dcm"):
        (tmp_path / "series" / name).write_bytes(bytes(128) + b"DICM" if name == "DICOMDIR" else b"x")
    (tmp_path / "authors").mkdir()
    for name in ("a_real", "a_imag", "b_real", "b_imag", "gmap", "gfactor", "other"):
        np.save(tmp_path / "authors" / f"{name}.npy", np.ones((4, 4)))
    of_a = ["a_imag.npy", "a_real.npy", "gmap.npy"]
    expected = {
        "series": ["IM000.dcm", "IM001.dcm"],
        "series/IM000.dcm": ["IM000.dcm"],
        "authors": sorted([*of_a, "b_imag.npy", "b_real.npy"]),
        "authors/a_imag.npy": of_a,
        "authors/other.npy": ["other.npy"],
        "absent": ["absent"],
        ".": [],
    }
    for name, files in expected.items():
        assert [file.name for file in files_of(tmp_path / name)] == files
        assert all(
            file.parent == tmp_path / name or file.parent == (tmp_path / name).parent for file in files_of(tmp_path / name)
        )


@pytest.mark.parametrize(
    ("name", "save", "message"),
    [
        ("five.npy", lambda path: np.save(path, np.ones((2, 2, 2, 2, 2))), r"image is \(2, 2, 2, 2, 2\); \[H, W\]"),
        ("text.npy", lambda path: np.save(path, np.array([["a", "b"]])), "image is of type <U1; numbers are needed"),
        ("object.npy", lambda path: np.save(path, np.array([[{}]], object), allow_pickle=True), "is damaged"),
        ("none.npy", lambda path: np.save(path, np.ones((2, 0, 3))), "its images are 0x3x2, without a pixel"),
        ("large.npy", lambda path: np.save(path, np.full((2, 2), 1e300)), r"holds 4 NaN or Inf of 4 values"),
        ("short.npy", lambda path: path.write_bytes(b"\x93NUMPY\1\0v\0{'descr':"), "is damaged or not what it says it is"),
        ("short.npz", lambda path: path.write_bytes(b"PK\3\4 no archive"), "is damaged or not what it says it is"),
        (
            "two.npz",
            lambda path: np.savez(path, a=np.ones((2, 2)), b=np.ones(3)),
            r"holds \['a', 'b'\]: name the image 'image'",
        ),
        ("g.npz", lambda path: np.savez(path, image=np.ones((2, 2)), g_map=np.ones(3)), r"g_map is float32 \(3,\)"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[-4:] else "",
)
def test_unusable_arrays_are_refused(tmp_path, name, save, message):
    save(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_formats_become_each_other(tmp_path):
    write_classic(tmp_path / "in", np.random.default_rng(0).integers(0, 4096, (2, 3, 5, 7)))
    images = read(tmp_path / "in")
    write(tmp_path / "out.nii.gz", images, images)
    found = read(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(found.data, images.data)
    np.testing.assert_allclose(found.affine, images.affine, atol=1e-4)
    np.testing.assert_allclose(found.spacing, images.spacing, rtol=1e-6)
    write(tmp_path / "out.npy", images, images)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), images.data)
    np.save(tmp_path / "flat.npy", images.data[:, 0])
    flat = read(tmp_path / "flat.npy")
    write(tmp_path / "flat.nii", flat, flat)
    assert read(tmp_path / "flat.nii").affine is None
    np.testing.assert_array_equal(read(tmp_path / "flat.nii").data, flat.data)


@pytest.fixture
def inputs(tmp_path):
    """One of every kind, read."""
    stored = np.random.default_rng(0).integers(0, 4096, (2, 3, 13, 11))
    write_classic(tmp_path / "dicom", stored)
    magnitude = np.abs(complex_values(11, 13, 3, 2))
    nib.save(nib.Nifti1Image(magnitude, np.eye(4)), tmp_path / "float.nii")
    nib.save(nib.Nifti1Image(stored.T.astype(np.int16), np.eye(4)), tmp_path / "integers.nii")
    phase = np.random.default_rng(1).uniform(-np.pi, np.pi, (11, 13, 3, 2)).astype(np.float32)
    nib.save(nib.Nifti1Image(phase, np.eye(4)), tmp_path / "phase.nii")
    np.save(tmp_path / "array.npy", complex_values(3, 5, 7))
    np.save(tmp_path / "phase.npy", phase.T)
    write_series(tmp_path / "series.h5", Series(complex_values(3, 5, 7), g_values(5, 7), g_values(1, 5, 7), (2,), 2))
    (tmp_path / "authors").mkdir()
    for part in ("real", "imag"):
        np.save(tmp_path / "authors" / f"in_{part}.npy", np.ones((7, 5, 3), np.float32))
    found = {
        name: read(tmp_path / name) for name in ("dicom", "float.nii", "integers.nii", "array.npy", "series.h5", "authors")
    }
    found["dicom and phase"] = read(tmp_path / "dicom", phase=tmp_path / "phase.npy")
    found["nifti and phase"] = read(tmp_path / "integers.nii", phase=tmp_path / "phase.nii")
    found["complex dicom"] = replace(found["dicom"], data=found["dicom"].data.astype(np.complex64))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.nii").mkdir()
    return found


@pytest.mark.parametrize(
    ("name", "output", "options", "message"),
    [
        ("array.npy", "late.h5", {}, "late.h5: numpy images are not written as .h5: give late.nii.gz"),
        ("array.npy", "out", {}, "the name must end with .nii"),
        ("array.npy", "out.npy", {"integers": True}, "out.npy: integers are an option of NIfTI alone"),
        (
            "array.npy",
            "out.nii",
            {"integers": True},
            "out.nii: integers are for real images whose input holds integers, not float32",
        ),
        ("float.nii", "out.nii", {"integers": True}, "out.nii: integers are for real images whose input holds integers"),
        ("nifti and phase", "out.nii", {"integers": True}, "out_phase.nii: integers are for real images whose input"),
        ("dicom", "out.dcm", {}, "out.dcm: the series has 6 files: give a folder, without .dcm"),
        ("complex dicom", "out", {}, "out: DICOM holds magnitudes: write complex images as .nii.gz"),
        (
            "dicom and phase",
            "out",
            {},
            "out: its phase came as numpy, which goes to no out_phase beside it: give .*out.nii.gz, which both can be, or the phase as",
        ),
        ("dicom", "full", {}, r"full holds other files \(precious.txt\)"),
        ("authors", "full", {}, r"full holds other files \(precious.txt\)"),
        ("dicom", "file", {}, "file is a file, and the output a folder"),
        ("float.nii", "folder.nii", {}, "folder.nii is a folder, and the output a file: give .*folder.nii/denoised.nii"),
        ("float.nii", "file/out.nii", {}, "file is a file: give another folder"),
        ("series.h5", "out.h5", {"role": "g-map"}, "out.h5: a series holds its g-map itself"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_before_any_work(tmp_path, inputs, name, output, options, message):
    """And by `write` in the same words; nothing is left."""
    like, before = inputs[name], sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        require_writable(tmp_path / output, like, **options)
    images = replace(like, data=np.abs(like.data)) if "role" in options else like
    with pytest.raises(InputError, match=message):
        write(tmp_path / output, images, like, **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_permission_is_refused_before_any_work(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(InputError, match="out.nii: nothing can be written to .*: give another path, or change its permissions"):
        require_writable(tmp_path / "new" / "out.nii", inputs["float.nii"])


@pytest.mark.parametrize(
    ("name", "output", "options"),
    [
        ("dicom", "dicom_out", {}),
        ("dicom", "out.nii.gz", {}),
        ("dicom", "out", {"role": "noise map"}),
        ("dicom and phase", "out.nii", {}),
        ("dicom and phase", "out", {"role": "noise map"}),
        ("nifti and phase", "out.nii", {}),
        ("nifti and phase", "out.nii", {"role": "noise map", "integers": True}),
        ("integers.nii", "out.nii", {"integers": True}),
        ("series.h5", "new/out.h5", {}),
        ("series.h5", "new/out.h5", {"role": "noise map"}),
        ("authors", "out", {}),
        ("authors", "out", {"role": "noise map"}),
        ("array.npy", "out.npz", {"role": "g-map"}),
    ],
)
def test_what_is_not_refused_is_written(tmp_path, inputs, name, output, options):
    like, before = inputs[name], sorted(tmp_path.rglob("*"))
    require_writable(tmp_path / output, like, **options)
    assert sorted(tmp_path.rglob("*")) == before
    images = replace(like, data=np.abs(like.data)) if "role" in options else like
    for _ in range(2):  # again over itself
        assert all(path.exists() for path in write(tmp_path / output, images, like, **options))
        require_writable(tmp_path / output, like, **options)


def test_a_noise_map_beside_a_series_is_no_series(tmp_path, inputs):
    """It was stored as complex images in SNR units."""
    like = inputs["series.h5"]
    noise = replace(like, data=np.abs(complex_values(3, 1, 5, 7, seed=4)))
    write(tmp_path / "noise.h5", noise, like, role="noise map")
    with pytest.raises(InputError, match="noise.h5 is a noise map, not a series: give the series that it lies beside"):
        read_series(tmp_path / "noise.h5")
    found = read(tmp_path / "noise.h5")
    assert found.data.dtype == np.float32
    assert found.metadata["role"] == "noise map"
    assert "role" not in like.metadata
    np.testing.assert_array_equal(found.data, noise.data)
    np.testing.assert_array_equal(found.g_map, like.g_map)
    write(tmp_path / "again.h5", found, found, role="unchanged")
    assert (tmp_path / "again.h5").stat().st_size == (tmp_path / "noise.h5").stat().st_size
    assert read(tmp_path / "again.h5").metadata["role"] == "noise map"
    with pytest.raises(ValueError, match="a noise map is real"):
        write(tmp_path / "bad.h5", like, like, role="noise map")


def test_a_noise_map_beside_the_authors_arrays_is_no_pair(tmp_path, inputs):
    like = inputs["authors"]
    noise = replace(like, data=np.abs(complex_values(*like.data.shape)))
    write(tmp_path / "noise", noise, like, role="noise map")
    assert [file.name for file in (tmp_path / "noise").iterdir()] == ["in_noise_map.npy"]
    found = np.load(tmp_path / "noise" / "in_noise_map.npy")
    assert found[6, 4, 2] == noise.data[2, 0, 4, 6]
    assert found.dtype == np.float32


def test_names_of_outputs_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "in.npy", np.ones((3, 5, 7)))
    images = read(tmp_path / "in.npy")
    for name, message in (
        ("out.h5", "numpy images are not written as .h5: give out.nii.gz"),
        ("out.png", r"the name must end with .nii, .nii.gz, .npy"),
        ("out", "give out.nii.gz, for example"),
    ):
        with pytest.raises(InputError, match=message):
            write(tmp_path / name, images, images)
    with pytest.raises(InputError, match="integers are an option of NIfTI alone"):
        write(tmp_path / "out.npy", images, images, integers=True)
    with pytest.raises(InputError, match="in.npy holds one series: leave out --series 3"):
        read(tmp_path / "in.npy", series="3")
    assert [file.name for file in tmp_path.iterdir()] == ["in.npy"]


def test_images_that_do_not_fit_are_not_written(tmp_path):
    like = Images(np.ones((3, 2, 5, 7), np.float32), "numpy")
    for data in (np.ones((2, 2, 5, 7)), np.ones((3, 2, 5, 6)), np.ones((5, 7))):
        with pytest.raises(ValueError, match="do not have the shape"):
            write(tmp_path / "out.nii", replace(like, data=data.astype(np.float32)), like)
    data = like.data.copy()
    data[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="images to write hold 1 NaN or Inf of 210 values"):
        write(tmp_path / "out.nii", replace(like, data=data), like)
    assert not list(tmp_path.iterdir())


def test_sizes_in_words():
    assert size((1, 30, 192, 256)) == size((30, 1, 192, 256)) == size((30, 192, 256)) == "192x256x30"
    assert size((20, 30, 192, 256)) == "192x256x30x20"
    assert size((1, 1, 192, 256)) == "192x256"
