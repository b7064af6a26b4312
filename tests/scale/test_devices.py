"""The number of devices changes the order of a few sums, nothing else."""

import numpy as np
import pytest

from snraware_jax.training.logging import read_metrics
from tests.tiny import TINY


@pytest.mark.xdist_group("train")
def test_eight_devices_make_the_losses_of_one(launch, tiny_records, tmp_path):
    losses = {}
    for devices in (1, 8):
        workdir = tmp_path / str(devices)
        flags = (f"--workdir={workdir}", f"--config.data.path={tiny_records}", "--config.train.steps=8", *TINY)
        process = launch("train", "--config=configs/hrnet_cnnt.py:quick", *flags, devices=devices)
        output, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        assert f"on {devices} cpu device(s)" in output
        losses[devices] = [row["loss"] for row in read_metrics(workdir / "metrics.jsonl") if "loss" in row]
    assert len(losses[1]) == 8
    np.testing.assert_allclose(losses[8], losses[1], rtol=1e-6)
