"""Scans, series and anatomy become records; killed, the same command continues; splits never share a subject; failures are listed."""

import errno
import fcntl
import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import prepare, prepare_inputs, prepare_plan, prepare_shards, records, simulator
from data_pipeline.sources import ShardSource
from snraware_jax.errors import InputError
from snraware_jax.formats import mrd
from snraware_jax.formats.hdf5 import write_series
from snraware_jax.formats.series import Series

SMALL = simulator.Settings(matrix=(40, 48), frames=3, coils=5, calibration_lines=32)
compiles = pytest.mark.xdist_group("prepare")  # in one process, for one compilation


def write_tiny(path: Path, seed: int, slices: int = 1, partitions: int = 1) -> Path:
    """A series in SNR units of three frames, or of one frame for every slice or partition."""
    rng = np.random.default_rng(seed)
    frames = 3 if slices == partitions == 1 else slices * partitions
    part = lambda: rng.normal(size=(frames, 7, 10))
    g_maps = 1 + rng.uniform(size=(2, 7, 10) if frames == 3 else (2, frames, 7, 10)).astype(np.float32)
    facts = {"slices": slices} if slices > 1 else {}
    image = (part() + 1j * part()).astype(np.complex64)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_series(path, Series(image, g_maps[0], g_maps, (2, 3), 2, {"name": path.name, **facts}))
    return path


@pytest.fixture
def study(tmp_path) -> Path:
    """Forty subjects of one tiny series."""
    for i in range(40):
        write_tiny(tmp_path / "study" / f"subject-{i:02d}.h5", i)
    return tmp_path / "study"


def run(inputs, output: Path, **options) -> prepare.Prepared:
    inputs = [inputs] if isinstance(inputs, Path) else inputs
    return prepare.prepare(inputs, output, **{"split_by": "subject", "seed": 0, "settings": SMALL, **options})


def contents(source) -> dict[int, tuple]:
    """Everything that the records of a source hold, by sample id."""
    return {
        one.sample_id: (one.subject, one.split, one.native_noise, one.metadata, one.image.tobytes(), one.gmaps.tobytes())
        for one in (source[i] for i in range(len(source)))
    }


def records_of(folder: Path) -> dict[int, tuple]:
    return contents(ShardSource(folder, "all"))


# ---------------------------------------------------------------- what becomes a record


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A raw scan, a raw file of two slices and two slices of anatomy as records, every series in a split of its own."""
    folder = tmp_path_factory.mktemp("prepare")
    mrd.write_scan(folder / "raw" / "one.h5", simulator.simulate(0, 1, SMALL).scan)
    slices = simulator.study(0, 0, replace(SMALL, slices=2))
    mrd.write_scans(folder / "raw" / "two.h5", [made.scan for made in slices])
    y, x = np.mgrid[:96, :96]
    anatomy = 200.0 * (np.hypot(y - 48, x - 48) < 30) * np.ones((2, 3, 1, 1))
    np.savez(folder / "anatomy.npz", images=anatomy.astype(np.uint8))
    return folder / "records", run([folder / "raw", folder / "anatomy.npz"], folder / "records", split_by="series")


@compiles
def test_every_series_is_a_record_of_one_split(prepared):
    folder, made = prepared
    assert sum(made.counts.values()) == 5
    assert made.failures == ()
    assert {split: len(ShardSource(folder, split)) for split in records.SPLITS} == made.counts
    assert sorted(record.sample_id for record in ShardSource(folder, "all")) == [0, 1, 2, 3, 4]


@compiles
def test_scans_keep_their_noise_and_anatomy_has_none(prepared):
    by_subject = {}
    for record in ShardSource(prepared[0], "all"):
        by_subject.setdefault(record.subject, []).append(record)
        assert record.native_noise == (0.0 if record.subject == "anatomy" else 1.0)
        assert record.image.shape == (3, 40, 48)
        assert record.gmaps.shape == (7, 40, 48)
    assert {subject: len(of) for subject, of in by_subject.items()} == {"one": 1, "two": 2, "anatomy": 2}


def test_a_series_in_snr_units_is_taken_as_it_is(tmp_path):
    from snraware_jax.formats.hdf5 import read_series

    files = [write_tiny(tmp_path / "in" / f"{i}.h5", i) for i in range(3)]
    stacked = write_tiny(tmp_path / "in" / "slices.h5", 9, slices=4)
    write_tiny(tmp_path / "in" / "volume.h5", 8, partitions=4)
    made = run(tmp_path / "in", tmp_path / "out", split_by="series")
    assert [(Path(one.path).name, "is a volume" in one.why) for one in made.failures] == [("volume.h5", True)]
    found = list(ShardSource(tmp_path / "out", "all"))
    for file in files:
        (record,) = (one for one in found if one.subject == file.stem)
        np.testing.assert_array_equal(record.image, read_series(file).image)
        np.testing.assert_array_equal(record.gmaps, read_series(file).g_maps)
        assert record.native_noise == 1.0
    whole, slices = read_series(stacked), [one for one in found if one.subject == "slices"]
    assert len(slices) == 4
    for i, record in enumerate(slices):
        np.testing.assert_array_equal(record.image, whole.image[i : i + 1])
        np.testing.assert_array_equal(record.gmaps, whole.g_maps[:, i])


@compiles
def test_simulation_is_resumed_not_repeated(tmp_path):
    prepare.simulate(tmp_path, seed=0, subjects=(2, 1, 1), settings=SMALL, processes=1)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / "validation-00000.h5").unlink()
    (tmp_path / ".validation-00000-x.h5").write_text("of a run that was killed")
    prepare.simulate(tmp_path, seed=0, subjects=(2, 1, 1), settings=SMALL, processes=1)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"validation-00000.h5"}
    assert [record.subject for record in ShardSource(tmp_path, "train")] == ["simulated-00000000", "simulated-00000001"]


# ---------------------------------------------------------------- subjects and splits


def test_a_name_keeps_its_split_whatever_is_added():
    names = [f"subject-{i}" for i in range(400)]
    few, many = prepare_plan.assign_splits(names[:100]), prepare_plan.assign_splits(reversed(names))
    assert all(many[name] == split for name, split in few.items())
    counts = [list(many.values()).count(split) for split in ("train", "validation", "test")]
    assert sum(counts) == 400
    assert abs(counts[1] - 40) < 4 * 6  # binomial, SD 6
    assert abs(counts[2] - 40) < 4 * 6


@pytest.mark.parametrize("count", [3, 4, 9])
def test_no_split_is_empty(count):
    for first in range(0, 200, count):
        names = [f"{first + i}" for i in range(count)]
        splits = prepare_plan.assign_splits(names)
        assert set(splits.values()) == {"train", "validation", "test"}
        assert prepare_plan.assign_splits([*names, "more"], splits).items() >= splits.items()


def test_splits_of_subjects_that_are_not_here_do_not_count():
    kept = {"far": "test", "away": "validation"}
    splits = prepare_plan.assign_splits(["a", "b", "c"], kept)
    assert splits.items() >= kept.items()
    assert {splits[name] for name in "abc"} == {"train", "validation", "test"}


def test_fewer_than_three_subjects_cannot_be_split():
    with pytest.raises(InputError, match="--split_by=series"):
        prepare_plan.assign_splits(["one", "one", "two"])


def test_a_folder_below_the_input_is_a_subject(tmp_path):
    for name in ("anna/1.h5", "anna/2.h5", "bert/1.h5", "carl.h5", "carl.truth.npz", ".hidden.h5", "notes.txt", "out/0.h5"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    find = lambda *paths: [one.subject for one in prepare_inputs.find(paths, without=tmp_path / "out")]
    assert sorted(find(tmp_path)) == ["anna", "anna", "bert", "carl"]
    assert find(tmp_path / "carl.h5", tmp_path / "carl.h5") == ["carl"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "carl.h5").write_text("")
    with pytest.raises(InputError, match="two subjects of one name"):
        find(tmp_path, tmp_path / "other" / "carl.h5")
    (tmp_path / "dora.h5").symlink_to(tmp_path / "carl.h5")
    with pytest.raises(InputError, match="as of dora and of carl"):
        find(tmp_path / "carl.h5", tmp_path / "dora.h5")


def test_given_splits_are_kept(study, tmp_path):
    file = tmp_path / "splits.json"
    file.write_text(json.dumps({"subject-00": "test", "subject-01": "validation", "subject-02": "test"}))
    run(study, tmp_path / "out", splits=file)
    assert json.loads((tmp_path / "out" / "splits.json").read_text()).items() >= json.loads(file.read_text()).items()
    assert {"subject-00", "subject-02"} <= {record.subject for record in ShardSource(tmp_path / "out", "test")}
    file.write_text('{"subject-00": "tset"}')
    with pytest.raises(InputError, match=r"the split of subject-00 is 'tset'"):
        run(study, tmp_path / "other", splits=file)


# ---------------------------------------------------------------- continuing


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.h5")}


def test_an_interrupted_preparation_continues(study, tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(study, whole)
    write, calls = records.write_shard, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(records, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(study, cut)
    before = times(cut)
    assert len(before) == 2
    run(study, cut)
    assert len(calls) == 3 + len(times(whole)) - 2
    assert times(cut).items() >= before.items()
    assert records_of(cut) == records_of(whole)


def test_a_damaged_shard_is_made_again(study, tmp_path, capsys):
    run(study, tmp_path / "out")
    expected, shard = records_of(tmp_path / "out"), tmp_path / "out" / "train-00001.h5"
    before = times(tmp_path / "out")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError):
        records_of(tmp_path / "out")
    run(study, tmp_path / "out")
    assert "train-00001.h5 is made again" in capsys.readouterr().err
    assert records_of(tmp_path / "out") == expected
    after = times(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"train-00001.h5"}


def test_files_that_are_added_are_appended(study, tmp_path):
    run(study, tmp_path / "out")
    expected, splits = records_of(tmp_path / "out"), json.loads((tmp_path / "out" / "splits.json").read_text())
    for i in range(40, 50):
        write_tiny(study / f"a-subject-{i}.h5", i)  # before the others in order
    run(study, tmp_path / "out")
    found = records_of(tmp_path / "out")
    assert len(found) == 50
    assert found.items() >= expected.items()
    assert json.loads((tmp_path / "out" / "splits.json").read_text()).items() >= splits.items()


def test_what_differs_is_named(study, tmp_path):
    out = tmp_path / "out"
    run(study, out)
    with pytest.raises(InputError, match=r"made by another command \(seed 0 -> 1; storage complex64 -> float16\).*--splits="):
        run(study, out, seed=1, storage="float16")
    with pytest.raises(InputError, match=r"inputs \['.*study'\] -> \['.*subject-00.h5'\]"):
        run([study / "subject-00.h5"], out)
    write_tiny(study / "subject-03.h5", 99)
    with pytest.raises(InputError, match=r"subject-03.h5: is gone or changed since records of it were made"):
        run(study, out)
    (study / "subject-03.h5").unlink()
    with pytest.raises(InputError, match=r"subject-03.h5: is gone"):
        run(study, out)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not empty"):
        run(study, tmp_path / "used")
    (out / "plan.json").write_text("{")
    with pytest.raises(InputError, match="not a plan of prepare_data"):
        run(study, out)


def test_two_at_work_in_one_output_are_refused(study, tmp_path):
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another prepare_data is at work"):
            run(study, tmp_path / "out")


def test_killed_with_its_processes_it_continues(study, tmp_path, launch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(study, whole)
    process = launch("prepare_data", f"--input={study}", f"--output={killed}", "--processes=2")
    while not list(killed.glob("outcomes/*.json")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()  # returns when nobody holds its output any more: its processes have ended too
    finished = {path.with_suffix(".h5").name for path in killed.glob("outcomes/[!.]*.json")}  # others are made again
    before = {name: at for name, at in times(killed).items() if name in finished}
    run(study, killed, settings=simulator.Settings())
    assert times(killed).items() >= before.items()
    assert records_of(killed) == records_of(whole)
    assert not list(killed.glob(".*.h5"))


# ---------------------------------------------------------------- failures


@pytest.fixture
def faulty(study) -> dict[str, str]:
    """Files that cannot be used among those that can, and what has to be said about each."""
    scan = simulator.simulate(0, 1, SMALL).scan
    mrd.write_scan(study / "truncated.h5", scan)
    content = (study / "truncated.h5").read_bytes()
    (study / "truncated.h5").write_bytes(content[: len(content) // 2])
    (study / "text.h5").write_text("not HDF5")
    (study / "empty.h5").write_text("")
    (study / "pictures.npz").write_text("not a zip")
    import h5py

    with h5py.File(study / "other.h5", "w") as file:
        file["data"] = np.zeros(3)
    mrd.write_scan(study / "silent.h5", scan)
    with h5py.File(study / "silent.h5", "r+") as file:
        rows = file["dataset/data"][()]
        imaging = rows[rows["head"]["flags"] & np.uint64(1 << 18) == 0]
        del file["dataset/data"]
        file.create_dataset("dataset/data", data=imaging, dtype=rows.dtype)
    return {
        "truncated.h5": "cannot be read as HDF5",
        "text.h5": "not an HDF5 file",
        "empty.h5": "not an HDF5 file",
        "pictures.npz": "not a readable .npz",
        "other.h5": r"HDF5 that holds \['data'\]",
        "silent.h5": "no noise readouts",
    }


def test_failures_are_listed_and_the_others_are_made(study, tmp_path, faulty):
    made = run(study, tmp_path / "out")
    assert sum(made.counts.values()) == 40 == len(records_of(tmp_path / "out"))
    listed = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert {Path(one["file"]).name for one in listed} == faulty.keys()
    assert {Path(one.path).name for one in made.failures} == faulty.keys()
    for one in listed:
        assert re.search(faulty[Path(one["file"]).name], one["why"]), one
    before = times(tmp_path / "out")
    assert run(study, tmp_path / "out") == made
    assert times(tmp_path / "out") == before

    write_tiny(study / "text.h5", 77)
    (study / "empty.h5").unlink()
    again = run(study, tmp_path / "out")
    assert sum(again.counts.values()) == 41
    assert {Path(one.path).name for one in again.failures} == faulty.keys() - {"text.h5", "empty.h5"}
    assert len(records_of(tmp_path / "out")) == 41


def test_failures_alone_leave_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="no raw scans"):
        run(tmp_path / "in", tmp_path / "out")
    for i in range(3):
        write_tiny(tmp_path / "in" / f"{i}.h5", i, partitions=4)
    with pytest.raises(InputError, match="0.h5, series 0: 0.h5 is a volume.*no record could be made of 3 series"):
        run(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "0.h5").write_text("")
    with pytest.raises(InputError, match=r"0.h5: not an HDF5 file"):
        run([tmp_path / "in" / "0.h5"], tmp_path / "out")
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        run([tmp_path / "nowhere"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_series_that_is_not_finite_is_a_failure(tmp_path):
    for i in range(4):
        write_tiny(tmp_path / "in" / f"{i}.h5", i)
    import h5py

    with h5py.File(tmp_path / "in" / "2.h5", "r+") as file:
        file["image"][1, 2, 3] = np.nan
    (failure,) = run(tmp_path / "in", tmp_path / "out").failures
    assert failure.path.endswith("2.h5")
    assert "1 NaN or Inf" in failure.why


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("cannot close (errno = 28, error message = ...)")]
)
def test_a_full_disk_stops_it_and_the_same_command_continues(study, tmp_path, monkeypatch, error):
    def full(path, made, storage):
        if path.name == "train-00001.h5":
            raise error
        return write(path, made, storage)

    write = records.write_shard
    monkeypatch.setattr(records, "write_shard", full)
    with pytest.raises(InputError, match="No space left on device.*the same command continues"):
        run(study, tmp_path / "out")
    monkeypatch.setattr(records, "write_shard", write)
    assert sum(run(study, tmp_path / "out").counts.values()) == 40


def test_a_worker_that_is_killed_is_said(monkeypatch):
    class Pool:
        def __init__(self, *arguments, **options):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def submit(self, *arguments):
            raise prepare_shards.BrokenProcessPool("a process died")

    monkeypatch.setattr(prepare_shards, "ProcessPoolExecutor", Pool)
    with pytest.raises(InputError, match="fewer --processes"):
        list(prepare_shards._outcomes([None], 2))
