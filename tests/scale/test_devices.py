"""The number of devices and of processes changes the order of a few sums, nothing else (all fourteen: `python -m tests.scale`)."""

import numpy as np
import pytest

from tests.scale.__main__ import difference, finish, losses, start


@pytest.mark.xdist_group("train")
def test_eight_devices_and_two_processes_make_the_losses_of_one(tmp_path):
    found = losses(tmp_path, ["--networks=hrnet_cnnt"])
    on_one = found.pop("1 device")
    assert len(set(on_one["hrnet_cnnt float32"])) == 3
    for of_others in found.values():
        assert difference(of_others["hrnet_cnnt float32"], on_one["hrnet_cnnt float32"]) < 1e-6
        assert difference(of_others["hrnet_cnnt bfloat16"], on_one["hrnet_cnnt float32"]) < 1e-3


@pytest.mark.xdist_group("train")
def test_estimates_of_the_curvature_and_split_parameters(tmp_path):
    finish(start("estimates", tmp_path / "found.npz", devices=8))
    found = np.load(tmp_path / "found.npz")
    for estimator in ("gnb", "hutchinson"):
        one, split = found[f"{estimator}-one"], found[f"{estimator}-split"]
        moved = np.linalg.norm(np.diff(one, axis=0), axis=1)
        assert (moved > 0).all()
        assert (np.linalg.norm(split - one, axis=1)[1:] < 1e-3 * moved).all()
