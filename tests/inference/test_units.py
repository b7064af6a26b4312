"""The noise SD of a background is found whatever the units, and not found where there is no background."""

import numpy as np
import pytest

from snraware_jax.inference.support import support
from snraware_jax.inference.units import background

SHAPE = (6, 64, 90)


def scan(sd: float, peak_snr: float, radius: float = 0.6, g_map: np.ndarray | float = 1.0, seed: int = 0) -> np.ndarray:
    """An ellipse of structured tissue with a phase in white noise of SD `sd` times g."""
    rng = np.random.default_rng(seed)
    _, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    tissue = np.hypot((y - 32) / 32, (x - 45) / 45) < radius
    image = peak_snr * tissue * (0.4 + 0.3 * ((x // 8 + y // 8) % 3)) * np.exp(0.1j * x)
    return sd * (image + g_map * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)))


@pytest.mark.parametrize("sd", [1.0, 37.4, 1e-6])
@pytest.mark.parametrize(
    ("peak_snr", "radius", "tolerance"), [(8, 0.6, 0.03), (20, 0.6, 0.02), (200, 0.85, 0.03), (4, 0.3, 0.05)]
)
def test_white_noise(sd, peak_snr, radius, tolerance):
    image = scan(sd, peak_snr, radius)
    for data in (image, np.abs(image)):
        found = background(data)
        assert found is not None
        assert found.sd == pytest.approx(sd, rel=tolerance)
    assert found.in_snr_units == (sd == 1)


def test_g_map_masks_and_colour():
    g_map = 1 + np.mgrid[: SHAPE[1], : SHAPE[2]][1] / 60
    image = scan(3.0, 20, g_map=g_map)
    image[:, :9] = 0  # padding
    found = background(image, g_map)
    assert found is not None
    assert found.sd == pytest.approx(3, rel=0.03)
    kept = np.abs(np.fft.fftfreq(SHAPE[2])) < 0.3
    smooth = np.fft.ifft(np.fft.fft(scan(1.0, 0)) * kept) / np.sqrt(kept.mean())
    assert background(smooth).sd == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_does_not_matter(scale):
    image = scan(3.0, 20)
    assert background((image * scale).astype(np.complex64)).sd == pytest.approx(background(image).sd * scale, rel=1e-3)


def test_no_background():
    assert background(scan(1.0, 20, radius=3)) is None  # tissue everywhere
    assert background(np.zeros(SHAPE)) is None
    assert background(np.abs(scan(1.0, 20))[:1, :3, :20]) is None  # too few
    coils = np.sqrt(sum(np.abs(scan(1.0, 0, seed=coil)) ** 2 for coil in range(8)))
    assert background(coils) is None  # noise of a root of sums of squares is none of Rayleigh's


def test_empty_lines_of_k_space_are_counted():
    """Zero-filled rows, and columns that partial Fourier left out, whatever the signal."""
    image = scan(2.0, 20)
    assert all(line.all() for line in support(image, 2.0, np.ones(SHAPE[1:])))
    rows, columns = np.abs(np.fft.fftfreq(SHAPE[1], 1 / SHAPE[1])) < 20, np.fft.fftfreq(SHAPE[2]) > -0.25
    for kept in (rows[:, None] & np.full(SHAPE[2], True), rows[:, None] & columns):
        smooth = np.fft.ifft2(np.fft.fft2(image) * kept).astype(np.complex64)
        sd = background(smooth).sd
        assert sd == pytest.approx(2 * np.sqrt(kept.mean()), rel=0.06)  # edges that were cut off ring in the background
        found = support(smooth, sd, np.ones(SHAPE[1:]))
        np.testing.assert_array_equal(found[0], rows)
        np.testing.assert_array_equal(found[1], kept.any(axis=0))
