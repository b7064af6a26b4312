"""A TFDS data set holds the records of the HDF5 shards, with Beam and without, and no TensorFlow is imported for it."""

import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import prepare, records, simulator
from data_pipeline.sources import ShardSource
from snraware_jax.errors import InputError
from snraware_jax.formats import mrd

pytest.importorskip("tensorflow_datasets", reason="needs the extra tfds")

from data_pipeline import tfds_builder  # (after the check)

SMALL = simulator.Settings(matrix=(40, 48), frames=3, coils=5, calibration_lines=32)


def run(source: Path, output: Path, **options) -> prepare.Prepared:
    return prepare.prepare([source], output, **{"split_by": "subject", "seed": 0, "settings": SMALL, **options})


def same(one: records.Record, other: records.Record) -> bool:
    facts = lambda record: replace(record, image=np.empty(0), gmaps=np.empty(0)).__dict__ | {"image": None, "gmaps": None}
    arrays = lambda record: (record.image.tobytes(), record.gmaps.tobytes(), record.image.shape, record.gmaps.shape)
    return facts(one) == facts(other) and arrays(one) == arrays(other)


def equal(one, other) -> bool:
    return len(one) == len(other) and all(same(one[i], other[i]) for i in range(len(one)))


@pytest.fixture(scope="module")
def converted(tiny_records, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("tfds")
    assert run(tiny_records, output, file_format="tfds").counts == {"train": 12, "validation": 2, "test": 2}
    return tfds_builder.folder_of(output)


@pytest.mark.parametrize("split", records.SPLITS)
def test_records_are_those_of_the_shards(converted, tiny_records, split):
    assert equal(tfds_builder.source(converted, split), ShardSource(tiny_records, split))


def test_all_is_every_split(converted):
    source = tfds_builder.source(converted, "all")
    assert sorted(source[i].sample_id for i in range(len(source))) == [*range(12), 100, 101, 200, 201]
    assert len(tfds_builder.source(converted, "train")) == 12
    for position in (-1, 16):
        with pytest.raises(IndexError):
            source[position]


def test_a_source_pickles_and_takes_many_threads(converted):
    source = tfds_builder.source(converted, "train")
    assert equal(pickle.loads(pickle.dumps(source)), source)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda i: source[i % 12].sample_id, range(96)))
    assert ids == list(range(12)) * 8


def test_float16_is_stored_as_such(tiny_records, converted, tmp_path):
    run(tiny_records, tmp_path / "half", file_format="tfds", storage="float16")
    half = tfds_builder.source(tfds_builder.folder_of(tmp_path / "half"), "test")
    whole = tfds_builder.source(converted, "test")
    assert abs(half[0].image - whole[0].image).max() <= abs(whole[0].image).max() * 2**-11
    assert '"dtype": "float16"' in (tmp_path / "half" / "snraware_records" / "1.0.0" / "features.json").read_text()
    assert '"dtype": "float16"' not in (converted / "features.json").read_text()


def test_no_tensorflow_is_imported(tiny_records, tmp_path):
    code = f"""
import sys
from pathlib import Path
from data_pipeline import prepare, simulator, tfds_builder
options = {{"split_by": "subject", "seed": 0, "settings": simulator.Settings(), "file_format": "tfds"}}
prepare.prepare([Path({str(tiny_records)!r})], Path({str(tmp_path / "out")!r}), **options)
source = tfds_builder.source(tfds_builder.folder_of(Path({str(tmp_path / "out")!r})), "train")
assert len([source[i] for i in range(len(source))]) == 12
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_bad_input_is_said(converted, tiny_records, tmp_path):
    with pytest.raises(InputError, match="holds records already.*--format=tfds"):
        run(tiny_records, tmp_path / "out")
    with pytest.raises(InputError, match="finished TFDS data set"):
        run(tiny_records, converted.parents[1], file_format="tfds")
    with pytest.raises(InputError, match="not a readable TFDS data set"):
        tfds_builder.source(tmp_path, "train")
    with pytest.raises(InputError, match="no records for 'tset'"):
        tfds_builder.source(converted, "tset")


def read_all(folder: Path) -> list[records.Record]:
    source = tfds_builder.source(folder, "train")
    return [source[i] for i in range(len(source))]


def test_a_damaged_file_is_found(tiny_records, tmp_path):
    run(tiny_records, tmp_path, file_format="tfds")
    folder = tfds_builder.folder_of(tmp_path)
    (file,) = folder.glob("*-train.array_record*")
    content = file.read_bytes()
    for damage in ("flipped", "cut", "empty"):
        spoilt = bytearray(content)
        spoilt[len(content) // 2] ^= 4
        file.write_bytes({"flipped": spoilt, "cut": content[: len(content) // 2], "empty": b""}[damage])
        with pytest.raises(InputError, match=r"damaged|not a readable"):
            read_all(folder)


# ---------------------------------------------------------------- from raw scans, with Beam and without


def write_scans(folder: Path, count: int) -> Path:
    for subject in range(count):
        mrd.write_scan(folder / f"scan-{subject:02d}.h5", simulator.simulate(0, subject, SMALL).scan)
    return folder


@pytest.mark.parametrize("count", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_beam_makes_the_records_that_the_local_engine_makes(count, tmp_path):
    pytest.importorskip("apache_beam", reason="needs the extra beam")
    raw = write_scans(tmp_path / "raw", count)
    local = run(raw, tmp_path / "local")
    by_beam = run(raw, tmp_path / "beam", engine="beam")
    tfds = run(raw, tmp_path / "tfds", engine="beam", file_format="tfds")
    assert local == by_beam == tfds
    assert sum(local.counts.values()) == count
    for split in records.SPLITS:
        expected = ShardSource(tmp_path / "local", split)
        assert equal(ShardSource(tmp_path / "beam", split), expected)
        assert equal(tfds_builder.source(tfds_builder.folder_of(tmp_path / "tfds"), split), expected)
    assert not (tmp_path / "tfds" / "shards").exists()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*record*")}
    assert run(raw, tmp_path / "tfds", engine="beam", file_format="tfds") == local
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*record*")} == before


@pytest.mark.slow
def test_killed_again_and_again_it_makes_the_same_records(launch, tmp_path):
    """40 raw scans; killed at a random instant after every shard that is finished."""
    raw, killed, rng = write_scans(tmp_path / "raw", 40), tmp_path / "killed", np.random.default_rng(0)
    run(raw, tmp_path / "whole")
    kills, finished = 0, lambda: len(list(killed.glob("outcomes/*.json")))
    while True:
        before, process = finished(), launch("prepare_data", f"--input={raw}", f"--output={killed}")
        while process.poll() is None and finished() == before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        finished_by_itself = process.poll() is not None
        process.kill()
        said = process.communicate()
        if finished_by_itself:
            break
        kills += 1
    assert process.returncode == 0, said
    assert kills >= 2
    assert equal(ShardSource(killed, "all"), ShardSource(tmp_path / "whole", "all"))
