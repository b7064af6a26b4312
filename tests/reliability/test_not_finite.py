"""Gradients that are not finite: once, for a while, for ever. Nothing of them stays in the parameters or on the disk."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from data_pipeline.sources import open_source
from launch.training import watched
from snraware_jax.errors import InputError
from snraware_jax.training import checkpoint, loop
from snraware_jax.training.logging import read_metrics
from snraware_jax.training.run import assemble
from tests.reliability.faults import Command, arrays, configuration, differences

STEPS = 26
Seen = Counter[int]


@pytest.fixture(scope="module")
def train(bench):
    """Trains in this process, on images that are NaN in the steps that a function of step and earlier passes says."""
    run = assemble(configuration(bench.command("nan")), 12)

    def start(name: str, hurt: Callable[[int, Seen], bool] = lambda step, seen: False, log_every: int = 1) -> Command:
        flags = ("--config.train.checkpoint_every=8", f"--config.train.log_every={log_every}")
        command = bench.command(name, steps=STEPS, flags=flags)
        command.workdir.mkdir()
        config, seen = configuration(command), Seen()
        whole = loop.loader.batches

        def batches(*arguments: Any, **options: Any) -> Iterator[dict[str, np.ndarray]]:
            first = options.get("first_step")
            for step, batch in enumerate(whole(*arguments, **options), 1 if first is None else first + 1):
                if first is not None:  # not those of validation
                    seen[step] += 1
                    if hurt(step, seen):
                        batch = batch | {"image": np.full_like(batch["image"], np.nan)}
                yield batch

        with pytest.MonkeyPatch.context() as patch, watched(config) as watch:
            patch.setattr(loop.loader, "batches", batches)
            training, validation = (open_source(command.records, split) for split in ("train", "validation"))
            loop.train(config, run._replace(steps=STEPS), training, validation, command.workdir, watch)
        return command

    return start


@pytest.fixture(scope="module")
def undisturbed(train):
    return train("nan-never").workdir


def skipped(command: Command) -> list[int]:
    return [row["step"] for row in read_metrics(command.workdir / "metrics.jsonl") if row.get("skipped")]


def everything_is_finite(command: Command) -> None:
    for path in (*command.workdir.glob("checkpoints/0*"), *command.workdir.glob("best/0*")):
        for name, array in arrays(path).items():
            assert np.isfinite(array).all(), (path, name)


@pytest.mark.xdist_group("train")
def test_one_step_is_left_out(train):
    command = train("nan-once", lambda step, seen: step == 6)
    assert skipped(command) == [6]
    everything_is_finite(command)
    assert arrays(command.workdir / "checkpoints" / f"{STEPS:08d}")["['step']"] == STEPS


@pytest.mark.xdist_group("train")
@pytest.mark.parametrize("log_every", [1, 50])
def test_a_streak_that_heals_leaves_no_trace(train, undisturbed, log_every):
    """Hurt from step 11 on, past the evaluation of 16, until the run goes back to step 8 and makes step 11 again."""
    seen_of_last = Seen()

    def hurt(step: int, seen: Seen) -> bool:
        seen_of_last.update({step: 1})
        return step >= 11 and seen[11] == 1

    command = train(f"nan-for-a-while-{log_every}", hurt, log_every)
    assert differences(command.workdir, undisturbed) == []
    assert max(step for step, times in seen_of_last.items() if times == 2) < 24  # ten steps, and what was under way


@pytest.mark.xdist_group("train")
def test_a_streak_for_ever_stops_with_the_step_and_the_parameters_before_it(train, bench):
    with pytest.raises(InputError, match=r"step 18: gradients were not finite for 10 steps in a row, twice.*lr_peak"):
        train("nan-for-ever", lambda step, seen: step >= 9)
    command = Command(bench.folder / "nan-for-ever", bench.records)
    assert skipped(command) == list(range(9, 19))
    assert checkpoint.steps(command.workdir / "checkpoints") == [8]
    everything_is_finite(command)
