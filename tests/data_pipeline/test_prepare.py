"""Scans and anatomy become records that the loader takes; splits never share a subject."""

import numpy as np
import pytest

from data_pipeline import prepare, simulator
from data_pipeline.sources import ShardSource
from snraware_jax.errors import InputError
from snraware_jax.formats import mrd

SMALL = simulator.Settings(matrix=(40, 48), frames=3, coils=5, calibration_lines=32)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two raw scans and two slices of anatomy as records, one of each series in its own split."""
    folder = tmp_path_factory.mktemp("prepare")
    raw = [simulator.simulate(0, subject, SMALL).scan for subject in (0, 1)]
    for scan in raw:
        mrd.write_scan(folder / "raw" / f"{scan.name}.h5", scan)
    y, x = np.mgrid[:96, :96]
    anatomy = 200.0 * (np.hypot(y - 48, x - 48) < 30) * np.ones((2, 3, 1, 1))
    np.savez(folder / "anatomy.npz", images=anatomy.astype(np.uint8))
    inputs = [folder / "raw", folder / "anatomy.npz"]
    count = prepare.prepare(inputs, folder / "records", split_by="series", seed=0, settings=SMALL)
    return folder / "records", count, raw


def test_every_series_is_a_record_of_one_split(prepared):
    folder, count, _ = prepared
    assert count == 4
    assert sum(len(ShardSource(folder, split)) for split in ("train", "validation", "test")) == 4
    assert sorted(record.sample_id for record in ShardSource(folder, "all")) == [0, 1, 2, 3]


def test_scans_keep_their_noise_and_anatomy_has_none(prepared):
    for record in ShardSource(prepared[0], "all"):
        measured = record.subject.startswith("simulated")
        assert record.native_noise == (1.0 if measured else 0.0)
        assert record.image.shape == (3, 40, 48)
        assert record.gmaps.shape == (7, 40, 48)


def test_simulation_is_resumed_not_repeated(tmp_path):
    prepare.simulate(tmp_path, seed=0, subjects=(2, 1, 1), settings=SMALL, processes=1)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / "validation-00000.h5").unlink()
    prepare.simulate(tmp_path, seed=0, subjects=(2, 1, 1), settings=SMALL, processes=1)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"validation-00000.h5"}
    assert [record.subject for record in ShardSource(tmp_path, "train")] == ["simulated-00000000", "simulated-00000001"]


def test_splits_are_by_name_and_never_empty():
    names = [f"subject-{i // 3}" for i in range(60)]
    splits = prepare.assign_splits(names)
    assert sorted(splits) == sorted(set(names))
    counts = [list(splits.values()).count(split) for split in ("train", "validation", "test")]
    assert counts == [16, 2, 2]
    assert splits == prepare.assign_splits(list(reversed(names)))
    with pytest.raises(InputError, match="--split_by=series"):
        prepare.assign_splits(["one", "one", "two"])


def test_a_folder_below_the_input_is_a_subject(tmp_path):
    for name in ("anna/1.h5", "anna/2.h5", "bert/1.h5", "carl.h5", "carl.truth.npz", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [subject for _, subject in prepare._files([tmp_path])] == ["anna", "anna", "bert", "carl"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "carl.h5").write_text("")
    with pytest.raises(InputError, match="two subjects of one name"):
        list(prepare._files([tmp_path, tmp_path / "other" / "carl.h5"]))


def test_a_used_output_folder_is_left_alone(tmp_path):
    (tmp_path / "something").write_text("")
    with pytest.raises(InputError, match="not empty"):
        prepare.prepare([], tmp_path, split_by="subject", seed=0, settings=SMALL)
