"""Every kind of cell gives the same numbers on one device and on eight, in inference and in training."""

import numpy as np
import pytest

from tests.scale.__main__ import finish, start
from tests.scale.network_outputs import CELLS


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    file = tmp_path_factory.mktemp("outputs") / "outputs.npz"
    finish(start("network_outputs", file, devices=8))
    return np.load(file)


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("backbone", CELLS)
@pytest.mark.xdist_group("outputs")
def test_one_and_eight_devices(outputs, backbone, mode):
    one, eight, again = (outputs[f"{backbone}-{mode}-{name}"] for name in ("1", "8", "again"))
    assert np.std(one) > 0
    np.testing.assert_array_equal(eight, again)
    np.testing.assert_allclose(eight, one, rtol=0, atol=2e-6 * np.std(one))


@pytest.mark.xdist_group("outputs")
def test_training_drops_branches(outputs):
    assert not np.allclose(outputs["unet-inference-1"], outputs["unet-training-1"], atol=1e-2)
