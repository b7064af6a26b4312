"""Checks of one scan, on denoisers of which all is known."""

import jax
import numpy as np
import pytest

from snraware_jax.evaluation.checks import CONTRASTS, checker, place
from tests.evaluation.linear import filtered

pytestmark = pytest.mark.xdist_group("suites")


def test_what_does_nothing_has_the_error_of_the_noise(scan_case):
    found = checker(lambda y, g: y, probes=4, copies=3)(scan_case, jax.random.key(0))
    noise = np.mean(np.abs(scan_case.noisy - scan_case.truth) ** 2) / 2
    assert found.mse == pytest.approx(noise, rel=1e-4)
    assert found.sure == pytest.approx(noise, rel=0.05)
    assert found.recovery == pytest.approx([1] * len(CONTRASTS), abs=1e-4)
    assert found.width == pytest.approx([1, 1, 1], abs=1e-3)  # straight lines from 1 to 0
    assert found.g_map_loss == pytest.approx([0, 0], abs=1e-5)
    assert found.noise_left == pytest.approx(1, abs=0.1)
    assert found.residual == [1.0] * 4  # nothing is removed, from the scan or from its copies


def test_a_filter(scan_case):
    found = checker(lambda y, g: g * filtered(y / g), probes=8, copies=3)(scan_case, jax.random.key(1))
    assert found.sure == pytest.approx(found.mse, abs=6 * found.sure_error + 0.05 * found.mse)
    assert all(0.2 < share < 0.9 for share in found.recovery)
    assert found.recovery == pytest.approx([found.recovery[0]] * len(CONTRASTS), abs=1e-3)  # linear
    assert found.width[0] is None  # four frames are too few to fall to a half behind the middle one
    assert found.width[1:] == pytest.approx([2, 2], abs=0.2)
    assert found.phase_error == pytest.approx(0, abs=1e-5)
    assert found.g_map_loss == pytest.approx([0, 0], abs=1e-4)  # a factor on the whole map cancels
    assert 0.1 < found.noise_left < 0.4


def test_the_residual_is_compared_with_the_noise_of_the_scan(scan_case):
    """What takes away everything leaves the noise and the image, which its copies, of noise alone, do not have."""
    everything = checker(lambda y, g: 0 * y, probes=1, copies=39)(scan_case, jax.random.key(2))
    assert everything.residual[0] == pytest.approx(1 / 40)
    image = scan_case.truth
    only_noise = checker(lambda y, g: 0 * y + image, probes=1, copies=39)(scan_case, jax.random.key(3))
    assert min(only_noise.residual) > 1 / 40


def test_the_place_lies_in_the_myocardium(scan_case):
    assert scan_case.labels[place(scan_case)] == 2
