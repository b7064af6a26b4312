"""Records come back as they were written, and damage never passes unseen."""

import dataclasses

import h5py
import numpy as np
import pytest

from data_pipeline import records
from data_pipeline.records import Record
from data_pipeline.sources import ShardSource
from snraware_jax.errors import InputError


def record(sample_id: int = 3, split: str = "train", frames: int = 5) -> Record:
    rng = np.random.default_rng(sample_id)
    image = (rng.normal(size=(frames, 12, 10)) + 1j * rng.normal(size=(frames, 12, 10))).astype(np.complex64)
    return Record(
        sample_id, image, rng.uniform(1, 3, (7, 12, 10)).astype(np.float32), 1.0, f"subject-{sample_id}", split, {"a": 1}
    )


def test_round_trip(tmp_path):
    written = [record(3), record(11, "validation", frames=20)]
    assert records.write_shard(tmp_path / "x.h5", written) == 2
    for before, after in zip(written, records.read_shard(tmp_path / "x.h5"), strict=True):
        for field in dataclasses.fields(Record):
            np.testing.assert_equal(getattr(after, field.name), getattr(before, field.name))


def test_source_orders_by_sample_id_and_separates_splits(tmp_path):
    records.write_shard(tmp_path / "a.h5", [record(9), record(2)])
    records.write_shard(tmp_path / "b.h5", [record(5), record(7, "test")])
    assert [r.sample_id for r in (ShardSource(tmp_path, "train")[i] for i in range(3))] == [2, 5, 9]
    assert len(ShardSource(tmp_path, "test")) == 1
    assert len(ShardSource(tmp_path, "all")) == 4


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_bit_in_the_data_is_found(tmp_path, share):
    path = tmp_path / "x.h5"
    records.write_shard(path, [record()])
    with h5py.File(path) as file:
        chunk = file["00000003/image"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + int(share * chunk.size)] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.h5, record 00000003: damaged"):
        list(records.read_shard(path))


def test_a_flipped_bit_anywhere_is_found_or_does_no_harm(tmp_path):
    path = tmp_path / "x.h5"
    records.write_shard(path, [record()])
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.integers(len(content), size=300):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            found = ShardSource(tmp_path, "all")[0]
        except InputError:
            refused += 1
            continue
        for field in dataclasses.fields(Record):
            np.testing.assert_equal(getattr(found, field.name), getattr(record(), field.name))
    assert refused > 100  # the rest fell on unused bytes


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
def test_a_truncated_shard_is_refused(tmp_path, share):
    path = tmp_path / "x.h5"
    records.write_shard(path, [record()])
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"x\.h5: not a readable HDF5 file"):
        ShardSource(tmp_path, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.full((2, 12, 10), np.nan, np.complex64)}, "240 NaN or Inf, the first at (0, 0, 0)"),
        ({"image": np.ones((2, 9, 10), np.complex64)}, "do not fit"),
        ({"gmaps": -np.ones((7, 12, 10), np.float32)}, "negative"),
        ({"split": "training"}, "split is 'training'"),
        ({"image": np.ones((0, 12, 10), np.complex64)}, "empty"),
    ],
)
def test_unusable_records_are_not_written(tmp_path, change, message):
    with pytest.raises(InputError) as error:
        records.write_shard(tmp_path / "x.h5", [record(), dataclasses.replace(record(4), **change)])
    assert message in str(error.value)
    assert "x.h5, record 4" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_field_is_named(tmp_path):
    records.write_shard(tmp_path / "x.h5", [record()])
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file["00000003/gmaps"]
    with pytest.raises(InputError, match="gmaps"):
        ShardSource(tmp_path, "train")[0]


def test_folders_without_use_are_refused(tmp_path):
    with pytest.raises(InputError, match="no shards"):
        ShardSource(tmp_path, "train")
    records.write_shard(tmp_path / "a.h5", [record(1)])
    with pytest.raises(InputError, match="no records for 'test'"):
        ShardSource(tmp_path, "test")
    records.write_shard(tmp_path / "b.h5", [record(1)])
    with pytest.raises(InputError, match="this sample id is also in"):
        ShardSource(tmp_path, "train")
