"""SIGTERM: what was computed is saved, the process leaves with 75, and the same command goes on."""

import pytest

from snraware_jax.training.logging import read_metrics
from tests.reliability import trials


@pytest.mark.xdist_group("train")
def test_sigterm_in_compilation_and_in_training(bench):
    command = bench.command("told", steps=96)
    rng = bench.random(2)
    trials.told_to_stop(command, "compilation", rng)
    assert not read_metrics(command.workdir / "metrics.jsonl")
    trials.told_to_stop(command, "steps", rng)
    command.finish()
    trials.alike(command, bench.reference(command))
