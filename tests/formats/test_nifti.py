"""NIfTI: values and every byte of the geometry come back; what cannot be read is named."""

import gzip
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.testing import data_path

from snraware_jax.errors import InputError
from snraware_jax.formats.images import read, write
from snraware_jax.formats.nifti import write_images
from tests.formats.damage import assert_read_or_refused
from tests.recon.phantom import replace

# what writing may change in a header: the type of the voxels, and their scale
CHANGED = ("datatype", "bitpix", "scl_slope", "scl_inter")


def oblique(shape=(7, 5, 3, 4), dtype=np.int16, scale=None, version=1, order="<", extension=b"kept as it is") -> bytes:
    """A file of random voxels whose qform and sform differ, oblique, with odd entries that a reader might repair."""
    rng = np.random.default_rng(0)
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    header = kind(endianness=order)
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    turn = nibabel.eulerangles.euler2mat(0.3, -0.2, 0.5)
    header.set_qform(nibabel.affines.from_matvec(turn @ np.diag([1.25, 1.5, 4]), [-80.1, 33.3, 12.7]), code=1)
    header.set_sform(nibabel.affines.from_matvec(turn @ np.diag([1.3, 1.5, 4.1]), [-81, 32, 11]), code=4)
    header.set_dim_info(0, 1, 2)
    header["pixdim"][4], header["cal_max"], header["toffset"] = 0.0405, 321.5, 7
    header.set_xyzt_units("mm", "sec")
    header["descrip"] = b"TE=30;somebody's"
    header["scl_slope"], header["scl_inter"] = scale or (np.nan, np.nan)
    padding = extension + bytes(-(len(extension) + 8) % 16)
    packed = b"\1\0\0\0" + np.array([len(padding) + 8, 44], f"{order}i4").tobytes() + padding if extension else bytes(4)
    header["vox_offset"] = len(header.binaryblock) + len(packed)
    values = 100 * rng.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        values = values + 100j * rng.normal(size=shape)
    voxels = values.astype(np.dtype(dtype).newbyteorder(order))
    return header.binaryblock + packed + voxels.tobytes(order="F")


def written(tmp_path: Path, content: bytes, name="in.nii", output="out.nii", **options):
    """The images of `content`, the bytes that writing them again gives, and nibabel's views of both files."""
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    images = read(tmp_path / name)
    assert write(tmp_path / output, images, images, **options) == (tmp_path / output,)
    found = (tmp_path / output).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel's, about the extension
        views = nibabel.load(tmp_path / name), nibabel.load(tmp_path / output)
    return images, gzip.decompress(found) if output.endswith(".gz") else found, views


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.complex64, np.complex128])
def test_values_and_every_byte_of_the_geometry_come_back(tmp_path, version, order, dtype):
    content = oblique(dtype=dtype, version=version, order=order)
    images, found, (before, after) = written(tmp_path, content, "in.nii.gz", "out.nii.gz")

    assert images.data.shape == (4, 3, 5, 7)
    expected = np.complex64 if np.dtype(dtype).kind == "c" else np.float32
    assert images.data.dtype == expected
    np.testing.assert_array_equal(images.data, np.asanyarray(before.dataobj).T.astype(expected))
    np.testing.assert_array_equal(np.asanyarray(after.dataobj).T, images.data)
    np.testing.assert_array_equal(images.affine, before.affine)
    start = int(before.header["vox_offset"])
    assert found[len(before.header.binaryblock) : start] == content[len(before.header.binaryblock) : start]
    for name in before.header.keys():  # noqa: SIM118, nibabel's headers do not iterate over their names
        if name not in CHANGED:
            assert before.header[name].tobytes() == after.header[name].tobytes(), name
    stored = type(after.header)(found[: len(after.header.binaryblock)], check=False)  # nibabel's own reading hides the scale
    assert (stored["scl_slope"], stored["scl_inter"]) == (1, 0)
    assert (images.metadata["phase_encode_axis"], images.metadata["frame_seconds"]) == ("row", pytest.approx(0.0405))


def test_entries_that_nibabel_would_repair_stay(tmp_path):
    content = bytearray(oblique())
    content[76:80] = np.float32(0).tobytes()  # pixdim[0], the sign of the qform: 0 is read as 1
    content[72:74] = np.int16(13).tobytes()  # bitpix that contradicts the type
    content[252:254] = np.int16(77).tobytes()  # a qform code that does not exist
    _, found, _ = written(tmp_path, bytes(content))
    assert found[76:112] == content[76:112]
    assert found[252:344] == content[252:344]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_scaled_integers_come_back_as_floats_and_as_integers(tmp_path, version, dtype):
    content = oblique(dtype=dtype, scale=(0.075, 3100.75), version=version)
    images, _, (before, after) = written(tmp_path, content)
    np.testing.assert_array_equal(images.data, np.asanyarray(before.dataobj).T.astype(np.float32))
    np.testing.assert_array_equal(np.asanyarray(after.dataobj).T, images.data)
    assert images.units == pytest.approx({"slope": 0.075, "intercept": 3100.75})

    write(tmp_path / "again.nii", images, images, integers=True)
    again = (tmp_path / "again.nii").read_bytes()
    if np.dtype(dtype).itemsize < 4:
        assert again == content
    else:  # float32 holds 24 of the 32 bits
        np.testing.assert_allclose(read(tmp_path / "again.nii").data, images.data, rtol=1e-7)


def test_values_beyond_the_integers_get_one_new_slope(tmp_path):
    images, _, _ = written(tmp_path, oblique(dtype=np.uint8, scale=(0.5, 0)))
    for values in (1000 * images.data, images.data - 300, np.full_like(images.data, 5e5), 0 * images.data):
        write(tmp_path / "new.nii", replace(images, data=values), images, integers=True)
        found = read(tmp_path / "new.nii")
        assert found.metadata["stored"] == "uint8"
        span = float(values.max() - min(values.min(), 0))
        tolerance = max(found.units.get("slope", 1.0), span / 253) / 2 * 1.001
        np.testing.assert_allclose(found.data, values, atol=tolerance)


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (7, 5, 1, 4), (7, 5, 3, 1), (7, 5, 3, 2, 1), (1, 1, 1)])
def test_axes(tmp_path, shape):
    images, found, (before, after) = written(tmp_path, oblique(shape, extension=b""))
    width, height, slices, frames = (*shape, 1, 1)[:4]
    assert images.data.shape == (frames, slices, height, width)
    assert before.header["dim"].tobytes() == after.header["dim"].tobytes()
    assert len(found) == 352 + 4 * np.prod(shape)


def test_one_frame_of_many_is_a_volume(tmp_path):
    images, _, (before, _) = written(tmp_path, oblique())
    noise = replace(images, data=np.abs(images.data[:1]))
    write(tmp_path / "noise.nii", noise, images)
    after = nibabel.load(tmp_path / "noise.nii")
    assert after.shape == before.shape[:3]
    np.testing.assert_array_equal(after.affine, before.affine)


def test_the_same_images_give_the_same_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        written(tmp_path, oblique(), output=name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "anatomical.nii",
        "example4d.nii.gz",
        "example_nifti2.nii.gz",
        "functional.nii",
        "reoriented_anat_moved.nii",
        "standard.nii.gz",
    ],
)
def test_files_of_nibabel_come_back(tmp_path, name):
    source = Path(data_path) / name
    packed = source.read_bytes()
    images, found, (before, after) = written(tmp_path, gzip.decompress(packed) if name.endswith(".gz") else packed)
    np.testing.assert_array_equal(images.data, before.get_fdata().T.reshape(images.data.shape).astype(np.float32))
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata().astype(np.float32))
    for view in ("qform", "sform"):
        for a, b in zip(getattr(before, f"get_{view}")(True), getattr(after, f"get_{view}")(True), strict=True):
            np.testing.assert_array_equal(a, b)
    assert before.header.extensions == after.header.extensions
    if before.get_data_dtype().kind in "iu":
        write(tmp_path / "again.nii", images, images, integers=True)
        again = nibabel.load(tmp_path / "again.nii")
        np.testing.assert_array_equal(again.dataobj.get_unscaled(), before.dataobj.get_unscaled())


def edited(place: int, value: np.generic) -> bytes:
    content = bytearray(oblique())
    content[place : place + value.nbytes] = value.tobytes()
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"text", "has no NIfTI header"),
        (oblique()[:-1], "is cut short: its header promises 840 bytes of voxels, 839 are there"),
        (oblique()[:300], "has no NIfTI header"),
        (oblique((7, 5, 2, 2, 3)), r"has 5 axes \(7x5x2x2x3\); up to 4 can be read"),
        (edited(44, np.int16(0)), "every axis needs 1 or more"),
        (edited(44, np.int16(-3)), "every axis needs 1 or more"),
        (edited(40, np.int16(9)), "every axis needs 1 or more"),
        (edited(70, np.int16(5)), "datatype 5, which NIfTI does not know"),
        (edited(70, np.int16(128)), "values of type RGB; numbers are needed"),
        (edited(108, np.float32(3)), "voxels start at byte 3"),
        (edited(108, np.float32(np.nan)), "voxels start at byte nan"),
        (edited(108, np.float32(1e30)), "is cut short"),
        (edited(112, np.float32(np.inf)), "scl_slope inf"),
        (edited(344, np.frombuffer(b"ni1\0", "i4")[0]), r"is half of a pair \(.hdr, .img\)"),
        (edited(344, np.frombuffer(b"ni1\0", "i4")[0])[:348], r"is half of a pair \(.hdr, .img\)"),
        (oblique(dtype=np.complex64, scale=(2, 1)), "is complex with scl_inter 1"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value[:30],
)
def test_unusable_files_are_refused(tmp_path, content, message):
    path = tmp_path / "in.nii"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_damaged_gzip_is_refused(tmp_path):
    packed = bytearray(gzip.compress(oblique(), mtime=0))
    (tmp_path / "short.nii.gz").write_bytes(packed[:-20])
    packed[len(packed) // 2] ^= 8
    (tmp_path / "flipped.nii.gz").write_bytes(packed)
    for name in ("short.nii.gz", "flipped.nii.gz"):
        with pytest.raises(InputError, match=f"{name} cannot be decompressed"):
            read(tmp_path / name)


def test_nan_is_named_with_its_place(tmp_path):
    content = bytearray(oblique(dtype=np.float32, extension=b""))
    place = 352 + 4 * np.ravel_multi_index((1, 2, 3, 4), (4, 3, 5, 7))
    content[place : place + 4] = np.float32(np.nan).tobytes()
    (tmp_path / "nan.nii").write_bytes(content)
    with pytest.raises(InputError, match=r"nan.nii: image .* holds 1 NaN or Inf of 420 values \(first: \(1, 2, 3, 4\)\)"):
        read(tmp_path / "nan.nii")
    huge = oblique(dtype=np.float64, extension=b"")  # and values too large for float32
    (tmp_path / "nan.nii").write_bytes(huge[:352] + np.full(4, 1e300).tobytes() + huge[384:])
    with pytest.raises(InputError, match="nan.nii: image .* holds 4 NaN or Inf"):
        read(tmp_path / "nan.nii")


@pytest.mark.parametrize("version", [1, 2])
def test_a_flipped_byte_of_the_header_is_read_or_refused(tmp_path, version):
    """Every byte of the header, changed: no other exception, and nothing that takes memory."""
    path, content = tmp_path / "fuzzed.nii", oblique((3, 2, 2, 2), version=version)
    for place in range({1: 352, 2: 544}[version]):
        damaged = bytearray(content)
        damaged[place] ^= (1, 255)[(place + version) % 2]
        assert_read_or_refused(path, damaged, write_images)


def test_integers_are_refused_where_there_are_none(tmp_path):
    images, _, _ = written(tmp_path, oblique(dtype=np.float32))
    with pytest.raises(InputError, match="int.nii: integers are for real images whose input holds integers, not float32"):
        write(tmp_path / "int.nii", images, images, integers=True)
    assert not (tmp_path / "int.nii").exists()
