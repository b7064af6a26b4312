"""Records come back as they were written, and damage never passes unseen."""

import dataclasses
import json
import re

import h5py
import numpy as np
import pytest

from data_pipeline import records, sources
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


@pytest.mark.parametrize("storage", records.STORAGES)
def test_every_format_holds_the_same_fields(tmp_path, storage):
    fields = records.to_fields(record(), storage)
    records.write_shard(tmp_path / "x.h5", [record()], storage)
    with h5py.File(tmp_path / "x.h5") as file:
        group = file["00000003"]
        assert group["image"][()].tobytes() == fields["image"].tobytes()
        assert group["gmaps"][()].tobytes() == fields["gmaps"].tobytes()
        assert group["card"][()].tobytes().decode() == fields["card"]
    again = records.to_fields(records.of_fields(fields, "x"), storage)
    assert {name: np.array(value).tobytes() for name, value in again.items()} == {
        name: np.array(value).tobytes() for name, value in fields.items()
    }


@pytest.mark.parametrize("peak", [1e-30, 1e-3, 50.0, 500.0, 65504.0, 1e30])
def test_float16_keeps_twelve_bits_of_any_size(tmp_path, peak):
    written = record(frames=20)
    written = dataclasses.replace(written, image=(peak * written.image / np.abs(written.image).max()).astype(np.complex64))
    records.write_shard(tmp_path / "x.h5", [written], "float16")
    found = next(records.read_shard(tmp_path / "x.h5"))
    assert found.image.dtype == np.complex64
    for part in ("real", "imag"):
        expected = getattr(written.image, part)
        error = np.abs(getattr(found.image, part).astype(np.float64) - expected)
        assert (error <= 2.0**-11 * np.abs(expected) + 2.0**-39 * peak).all()
        assert error.max() > 2.0**-14 * peak  # it is float16: this test would notice if it were not
    assert dataclasses.replace(found, image=written.image, gmaps=written.gmaps) == written


def test_float16_costs_little_snr_and_half_the_bytes(tmp_path):
    rng = np.random.default_rng(0)
    for peak, most in ((50, 0.008), (200, 0.03), (500, 0.08)):  # error SD in SNR units, of pixels near the peak
        image = (peak * np.exp(2j * np.pi * rng.uniform(size=(4, 40, 40)))).astype(np.complex64)
        written = dataclasses.replace(record(), image=image, gmaps=np.ones((2, 40, 40), np.float32))
        found = records.of_fields(records.to_fields(written, "float16"), "x")
        assert 0.1 * most < (found.image - image).real.std() < most
    sizes = {storage: records.to_fields(written, storage)["image"].nbytes for storage in records.STORAGES}
    assert sizes == {"complex64": 8 * image.size, "float16": 4 * image.size}


def test_float16_stores_what_it_read_as_the_same_bytes():
    """Also where rounding carries the largest part to a power of two, beside parts so small that they are subnormal."""
    image = record().image
    image[0, 0, :2] = 2**7 * (1 - 2.0**-13), 2.0**-30 * (1 + 2.0**-9)
    first = records.to_fields(dataclasses.replace(record(), image=image), "float16")
    again = records.to_fields(records.of_fields(first, "here"), "float16")
    assert again["image"].tobytes() == first["image"].tobytes()
    assert again["card"] == first["card"]


def test_an_image_of_zeros_survives_float16():
    dark = dataclasses.replace(record(), image=np.zeros((2, 12, 10), np.complex64))
    np.testing.assert_array_equal(records.of_fields(records.to_fields(dark, "float16"), "x").image, dark.image)


def test_shards_of_earlier_versions_are_read(tmp_path):
    before = record(3)
    card = {name: getattr(before, name) for name in ("sample_id", "subject", "split", "metadata", "native_noise")}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("00000003")
        text = np.frombuffer(json.dumps(card).encode(), np.uint8)
        for name, data in (("image", before.image), ("gmaps", before.gmaps), ("card", text)):
            group.create_dataset(name, data=data, chunks=data.shape, fletcher32=True)
    after = ShardSource(tmp_path, "train")[0]
    for field in dataclasses.fields(Record):
        np.testing.assert_equal(getattr(after, field.name), getattr(before, field.name))


@pytest.mark.parametrize("storage", records.STORAGES)
def test_a_part_is_that_of_the_whole_and_reads_no_more(tmp_path, storage):
    rng = np.random.default_rng(0)
    image = (rng.normal(size=(20, 70, 80)) + 1j * rng.normal(size=(20, 70, 80))).astype(np.complex64)
    written = dataclasses.replace(record(), image=image, gmaps=rng.uniform(1, 2, (7, 70, 80)).astype(np.float32))
    path = tmp_path / "x.h5"
    records.write_shard(path, [written], storage)
    whole = next(records.read_shard(path))
    with h5py.File(path) as file:
        last = file["00000003/image"].id.get_chunk_info(file["00000003/image"].id.get_num_chunks() - 1)
    content = bytearray(path.read_bytes())
    content[last.byte_offset + last.size // 2] ^= 1
    path.write_bytes(content)
    with records.open_shard(path) as file:
        stored = records.stored(records.node(file, "00000003"), "x")
        assert (stored.sample_id, stored.shape) == (3, (20, 70, 80))
        region = (slice(2, 11), slice(5, 33), slice(40, 41))
        part = stored.read(region)
        np.testing.assert_array_equal(part.image, whole.image[region])
        np.testing.assert_array_equal(part.gmaps, whole.gmaps[:, *region[1:]])
        with pytest.raises(InputError, match="damaged"):
            stored.read(records.WHOLE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.ones((2, 12, 10, 2))}, "image is float64"),
        ({"image": np.ones((2, 12, 10, 2), np.float16)}, "image is float16"),  # without an exponent in the card
        ({"image": np.ones((2, 12, 10, 3), np.float32)}, "(2, 12, 10, 3)"),
        ({"image": np.ones((2, 11, 10, 2), np.float32)}, "do not fit"),
        ({"gmaps": np.ones((7, 12, 10))}, "gmaps float64"),
        ({"gmaps": None}, "NoneType"),
        ({"card": "{"}, "its card is not a JSON object"),
        ({"card": "[3]"}, "its card is not a JSON object"),
        ({"card": '{"sample_id": 3}'}, "its metadata is None"),
        ({"sample_id": 4}, "named 4, but its sample id is 3"),
    ],
)
def test_fields_that_are_not_a_record_are_refused(change, message):
    with pytest.raises(InputError, match=re.escape(message)):
        records.of_fields(records.to_fields(record()) | change, "x")


@pytest.mark.parametrize("name", records.FIELDS)
def test_a_missing_field_is_named_in_any_format(name):
    fields = records.to_fields(record())
    del fields[name]
    with pytest.raises(InputError, match=f"x: damaged.*{name} is missing"):
        records.of_fields(fields, "x")


def test_an_unknown_storage_is_refused(tmp_path):
    with pytest.raises(InputError, match="choose complex64 or float16"):
        records.write_shard(tmp_path / "x.h5", [record()], "float8")
    assert list(tmp_path.iterdir()) == []


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


def test_a_flipped_bit_anywhere_is_found_or_does_no_harm(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "AGAIN_S", 0)
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
