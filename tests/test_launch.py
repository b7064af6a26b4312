"""Bad input to the programs of launch/ ends with one line, exit code 2, and nothing written."""

import pytest

from snraware_jax.training import configuration


def refused(process) -> str:
    """The one line of a program that refused its input."""
    output, error = process.communicate(timeout=120)
    assert process.returncode == 2, (output, error)
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config=configs/hrnet_cnnt.py:quick", "--config.train.lr_peek=1"], "did you mean optimizer.lr_peak?"),
        (["--config=configs/hrnet_cnnt.py:quick", "--config.batch_size=many"], "invalid literal for int()"),
        (["--config=configs/hrnet_cnnt.py:quick", "--config.batch_size=-8"], "batch_size is -8"),
        (["--config=configs/hrnet_cnn.py:quick"], "there are configs/ablation.py, configs/hrnet_cnnt.py"),
        (["--config=configs/hrnet_cnnt.py:quick", "--config.data.path=nowhere"], "nowhere: no such folder"),
        (["--config=configs/hrnet_cnnt.py:quick", "quick"], "quick is not a flag"),
        ([], "which configuration?"),
    ],
)
def test_train_refuses(launch, tmp_path, flags, message):
    workdir = tmp_path / "run"
    assert message in refused(launch("train", *flags, f"--workdir={workdir}"))
    assert not workdir.exists()


def test_train_refuses_a_truncated_shard(launch, tiny_records, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    for shard in tiny_records.glob("*.h5"):
        (folder / shard.name).write_bytes(shard.read_bytes())
    train = folder / "train.h5"
    train.write_bytes(train.read_bytes()[:-1000])
    error = refused(
        launch("train", "--config=configs/laptop.py", f"--config.data.path={folder}", f"--workdir={tmp_path / 'run'}")
    )
    assert "train.h5: not a readable HDF5 file" in error
    assert not (tmp_path / "run").exists()


def test_train_refuses_the_workdir_of_another_configuration(launch, tmp_path):
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "config.json").write_text('{"seed": 7}')
    error = refused(launch("train", "--config=configs/laptop.py", f"--workdir={workdir}"))
    assert "made by another configuration" in error
    assert [path.name for path in workdir.iterdir()] == ["config.json"]


def test_train_refuses_a_workdir_that_another_training_writes(launch, tiny_records, tmp_path):
    with configuration.lock(tmp_path):
        flags = ("--config=configs/hrnet_cnnt.py:quick", f"--config.data.path={tiny_records}", f"--workdir={tmp_path}")
        assert "another training is running in it; wait for it, or give another" in refused(launch("train", *flags))
    assert [path.name for path in tmp_path.iterdir()] == [configuration.LOCK]


def test_train_refuses_a_batch_that_does_not_divide(launch, tmp_path):
    flags = ("--config=configs/hrnet_cnnt.py:quick", f"--workdir={tmp_path / 'run'}")
    assert "--config.batch_size=9" in refused(launch("train", *flags, devices=3))
    assert not (tmp_path / "run").exists()


def test_train_refuses_to_be_one_of_several_that_it_cannot_find(launch, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    error = refused(launch("train", "--config=configs/hrnet_cnnt.py:quick", f"--workdir={tmp_path / 'run'}"))
    assert "JAX_COORDINATOR_ADDRESS is not set" in error


def test_evaluate_refuses_a_folder_that_is_no_workdir(launch, tmp_path):
    assert "no config.json, so not a workdir" in refused(launch("evaluate", f"--workdir={tmp_path}"))
    assert list(tmp_path.iterdir()) == []


def test_prepare_refuses_what_is_not_a_scan(launch, tmp_path):
    (tmp_path / "notes.h5").write_text("not HDF5")
    (tmp_path / "other.npz").write_text("not npz")
    for name in ("notes.h5", "other.npz", "missing.h5"):
        flags = (f"--input={tmp_path / name}", f"--output={tmp_path / 'records'}", "--split_by=series")
        assert name in refused(launch("prepare_data", *flags))
        assert not (tmp_path / "records").exists()
