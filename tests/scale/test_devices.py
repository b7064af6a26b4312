"""The number of devices and processes changes the order of a few sums, nothing else (fourteen, bfloat16: `python -m tests.scale`)."""

import numpy as np
import pytest

from tests.scale.__main__ import difference, finish, losses, start


@pytest.mark.xdist_group("train")
def test_eight_devices_and_two_processes_make_the_losses_of_one(tmp_path):
    found = losses(tmp_path, ["--networks=hrnet_cnnt", "--dtypes=float32"])
    on_one = found.pop("1 device")
    assert len(set(on_one["hrnet_cnnt float32"])) == 3
    for of_others in found.values():
        assert difference(of_others["hrnet_cnnt float32"], on_one["hrnet_cnnt float32"]) < 1e-6


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    file = tmp_path_factory.mktemp("split") / "found.npz"
    finish(start("split_parameters", file, devices=8))
    return np.load(file)


@pytest.mark.parametrize("estimator", ["gnb", "hutchinson"])
@pytest.mark.xdist_group("split")
def test_estimates_of_the_curvature_with_split_parameters(found, estimator):
    one, split = found[f"{estimator}-one"], found[f"{estimator}-split"]
    moved = np.linalg.norm(np.diff(one, axis=0), axis=1)
    assert (moved > 0).all()
    assert (np.linalg.norm(split - one, axis=1)[1:] < 1e-3 * moved).all()


@pytest.mark.parametrize("saved", ["one", "split"])
@pytest.mark.xdist_group("split")
def test_checkpoints_between_whole_and_split_parameters(found, saved):
    np.testing.assert_array_equal(found[f"state-{saved}-moved"], found[f"state-{saved}"])
