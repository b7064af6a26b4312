"""A run that is killed and started again makes the same numbers, bit for bit, as one that was left alone."""

import signal
import time

import pytest

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
    return read_metrics(workdir / "metrics.jsonl")


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
    rows = read_metrics(workdir / "metrics.jsonl")
    assert rows[-1]["step"] < STEPS

    again = launch(*command(tiny_records, workdir))
    output, error = again.communicate(timeout=300)
    assert again.returncode == 0, error
    assert ("resumed at step" in output) == (at_step > 4)
    assert read_metrics(workdir / "metrics.jsonl") == uninterrupted
