"""Series files: exact, checked, whole or absent."""

import dataclasses

import h5py
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.evaluation.preview import write_preview
from snraware_jax.formats.atomic import replacing
from snraware_jax.formats.hdf5 import read_series, write_series
from snraware_jax.formats.series import Series


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(0)
    image = (rng.normal(size=(3, 24, 20)) + 1j * rng.normal(size=(3, 24, 20))).astype(np.complex64)
    image[:, 8:16, 6:14] += 50
    g_maps = rng.uniform(1, 2, (3, 24, 20)).astype(np.float32)
    return Series(image, g_maps[0], g_maps, (2, 3, 4), 2, {"name": "raw.h5", "coils": 8, "fov_mm": [240.0, 200.0]})


def test_round_trip(series, tmp_path):
    write_series(tmp_path / "new" / "series.h5", series)
    found = read_series(tmp_path / "new" / "series.h5")
    for name in ("image", "g_map", "g_maps"):
        assert getattr(found, name).dtype == getattr(series, name).dtype
        np.testing.assert_array_equal(getattr(found, name), getattr(series, name))
    assert (found.accelerations, found.acceleration, found.metadata) == (series.accelerations, 2, series.metadata)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["series.h5"]


@pytest.mark.parametrize("depth", [False, True], ids=["one g-map", "a g-map for every slice"])
@pytest.mark.parametrize("two", [False, True], ids=["R along H", "R along H and T"])
def test_shapes_of_slices_and_volumes_come_back(tmp_path, depth, two):
    rng = np.random.default_rng(1)
    shape = (3, 5, 7) if depth else (5, 7)
    maps = rng.uniform(1, 2, (2, *shape)).astype(np.float32)
    image = rng.normal(size=(3, 5, 7)).astype(np.complex64)
    accelerations, acceleration = (((2, 1), (2, 2)), (2, 2)) if two else ((2, 3), 3)
    series = Series(image, maps[0], maps, accelerations, acceleration, {"cycle": [0.1, 1 / 3, 2 / 3], "none": None})
    write_series(tmp_path / "series.h5", series)
    found = read_series(tmp_path / "series.h5")
    for name in ("image", "g_map", "g_maps"):
        np.testing.assert_array_equal(getattr(found, name), getattr(series, name))
    assert (found.accelerations, found.acceleration, found.metadata) == (accelerations, acceleration, series.metadata)
    assert {type(r) for r in (*found.accelerations, found.acceleration)} == {tuple if two else int}


def test_shapes_that_disagree_are_refused_and_not_written(series, tmp_path):
    changes = {
        r"image is \(24, 20\), not \[T, H, W\]": {"image": series.image[0]},
        r"g_map is \(23, 20\), the image \(3, 24, 20\)": {"g_map": series.g_map[1:]},
        r"g_map is \(2, 24, 20\), the image": {"g_map": series.g_maps[:2]},
        r"g_maps are \(3, 24, 19\), the image": {"g_maps": series.g_maps[..., 1:]},
        r"g_maps are \(2, 24, 20\), for 3 accelerations": {"g_maps": series.g_maps[:2]},
    }
    for message, change in changes.items():
        with pytest.raises(ValueError, match=message):
            write_series(tmp_path / "series.h5", dataclasses.replace(series, **change))
        assert not list(tmp_path.iterdir())
    for message, change in changes.items():
        write_series(tmp_path / "series.h5", series)
        with h5py.File(tmp_path / "series.h5", "r+") as file:
            for name, value in change.items():
                del file[name]
                file[name] = value
        with pytest.raises(InputError, match=f"series.h5: {message}.*: make it again"):
            read_series(tmp_path / "series.h5")


@pytest.mark.parametrize("name", ["accelerations", "acceleration", "metadata"])
def test_attributes_that_make_no_sense_are_refused(series, tmp_path, name):
    path = tmp_path / "series.h5"
    write_series(path, series)
    with h5py.File(path, "r+") as file:
        if name == "accelerations":
            del file[name]
            file[name] = np.ones((3, 3), np.int32)
        else:
            file.attrs[name] = [2, 2, 2] if name == "acceleration" else "{"
    with pytest.raises(InputError, match="is damaged"):
        read_series(path)


def test_every_dataset_has_a_checksum_and_a_flipped_bit_is_noticed(series, tmp_path):
    path = tmp_path / "series.h5"
    write_series(path, series)
    with h5py.File(path) as file:
        assert all(file[name].fletcher32 for name in file)
        place = file["image"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 100] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        read_series(path)


def test_other_files_are_refused(tmp_path, series):
    with pytest.raises(InputError, match="no such file"):
        read_series(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match="damaged or not HDF5"):
        read_series(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"] = 1
    with pytest.raises(InputError, match="is not a series in SNR units"):
        read_series(tmp_path / "other.h5")


def test_nan_is_named_with_its_place(series, tmp_path):
    image = series.image.copy()
    image[1, 2, 3] = np.nan
    write_series(tmp_path / "nan.h5", Series(image, series.g_map, series.g_maps, (2, 3, 4), 2))
    with pytest.raises(InputError, match=r"image holds 1 NaN or Inf of 1440 values \(first: \(1, 2, 3\)\)"):
        read_series(tmp_path / "nan.h5")


def test_what_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("frames", "size"), [(1, 1), (3, 1), (2, 4)], ids=["one frame", "three", "with background"])
def test_the_preview_is_a_picture(series, tmp_path, frames, size):
    from matplotlib.image import imread

    larger = lambda array: np.pad(
        array, [(0, 0)] * (array.ndim - 2) + [(0, 24 * (size - 1)), (0, 20 * (size - 1))], mode="wrap"
    )
    image = larger(series.image[:frames])
    image[:, 24:] = np.where(np.abs(image[:, 24:]) > 20, 0.1, image[:, 24:])
    cut = Series(image, larger(series.g_map), larger(series.g_maps), series.accelerations, 2, series.metadata)
    write_preview(tmp_path / "series.png", cut)
    picture = imread(tmp_path / "series.png")
    assert picture.shape[1] > 1000
    assert picture[..., :3].std() > 0.1
    assert [file.name for file in tmp_path.iterdir()] == ["series.png"]
