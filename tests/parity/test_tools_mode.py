"""T17: the results of ismrmrd-python-tools, reproduced to 1e-5 by its own rules, complex values compared."""

import numpy as np
import pytest

from tests.parity import tools_mode

ACCELERATIONS = (1, 2, 3, 4, 5, 6, 8)


@pytest.fixture(scope="module")
def tools(shared):
    return dict(np.load(shared / "goldens" / "recon" / "tools_c8_192x144_acs48.npz"))


@pytest.fixture(scope="module")
def unmixings(tools):
    return {r: tools_mode.unmixing(tools["acs"], tools["csm_walsh"].astype(complex), r) for r in ACCELERATIONS}


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_g_maps_of_the_tools(tools, unmixings, acceleration):
    """T17, R = 1 included: the peer fits it, and gets less than 1."""
    g_map = tools_mode.g_factor(unmixings[acceleration], tools["csm_walsh"].astype(complex))
    np.testing.assert_allclose(g_map, tools[f"gmap_R{acceleration}"], rtol=1e-5)


@pytest.mark.parametrize("acceleration", [2, 4])
def test_unmixing_of_the_tools(tools, unmixings, acceleration):
    """T17: complex; with the peer's phase left in, the magnitudes would still agree and the values not at all."""
    expected = tools[f"unmix_R{acceleration}"]
    found, phase = unmixings[acceleration], tools_mode.spurious_phase(expected.shape[1])
    np.testing.assert_allclose(found, expected * phase.conj(), rtol=0, atol=1e-5)
    assert np.linalg.norm(found - expected) > np.linalg.norm(expected)


def test_a_rule_left_out_shows(tools):
    """Negative control: with the last line and column of the calibration data used after all, g is off by several per cent."""
    maps = tools["csm_walsh"].astype(complex)
    whole = np.pad(tools["acs"], ((0, 0), (0, 1), (0, 1)))  # the line and column of zeros are what is left out
    g_map = tools_mode.g_factor(tools_mode.unmixing(whole, maps, 4), maps)
    assert np.abs(g_map / tools["gmap_R4"] - 1).max() > 0.05
