"""One interface to whatever holds records, decided by what a folder holds."""

import os
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from data_pipeline import prepare, records, simulator, sources
from snraware_jax.errors import InputError


def test_a_folder_of_shards_is_opened_as_such(tiny_records):
    source = sources.open_source(tiny_records, "validation")
    assert isinstance(source, sources.ShardSource)
    assert [source[i].sample_id for i in range(len(source))] == [100, 101]


@pytest.mark.parametrize("where", ["", "snraware/1.0.0", "snraware/float16/1.0.0"])
def test_a_tfds_data_set_is_found_below_its_folder(tmp_path, where):
    (tmp_path / where).mkdir(parents=True, exist_ok=True)
    (tmp_path / where / "dataset_info.json").write_text("{}")
    assert sources.tfds_folder(tmp_path) == tmp_path / where


def test_folders_that_leave_a_choice_are_refused(tmp_path, tiny_records):
    with pytest.raises(InputError, match="no such folder; make records with"):
        sources.open_source(tmp_path / "absent", "train")
    with pytest.raises(InputError, match="no shards"):
        sources.open_source(tmp_path, "train")
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "1.0.0").mkdir()
    (tmp_path / "1.0.0" / "dataset_info.json").write_text("{}")
    with pytest.raises(InputError, match="several data sets"):
        sources.open_source(tmp_path, "train")
    (tmp_path / "1.0.0" / "dataset_info.json").unlink()
    (tmp_path / "train.h5").write_bytes((tiny_records / "train.h5").read_bytes())
    with pytest.raises(InputError, match=r"several data sets \(., train.h5\)"):
        sources.open_source(tmp_path, "train")


def test_any_source_gives_parts(tiny_records):
    shards = sources.ShardSource(tiny_records, "train")
    region = (slice(1, 3), slice(4, 9), slice(7, 8))
    for source in (shards, [shards[i] for i in range(len(shards))]):
        stored = sources.stored(source, 2)
        assert (stored.sample_id, stored.shape) == (2, (6, 20, 24))
        part = stored.read(region)
        np.testing.assert_array_equal(part.image, shards[2].image[region])
        np.testing.assert_array_equal(part.gmaps, shards[2].gmaps[:, *region[1:]])


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_file_system_that_fails_once_is_asked_again(tmp_path, monkeypatch, capsys, when):
    """Nothing can be read for a while, between two records or between a record's card and its arrays."""
    shard = tmp_path / "train.h5"
    image = np.random.default_rng(0).normal(size=(8, 128, 128)).astype(np.complex64)  # beyond HDF5's buffers
    records.write_shard(
        shard, [records.Record(i, image, np.ones((7, 128, 128), np.float32), 0.0, "a", "train") for i in (0, 1)]
    )
    source = sources.ShardSource(tmp_path, "train")
    stored = source.stored(0)
    file = source._open(shard).id.get_vfd_handle()
    working = os.dup(file)
    monkeypatch.setattr(sources.time, "sleep", lambda seconds: os.dup2(working, file))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), file)
    found = source[1] if when == "before" else stored.read(records.WHOLE)
    os.close(working)
    assert capsys.readouterr().err.count("reading again, after:") == 1
    np.testing.assert_array_equal(found.image, image)


def test_ids_of_any_length_are_in_order(tmp_path, tiny_records):
    first = sources.ShardSource(tiny_records, "train")[0]
    made = [records.Record(i, first.image, first.gmaps, 0.0, "a", "train") for i in (2**31 - 1, 5, 123_456_789)]
    records.write_shard(tmp_path / "x.h5", made)
    source = sources.ShardSource(tmp_path, "train")
    assert [source[i].sample_id for i in range(3)] == [5, 123_456_789, 2**31 - 1]


@pytest.fixture
def stand_in(monkeypatch):
    """A simulator that draws noise; its settings are the shape."""

    def training_sample(seed, number, settings):
        rng = np.random.default_rng([seed, number])
        image = (rng.normal(size=settings) + 1j * rng.normal(size=settings)).astype(np.complex64)
        return SimpleNamespace(image=image, gmaps=np.ones((7, *settings[1:]), np.float32), card={"of": number})

    monkeypatch.setattr(simulator, "training_sample", training_sample)


def test_simulated_records_follow_from_seed_and_subject(stand_in):
    source = sources.SimulatorSource((3, 8, 9), seed=1, subjects=4, split="validation")
    made, again = source[3], pickle.loads(pickle.dumps(source))[3]
    np.testing.assert_array_equal(made.image, again.image)
    assert made.sample_id == prepare.FIRST_SUBJECT["validation"] + 3
    assert (made.split, made.native_noise, made.metadata) == ("validation", 0.0, {"card": {"of": made.sample_id}})
    assert [record.subject for record in source] == [f"simulated-{i}" for i in range(10_000_000, 10_000_004)]
    assert np.abs(made.image - sources.SimulatorSource((3, 8, 9), seed=2, subjects=4, split="validation")[3].image).max() > 0.1


def test_no_simulated_subject_is_in_two_splits(stand_in):
    of = {split: sources.SimulatorSource((1, 2, 2), seed=0, subjects=2, split=split) for split in records.SPLITS}
    assert len({record.subject for source in of.values() for record in source}) == 6


@pytest.mark.parametrize("wrong", [{"subjects": 0}, {"split": "all"}, {"subjects": 10_000_001}])
def test_unusable_simulated_sources_are_refused(stand_in, wrong):
    with pytest.raises(InputError, match="simulated subjects"):
        sources.SimulatorSource((1, 2, 2), **({"seed": 0, "subjects": 1, "split": "train"} | wrong))


def test_what_tells_records_from_others(tmp_path, tiny_records):
    shards = sources.ShardSource(tiny_records, "train")
    assert shards.fingerprint() == sources.fingerprint(pickle.loads(pickle.dumps(shards)))
    assert shards.fingerprint().startswith("12 records ")
    made = [shards[position] for position in range(12)]
    others = {"fewer": made[:-1], "of another": [*made[:-1], replace(made[-1], subject="somebody else")]}
    for name, some in others.items():
        (tmp_path / name).mkdir()
        records.write_shard(tmp_path / name / "train.h5", some)
        assert sources.ShardSource(tmp_path / name, "train").fingerprint() != shards.fingerprint()
    (tmp_path / "two").mkdir()
    records.write_shard(tmp_path / "two" / "a.h5", made[:5])
    records.write_shard(tmp_path / "two" / "b.h5", made[5:])
    assert sources.ShardSource(tmp_path / "two", "train").fingerprint() == shards.fingerprint()
    assert sources.fingerprint(made) == "12 records"
