"""Image series of MRD files: sorted by their headers, which come back byte by byte."""

import re

import h5py
import ismrmrd
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats.images import kind_of, read, remarks, write
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


@pytest.mark.parametrize(("role", "said"), [("noise map", "NoiseSD"), ("g-map", "Gfactor")])
def test_maps_say_what_they_are(path, tmp_path, role, said):
    images = read(path)
    noise = replace(images, data=np.abs(images.data))
    write(tmp_path / "noise.h5", noise, images, role=role)
    with ismrmrd.Dataset(str(path), mode="r") as before, ismrmrd.Dataset(str(tmp_path / "noise.h5"), mode="r") as after:
        for number in range(6):
            a, b = before.read_image("image_0", number), after.read_image("image_0", number)
            assert b.meta == {"DataRole": said, "Number": a.meta["Number"]}
            np.testing.assert_array_equal(b.data, np.abs(a.data))
            assert b.position[:] == a.position[:]
    np.testing.assert_array_equal(read(tmp_path / "noise.h5").data, noise.data)


def test_magnitudes_of_complex_images_say_so(tmp_path):
    def complex_type(image, t, s):
        image.image_type = ismrmrd.IMTYPE_COMPLEX

    images = read(write_series(tmp_path / "in.h5", values(np.complex64), change=complex_type))
    write(tmp_path / "out.h5", replace(images, data=np.abs(images.data)), images)
    with ismrmrd.Dataset(str(tmp_path / "out.h5"), mode="r") as file:
        assert file.read_image("image_0", 0).image_type == ismrmrd.IMTYPE_MAGNITUDE


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


def with_g_map(path, g_map, change=None):
    """Images of 5x7x2x3 with a g-map beside them, x100 as Gadgetron's."""
    write_series(path, values(np.float32))
    write_series(path, 100 * g_map, "image_20", {"GADGETRON_ScaleRatio": "100", "DataRole": "Gfactor"}, change=change)
    return path


def g_values(*shape):
    return np.random.default_rng(2).uniform(1, 3, shape).astype(np.float32)


def test_equal_g_maps_of_all_frames_are_one(tmp_path):
    g_map = g_values(1, *SHAPE[1:])
    images = read(with_g_map(tmp_path / "in.h5", np.repeat(g_map, 3, axis=0)))
    np.testing.assert_array_equal(images.g_map, 100 * g_map[0])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (SHAPE, r"is 5x7x2x3, image is 5x7x2x3: 3 g-maps that differ, and frames share one. Give it with --gmap FILE."),
        ((1, 2, 4, 6), r"is 4x6x2, image is 5x7x2x3. Use --gmap .*in.h5 --gmap-resize if the fields of view agree"),
        ((1, 1, 5, 7), r"is 5x7, image is 5x7x2x3: every slice needs a g-map of its own"),
    ],
)
def test_a_g_map_that_does_not_fit_is_no_missing_one(tmp_path, shape, message):
    """It was left out, and then told as NO G-MAP."""
    path = with_g_map(tmp_path / "in.h5", g_values(*shape))
    with pytest.raises(InputError, match=f"in.h5: its g-map 'dataset/image_20' {message}"):
        read(path)
    np.save(tmp_path / "g.npy", g_values(*SHAPE[1:]))
    np.testing.assert_array_equal(read(path, gmap=tmp_path / "g.npy").g_map, g_values(*SHAPE[1:]))


def test_a_g_map_of_another_matrix_is_resized_as_the_message_says(tmp_path):
    g_map = np.broadcast_to(np.array([1, 2], np.float32)[:, None, None], (1, 2, 4, 6))
    path = with_g_map(tmp_path / "in.h5", g_map)
    images = read(path, gmap=path, resize_gmap=True)
    np.testing.assert_allclose(
        images.g_map / images.units["g_map_scale_ratio"], np.array([1, 2])[:, None, None] * np.ones((5, 7))
    )


def test_a_g_map_of_other_images_of_a_file_is_not_missed(tmp_path):
    path = with_g_map(tmp_path / "in.h5", g_values(1, *SHAPE[1:]))
    write_series(path, values(np.float32)[:, :, :4, :6], "image_1")
    assert read(path, series="image_1").g_map is None
    assert read(path, series="image_0").g_map is not None


def in_order_of_acquisition(image, t, s):
    image.position = (1.5, -20.25, (0, 20, 10, 30)[s])


def four_slices(dtype=np.float32):
    return np.random.default_rng(4).normal(size=(3, 4, 5, 7)).astype(dtype)


def test_slices_counted_in_order_of_acquisition_are_sorted_by_place(tmp_path):
    """The headers stay with their images; the steps of the affine are those of the places."""
    data, sorted_data = four_slices(), four_slices()[:, [0, 2, 1, 3]]
    path = write_series(tmp_path / "in.h5", data, change=in_order_of_acquisition)
    images = read(path)
    np.testing.assert_array_equal(images.data, sorted_data)
    assert images.spacing == (10.0, 3.0, 2.0)
    np.testing.assert_allclose((images.affine @ [3, 2, 2, 1])[:3], [-1.5, 20.25, 20.0], atol=1e-5)
    write(tmp_path / "out.h5", images, images)
    with ismrmrd.Dataset(str(path), mode="r") as before, ismrmrd.Dataset(str(tmp_path / "out.h5"), mode="r") as after:
        for number in range(12):
            a, b = before.read_image("image_0", number), after.read_image("image_0", number)
            np.testing.assert_array_equal(a.data, b.data)
            assert bytes(a.getHead()) == bytes(b.getHead())
            assert a.attribute_string == b.attribute_string


def test_a_g_map_without_places_goes_by_the_counter(tmp_path):
    def nowhere(image, t, s):
        image.position = image.read_dir = image.phase_dir = image.slice_dir = (0, 0, 0)

    g_map, path = g_values(1, 4, 5, 7), tmp_path / "in.h5"
    write_series(path, four_slices(), change=in_order_of_acquisition)
    write_series(path, g_map, "image_20", {"DataRole": "Gfactor"}, change=nowhere)
    np.testing.assert_array_equal(read(path).g_map, g_map[0, [0, 2, 1, 3]])


def test_slices_that_descend_stay_in_their_order(tmp_path):
    def descending(image, t, s):
        image.position = (1.5, -20.25, -8.0 * s)

    images = read(write_series(tmp_path / "in.h5", four_slices(), change=descending))
    np.testing.assert_array_equal(images.data, four_slices())
    np.testing.assert_allclose(images.affine[:3, 2], [0, 0, -8])


def test_frames_may_follow_a_moving_slice(tmp_path):
    def following(image, t, s):
        image.position = (1.5, -20.25, 8.0 * s + 2.0 * t)

    images = read(write_series(tmp_path / "in.h5", four_slices(), change=following))
    np.testing.assert_array_equal(images.data, four_slices())
    assert images.spacing[0] == 8.0


def orthogonal(image, t, s):
    axes = np.roll(np.eye(3), s, axis=0)
    image.position = (0, 0, 0)
    image.read_dir, image.phase_dir, image.slice_dir = (tuple(axis) for axis in axes)


def rotated(image, t, s):
    angle = 0.1 * s
    image.read_dir, image.phase_dir = (np.cos(angle), np.sin(angle), 0), (-np.sin(angle), np.cos(angle), 0)


def side_by_side(image, t, s):
    image.position = (15.0 * s, 0, 0)


def beside_the_line(image, t, s):
    image.position = (3.0 * (s == 1), 0, 8.0 * s)


def one_missing(image, t, s):
    image.position = (0, 0, (0, 8, 24, 32)[s])


def two_missing(image, t, s):
    image.position = (0, 0, -(0, 8, 16, 40)[s])


def frames_elsewhere(image, t, s):
    image.position = (0, 0, 8 * s + 50.0 * t)


def uncounted(image, t, s):
    image.slice = image.repetition = 0


def other_extent(image, t, s):
    image.field_of_view = (14.0 + 2 * s, 15.0, 6.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (orthogonal, "holds slices of 3 orientations .* form no stack: export each as a series of its own"),
        (rotated, "holds slices of 4 orientations"),
        (side_by_side, r"holds slices in the same plane \(0 and 1 by their counter\)"),
        (beside_the_line, "holds slices up to 3 mm beside the line through the first and the last"),
        (one_missing, r"a slice is missing at \(0, 0, 16\) mm: slices lie 8 mm apart, and there 16 mm"),
        (two_missing, r"2 slices are missing from \(0, 0, -24\) mm"),
        (frames_elsewhere, "holds frames of the same slice 100 mm apart: export them again"),
        (uncounted, "holds frames of the same slice 24 mm apart: no counter in their headers tells slices apart: set slice"),
        (other_extent, "holds images of several fields of view"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_slices_that_form_no_stack_are_refused(tmp_path, change, message):
    """A volume needs a stack; slices of several frames are series by themselves, without an affine, and come back as they were."""
    of_frames = change in (frames_elsewhere, uncounted)
    path = write_series(tmp_path / "in.h5", four_slices() if of_frames else four_slices()[:1], change=change)
    with pytest.raises(InputError, match=f"in.h5: .*{message}"):
        read(path)
    if of_frames:
        return
    images = read(write_series(tmp_path / "cine.h5", four_slices(), change=change))
    assert images.affine is None
    assert re.search(f"NO AFFINE, every slice is a series by itself: .*{message}", remarks(images, "cine.h5")[0])
    write(tmp_path / "out.h5", images, images)
    np.testing.assert_array_equal(read(tmp_path / "out.h5").data, four_slices())


def test_the_phase_of_a_file_is_found_in_it(path):
    """--series says which images; the phase is the only series whose headers say so."""

    def phase(image, t, s):
        image.image_type = ismrmrd.IMTYPE_PHASE

    data = values(np.complex64)
    write_series(path, np.abs(data), "image_1")
    write_series(path, np.angle(data), "image_2", change=phase)
    np.testing.assert_allclose(read(path, series="image_1", phase=path).data, data, rtol=1e-4)
    write_series(path, np.angle(data), "image_3", change=phase)
    with pytest.raises(InputError, match="--phase takes one phase series: .*in.h5 --series '.*image_2' -o phase.h5`"):
        read(path, series="image_1", phase=path)


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
