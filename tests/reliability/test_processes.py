"""Two processes of one run: they leave together, whatever happens to one of them, and make the losses of one."""

import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from tests.reliability import trials
from tests.reliability.test_shards import replace_array

HEARTBEAT = 3.0
FLAGS = (f"--config.train.heartbeat_seconds={HEARTBEAT}",)


@pytest.mark.xdist_group("train")
def test_faults_of_one_of_two_and_losses_are_those_of_one(bench):
    command = bench.command("two", steps=90, processes=2, flags=FLAGS)
    with command.start() as training:
        trials.refused_saves(training, 1, most_bytes=1_500)
        trials.lost(training, signal.SIGKILL, 1, HEARTBEAT)
    trials.told_to_stop(command, "steps", bench.random(3), 1)
    command.finish()
    alone = bench.reference(bench.command("one", steps=90))
    assert trials.furthest(command.workdir, alone, first=8) < 1e-6


@pytest.mark.xdist_group("train")
def test_both_leave_at_a_record_that_one_of_them_reads(bench, tmp_path):
    shutil.copytree(bench.records, tmp_path / "records")

    def hurt(image: np.ndarray) -> np.ndarray:
        image.flat[5] = np.nan
        return image

    replace_array(tmp_path / "records" / "train.h5", "00000009/image", hurt)
    command = replace(bench.command("bad-record", processes=2, flags=FLAGS), records=tmp_path / "records")
    trials.bad_input(command, "train.h5, record 00000009")
