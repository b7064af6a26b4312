"""SNR, CNR and fidelity of regions with known signal and noise."""

import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.evaluation.regions import contrast_to_noise, measure

SHAPE = (3, 5, 7)


def two_tissues() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Signals of 30 and 12 with a phase, noise of 2 and 4, and the masks."""
    left = np.zeros(SHAPE[1:], bool)
    left[:, :3] = True
    phase = np.exp(1j * np.linspace(0, 3, 7))
    return np.broadcast_to(np.where(left, 30, 12) * phase, SHAPE), np.where(left, 2.0, 4.0), left, ~left


def test_snr_and_contrast():
    series, noise, left, right = two_tissues()
    first, second = (measure(series, noise, mask, series) for mask in (left, right))
    assert (first.snr, second.snr) == pytest.approx((15, 3))
    assert contrast_to_noise(first, second) == pytest.approx(2 * 18 / 6)
    assert first.fidelity == pytest.approx(1)


def test_a_region_may_move():
    series, noise, left, _ = two_tissues()
    moving = np.stack([left, np.roll(left, 1, axis=1), left])
    expected = np.mean([30] * 15 + [30] * 10 + [12] * 5 + [30] * 15)
    assert measure(series, noise, moving, series).signal == pytest.approx(expected)


def test_fidelity_sees_what_snr_does_not():
    """Of half of the signal in half of the noise the SNR is the same; noise in the series does not change it on average."""
    series, noise, left, _ = two_tissues()
    half = measure(series / 2, noise / 2, left, series)
    assert half.snr == pytest.approx(15)
    assert half.fidelity == pytest.approx(0.5)
    noisy = series + np.random.default_rng(0).normal(0, 2, (*SHAPE, 2)) @ [1, 1j]
    assert measure(noisy, noise, left, series).fidelity == pytest.approx(1, abs=4 * 2 / (30 * np.sqrt(left.sum() * SHAPE[0])))
    turned = measure(series * 1j, noise, left, series)
    assert turned.fidelity == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.ones((5, 6), bool)}, r"mask is \(5, 6\), the series \(3, 5, 7\): give \(3, 5, 7\) or \(5, 7\)"),
        ({"mask": np.zeros((5, 7), bool)}, "region is empty"),
        ({"mask": np.ones((5, 7))}, "mask is float64: give booleans"),
        ({"noise": np.zeros((5, 7))}, "noise map is 0 or not finite at 105 points"),
        ({"noise": np.full((5, 7), np.nan)}, "noise map is 0 or not finite"),
        ({"noise": np.ones((7, 5))}, "noise map is"),
        ({"truth": np.ones((1, 5, 7))}, r"truth is \(1, 5, 7\)"),
        ({"truth": np.zeros(SHAPE)}, "truth is 0"),
    ],
)
def test_bad_input(change, message):
    series = np.ones(SHAPE, np.complex64)
    arguments = {"series": series, "noise": np.ones(SHAPE[1:]), "mask": np.ones(SHAPE[1:], bool), "truth": series} | change
    with pytest.raises(InputError, match=message):
        measure(**arguments)
