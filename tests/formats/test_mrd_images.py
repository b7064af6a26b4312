"""Image series of MRD files: sorted by their headers, which come back byte by byte."""

import h5py
import ismrmrd
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats.images import kind_of, read, write
from snraware_jax.formats.mrd_images import write_images
from tests.formats.damage import assert_read_or_refused
from tests.recon.phantom import replace

SHAPE = (3, 2, 5, 7)  # [T, S, H, W]
XML = "<ismrmrdHeader>kept</ismrmrdHeader>"


def values(dtype, seed=0):
    rng = np.random.default_rng(seed)
    found = 100 * rng.normal(size=SHAPE)
    return (found + 100j * rng.normal(size=SHAPE) if np.dtype(dtype).kind == "c" else found).astype(dtype)


def write_series(path, data, name="image_0", meta=None, group="dataset", change=None, partitions=1):
    """A series written by the ismrmrd package, in shuffled order."""
    frames, slices, height, width = data.shape
    with ismrmrd.Dataset(str(path), group) as file:
        for number in np.random.default_rng(5).permutation(frames * slices):
            t, s = divmod(int(number), slices)
            image = ismrmrd.Image.from_array(np.broadcast_to(data[t, s], (partitions, height, width)).copy(), transpose=False)
            image.slice, image.repetition, image.image_index, image.image_series_index = s, t, number, 4
            image.acquisition_time_stamp, image.measurement_uid = 1000 + number, 77
            image.field_of_view = (14.0, 15.0, 6.0)
            image.position = (1.5, -20.25, 8.0 * s)
            image.read_dir, image.phase_dir, image.slice_dir = (0.8, 0.6, 0), (-0.6, 0.8, 0), (0, 0, 1)
            image.user_int[3], image.user_float[2] = 9, 0.5
            image.attribute_string = ismrmrd.Meta(meta or {"DataRole": "Image", "Number": str(number)}).serialize()
            if change is not None:
                change(image, t, s)
            file.append_image(name, image)
    return path


@pytest.fixture
def path(tmp_path):
    path = write_series(tmp_path / "in.h5", values(np.complex64))
    with ismrmrd.Dataset(str(path)) as file:
        file.write_xml_header(XML)
    return path


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, np.float32, np.float64, np.uint16, np.int16])
def test_values_and_headers_come_back(tmp_path, dtype):
    data = values(np.float32).clip(0).astype(dtype) if dtype == np.uint16 else values(dtype)
    source = write_series(tmp_path / "in.h5", data)
    assert kind_of(source) == "mrd"
    images = read(source)
    assert images.data.dtype == (np.complex64 if np.dtype(dtype).kind == "c" else np.float32)
    np.testing.assert_array_equal(images.data, data.astype(images.data.dtype))
    assert images.metadata["frame_axes"] == ["repetition"]

    output = tmp_path / "out.h5"
    write(output, images, images)
    with ismrmrd.Dataset(str(source), mode="r") as before, ismrmrd.Dataset(str(output), mode="r") as after:
        assert before.number_of_images("image_0") == after.number_of_images("image_0") == 6
        for number in range(6):
            a, b = before.read_image("image_0", number), after.read_image("image_0", number)
            np.testing.assert_array_equal(a.data.astype(images.data.dtype), b.data)
            assert a.attribute_string == b.attribute_string
            a, b = a.getHead(), b.getHead()
            assert b.data_type == (ismrmrd.DATATYPE_CXFLOAT if np.dtype(dtype).kind == "c" else ismrmrd.DATATYPE_FLOAT)
            b.data_type = a.data_type
            assert bytes(a) == bytes(b)
    again = read(output)
    np.testing.assert_array_equal(again.data, images.data)
    np.testing.assert_array_equal(again.affine, images.affine)


def test_the_header_of_the_measurement_and_the_geometry(path, tmp_path):
    images = read(path)
    assert images.spacing == (8.0, 3.0, 2.0)
    centre = images.affine @ [3, 2, 1, 1]  # the centre voxel of the second slice
    np.testing.assert_allclose(centre[:3], [-1.5, 20.25, 8.0], atol=1e-5)
    np.testing.assert_allclose(images.affine[:3, 0], [-1.6, -1.2, 0], atol=1e-6)
    write(tmp_path / "out.mrd", images, images)
    with ismrmrd.Dataset(str(tmp_path / "out.mrd"), mode="r") as file:
        assert file.read_xml_header().decode() == XML
    noise = replace(images, data=np.abs(images.data[:1]))
    write(tmp_path / "noise.h5", noise, images)
    assert read(tmp_path / "noise.h5").data.shape == (1, *SHAPE[1:])


def test_volumes_are_slices(tmp_path):
    data = values(np.float32)[:, :1]
    source = write_series(tmp_path / "in.h5", data, partitions=4)
    images = read(source)
    assert images.data.shape == (3, 4, 5, 7)
    np.testing.assert_array_equal(images.data, np.broadcast_to(data, images.data.shape))
    write(tmp_path / "out.h5", images, images)
    np.testing.assert_array_equal(read(tmp_path / "out.h5").data, images.data)


def test_images_without_counters_are_frames_in_order(tmp_path):
    def forget(image, t, s):
        image.slice = image.repetition = 0

    data = values(np.float32)[:, :1]
    images = read(write_series(tmp_path / "in.h5", data, change=forget))
    np.testing.assert_array_equal(images.data, data)
    assert images.metadata["frame_axes"] == ["image_index"]


def test_gadgetrons_scale_and_g_map_are_recorded(tmp_path):
    """Images x10 and g-maps x100, in groups of a date, as Gadgetron's client writes them."""
    group, g = "2024-05-01 10:00:00", np.random.default_rng(2).uniform(1, 3, SHAPE).astype(np.float32)[:1]
    path = tmp_path / "in.h5"
    meta = {"GADGETRON_ScaleRatio": "10", "GADGETRON_DataRole": "Image"}
    write_series(path, 10 * values(np.float32), "image_1", meta, group)
    meta = {"GADGETRON_ScaleRatio": "100", "GADGETRON_DataRole": "Gfactor"}
    write_series(path, 100 * g, "image_20", meta, group)
    images = read(path)
    assert images.units == {"scale_ratio": 10.0, "g_map_scale_ratio": 100.0}
    np.testing.assert_array_equal(images.data, 10 * values(np.float32))
    np.testing.assert_array_equal(images.g_map, 100 * g[0])
    assert images.metadata["g_map_from"] == f"{group}/image_20"
    assert read(path, series="image_20").data.shape == (1, *SHAPE[1:])


def test_series_are_picked_by_name(path):
    write_series(path, 2 * values(np.complex64), "image_1")
    with pytest.raises(InputError, match=r"in.h5 holds 2 image series: 'dataset/image_0' \(6 images\), 'dataset/image_1' \(6"):
        read(path)
    np.testing.assert_array_equal(read(path, series="image_1").data, 2 * values(np.complex64))
    np.testing.assert_array_equal(read(path, series="dataset/image_0").data, values(np.complex64))
    with pytest.raises(InputError, match="has no single series 'image_7'"):
        read(path, series="image_7")


def channels(file):
    data = np.concatenate([file["data"][()]] * 2, axis=1)
    del file["data"]
    file["data"] = data


def fewer(file):
    data = file["data"][:-1]
    del file["data"]
    file["data"] = data


def twice(file):
    header = file["header"][()]
    header["slice"][1:3], header["repetition"][1:3] = 0, 0
    file["header"][...] = header


def xml(file):
    file["attributes"][0] = "<ismrmrdMeta>"


def words(file):
    del file["data"]
    file["data"] = np.array(["words"] * 6, dtype="S5").reshape(6, 1, 1, 1, 1)


def another_header(file):
    del file["header"]
    file["header"] = np.zeros(6)


def nothing(file):
    for name in ("data", "header"):
        item = file[name][:0]
        del file[name]
        file[name] = item


def nan(file):
    data = file["data"][()]
    data["real"][0, 0, 0, 1, 2] = np.nan
    file["data"][...] = data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (channels, "dataset/image_0 has 2 channels; combined images are needed"),
        (fewer, "has 6 headers, and data of shape"),
        (twice, "holds 6 images, not one for each of 3 frames x 2 slices"),
        (xml, "is damaged"),
        (words, "numbers are needed"),
        (another_header, "is damaged"),
        (nothing, "has 0 headers"),
        (nan, "holds 1 NaN or Inf of 210 values"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unusable_series_are_refused(path, change, message):
    with h5py.File(path, "r+") as file:
        change(file["dataset/image_0"])
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_raw_data_is_sent_to_reconstruction(tmp_path):
    with h5py.File(tmp_path / "meas.h5", "w") as file:
        file["dataset/data"] = np.zeros(3)
        file["dataset/xml"] = [XML]
    assert kind_of(tmp_path / "meas.h5") == "raw"
    with pytest.raises(InputError, match="meas.h5 holds raw k-space, not images: reconstruct it first, `snraware reconstruct"):
        read(tmp_path / "meas.h5")


def test_a_damaged_file_is_read_or_refused(path, tmp_path):
    rng, content = np.random.default_rng(0), path.read_bytes()
    fuzzed = tmp_path / "fuzzed.h5"
    for trial in range(200):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 1 + 20 * (trial % 3)):
            damaged[place] ^= int(rng.integers(1, 256))
        cut = rng.integers(1, len(content)) if trial % 5 == 0 else None
        assert_read_or_refused(fuzzed, damaged[:cut], write_images)
