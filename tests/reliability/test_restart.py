"""A run that is killed and started again makes the same numbers, bit for bit, as one that was left alone."""

import signal
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from snraware_jax.training import checkpoint
from snraware_jax.training.logging import read_metrics
from tests.tiny import TINY

STEPS = 12


def command(records, workdir) -> tuple[str, ...]:
    config = "--config=configs/hrnet_cnnt.py:quick"
    return ("train", config, f"--workdir={workdir}", f"--config.data.path={records}", f"--config.train.steps={STEPS}", *TINY)


@pytest.fixture(scope="module")
def uninterrupted(launch, tiny_records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("alone") / "run"
    process = launch(*command(tiny_records, workdir))
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return workdir


@pytest.mark.xdist_group("train")
@pytest.mark.parametrize("at_step", [2, 6])
def test_kill_9_and_the_same_command_again(launch, tiny_records, uninterrupted, tmp_path, at_step):
    workdir = tmp_path / "run"
    process = launch(*command(tiny_records, workdir))
    while len(read_metrics(workdir / "metrics.jsonl")) < at_step:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reached = checkpoint.steps(workdir / "checkpoints")
    assert STEPS not in reached, "the run was over before it was killed: give it more steps"

    again = launch(*command(tiny_records, workdir))
    output, error = again.communicate(timeout=300)
    assert again.returncode == 0, error
    assert ("resumed at step" in output) == bool(reached)
    assert read_metrics(workdir / "metrics.jsonl") == read_metrics(uninterrupted / "metrics.jsonl")
    for folder in ("checkpoints", "best"):
        same_arrays(workdir / folder, uninterrupted / folder)


def same_arrays(found: Path, expected: Path) -> None:
    """The newest checkpoints of two folders hold equal bits."""
    step = checkpoint.steps(expected)[-1]
    assert checkpoint.steps(found)[-1] == step
    with ocp.StandardCheckpointer() as checkpointer:
        trees = [checkpointer.restore(folder.resolve() / f"{step:08d}" / "state") for folder in (found, expected)]
    jax.tree.map(np.testing.assert_array_equal, *trees)
