"""Series files: exact, checked, whole or absent."""

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
