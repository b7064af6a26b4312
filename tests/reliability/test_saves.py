"""A save that the system refuses ends nothing: a message, the last checkpoint whole, and the next save is tried."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.sources import open_source
from launch.training import watched
from snraware_jax.errors import InputError
from snraware_jax.training import checkpoint, loop
from snraware_jax.training.run import assemble
from tests.reliability import trials
from tests.reliability.faults import Failed, configuration


@pytest.mark.xdist_group("train")
def test_large_files_are_refused_for_a_while(bench):
    command = bench.command("refused", steps=96)
    with command.start() as training:
        trials.refused_saves(training, 0, most_bytes=60_000)
        assert training.wait() == [0], training.tails()
    trials.alike(command, bench.reference(command))


@pytest.mark.xdist_group("train")
def test_a_run_does_not_end_without_the_best_of_its_last_step(bench, monkeypatch):
    """There is no later save of it: the same command makes the last steps again."""
    command = bench.command("best-refused", steps=8)
    config, saved = configuration(command), checkpoint.save
    run = assemble(config, 12)._replace(steps=8)
    training, validation = (open_source(command.records, split) for split in ("train", "validation"))

    def save(folder: Path, *arguments: Any, **options: Any) -> Path:
        if folder.name == "best":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return saved(folder, *arguments, **options)

    monkeypatch.setattr(checkpoint, "save", save)
    with (
        pytest.raises(InputError, match=r"step 8 was not saved in .*best .*No space left.*make room"),
        watched(config) as watch,
    ):
        loop.train(config, run, training, validation, command.workdir, watch)
    assert checkpoint.steps(command.workdir / "checkpoints") == [4]
    monkeypatch.undo()
    with watched(config) as watch:
        loop.train(config, run, training, validation, command.workdir, watch)
    assert [checkpoint.steps(command.workdir / name)[-1] for name in ("checkpoints", "best")] == [8, 8]


def test_damage_would_be_noticed(tmp_path):
    with pytest.raises(Failed, match="checkpoints"):
        trials.whole(tmp_path / "checkpoints")
