"""300 faulty shards: none passes, and the message names the shard and, where it can still be told, the record."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_pipeline import checking, loader, records, sources
from data_pipeline.records import Record
from data_pipeline.sources import ShardSource
from snraware_jax import cli
from snraware_jax.errors import InputError

COUNT = 50
SHAPE = (3, 9, 11)
Faults = tuple[str, Callable[[Path, str, np.random.Generator], None]]


def record(sample_id: int, split: str = "train") -> Record:
    rng = np.random.default_rng(sample_id)
    image = (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)).astype(np.complex64)
    return Record(sample_id, image, rng.uniform(1, 2, (2, *SHAPE[1:])).astype(np.float32), 1.0, f"subject-{sample_id}", split)


def replace_array(path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Writes an array anew, checksum and all, as a program that gets it wrong would."""
    with h5py.File(path, "a") as file:
        data = change(file[name][()])
        del file[name]
        file.create_dataset(name, data=data, chunks=data.shape if data.size else None, fletcher32=data.size > 0)


def truncated(path: Path, record: str, rng: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes()[: int(rng.integers(1, path.stat().st_size))])


def bit_flipped(path: Path, record: str, rng: np.random.Generator) -> None:
    with h5py.File(path) as file:
        chunk = file[f"{record}/{rng.choice(['image', 'gmaps', 'card'])}"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + int(rng.integers(chunk.size))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def missing_key(path: Path, record: str, rng: np.random.Generator) -> None:
    with h5py.File(path, "a") as file:
        if rng.random() < 0.7:
            del file[f"{record}/{rng.choice(['image', 'gmaps', 'card'])}"]
        else:
            card = json.loads(file[f"{record}/card"][()].tobytes())
            del card[str(rng.choice(list(card)))]
            del file[f"{record}/card"]
            file[f"{record}/card"] = np.frombuffer(json.dumps(card).encode(), np.uint8)


def not_a_number(path: Path, record: str, rng: np.random.Generator) -> None:
    def change(data: np.ndarray) -> np.ndarray:
        data.flat[int(rng.integers(data.size))] = rng.choice([np.nan, np.inf, -np.inf])
        return data

    replace_array(path, f"{record}/{rng.choice(['image', 'gmaps'])}", change)


def wrong_shape(path: Path, record: str, rng: np.random.Generator) -> None:
    changes = {
        "image": [lambda a: a[..., :-1], lambda a: a[:, 1:], lambda a: a[0], lambda a: a[None], lambda a: a.ravel()],
        "gmaps": [lambda a: a[..., :-1], lambda a: a[:, :1], lambda a: a[0], lambda a: np.pad(a, ((0, 0), (0, 4), (0, 4)))],
    }
    name = str(rng.choice(list(changes)))
    replace_array(path, f"{record}/{name}", changes[name][int(rng.integers(len(changes[name])))])


def empty(path: Path, record: str, rng: np.random.Generator) -> None:
    kind = int(rng.integers(4))
    if kind == 0:
        path.write_bytes(b"")
    elif kind == 1:
        with h5py.File(path, "a") as file:
            for name in list(file):
                del file[name]
    elif kind == 2:
        with h5py.File(path, "a") as file:
            for name in list(file[record]):
                del file[record][name]
    else:
        replace_array(path, f"{record}/{rng.choice(['image', 'gmaps'])}", lambda a: a[:0])


KINDS = [truncated, bit_flipped, missing_key, not_a_number, wrong_shape, empty]


@pytest.fixture(scope="module")
def intact(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("intact")
    for name, ids in (("a", (1, 2)), ("b", (3, 4, 5))):
        records.write_shard(folder / f"{name}.h5", map(record, ids))
    assert not checking.check_folder(folder).faults
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_faulty_shard_is_found_and_named(kind, intact, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "AGAIN_S", 0.0)
    for number in range(COUNT):
        folder = tmp_path / str(number)  # HDF5 does not notice that a file it has open is replaced
        folder.mkdir()
        for name, content in intact.items():
            (folder / name).write_bytes(content)
        path = folder / "b.h5"
        rng = np.random.default_rng([KINDS.index(kind), number])
        broken = f"{int(rng.integers(3, 6)):08d}"
        kind(path, broken, rng)
        whole_file = "b.h5, record" not in (fault := found_by_training(folder))
        assert str(path) in fault
        assert whole_file or f"record {broken}" in fault, fault
        assert not whole_file or kind in (truncated, empty), fault

        report = checking.check_folder(folder)
        assert len(report.faults) == 1, report.faults
        assert str(path) in report.faults[0]
        assert whole_file or f"record {broken}" in report.faults[0]
        assert report.splits["train"] == (2 if whole_file else 4)  # the rest of the folder is looked at all the same


def found_by_training(folder: Path) -> str:
    """The message with which an epoch of training stops."""
    with pytest.raises(InputError) as error:
        next(loader.batches(ShardSource(folder, "train"), batch_size=5, patch=SHAPE, seed=0, threads=1))
    return str(error.value)


def test_the_check_finds_what_no_single_record_shows(tmp_path):
    records.write_shard(tmp_path / "a.h5", [record(1), record(2)])
    records.write_shard(tmp_path / "b.h5", [record(2), record(3, "test")])
    both = Record(4, record(4).image, record(4).gmaps, 1.0, "subject-1", "test")
    records.write_shard(tmp_path / "c.h5", [both])
    report = checking.check_folder(tmp_path)
    assert len(report.faults) == 2
    assert "b.h5, record 00000002: sample id 2 is also in" in report.faults[0]
    assert "a.h5, record 00000002" in report.faults[0]
    assert "subject subject-1 is in test and train" in report.faults[1]
    assert report.splits == {"train": 3, "test": 2}
    assert "5 records of 3 subjects" in report.lines()[0]
    assert report.lines()[-1] == "2 faults"


def test_the_verb_tells_faults_from_bad_input(tmp_path, intact, capsys):
    path = tmp_path / "b.h5"
    path.write_bytes(intact["b.h5"])
    assert cli.main(["records", "check", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("3 records of 3 subjects")
    assert printed[0].endswith("train 3, validation 0, test 0")
    assert printed[1:] == ["T x H x W: 3 x 9 x 11 (3)", "no faults"]
    missing_key(path, "00000004", np.random.default_rng(0))
    assert cli.main(["records", "check", str(tmp_path)]) == 1
    assert "fault: " in (out := capsys.readouterr().out)
    assert "b.h5, record 00000004" in out
    assert cli.main(["records", "check", str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_check_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="no shards"):
        checking.check_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        checking.check_folder(tmp_path / "absent")
