"""Multi-scale random fields: the texture that a denoiser must not wash out."""

import numpy as np
from scipy import fft


def power_law(
    rng: np.random.Generator, shape: tuple[int, ...], exponent: float, longest: float = np.inf, shortest: float = 0.0
) -> np.ndarray:
    """Periodic Gaussian random field with amplitude spectrum A(k) ~ (k^2 + 1/longest^2)^(-exponent/2), unit standard deviation.

    Args:
      rng: source of the white noise.
      shape: `[..., H, W]`; every leading index is an independent field.
      exponent: of the amplitude; the power falls as k^(-2 * exponent).
      longest: wavelength (grid points) above which the spectrum is flat.
      shortest: wavelength (grid points) below which a Gaussian removes the rest.

    Returns:
      float32 fields of `shape`, mean 0 and SD 1 each.
    """
    rows, columns = shape[-2:]
    k2 = fft.fftfreq(rows)[:, None] ** 2 + fft.rfftfreq(columns) ** 2
    k2[0, 0] = 1.0
    amplitude = (k2 + 1.0 / longest**2) ** (-exponent / 2) * np.exp(-0.5 * k2 * shortest**2)
    amplitude[0, 0] = 0.0
    white = np.asarray(fft.rfft2(rng.standard_normal(shape, dtype=np.float32)))
    field = np.asarray(fft.irfft2(white * amplitude.astype(np.float32), s=(rows, columns)))
    return field / field.std(axis=(-2, -1), keepdims=True)


def strands(field: np.ndarray, width: float) -> np.ndarray:
    """Thin network along the zero crossings of a unit field, exp(-(f / width)^2): fat septa and muscle fascicles, 1 on a strand."""
    return np.exp(-((field / np.float32(width)) ** 2))


def sample(field: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Bilinear look-up in a periodic field `[H, W]` at real-valued positions (grid points), arrays that broadcast."""
    height, width = field.shape
    (r0, r1, dr), (c0, c1, dc) = _neighbours(row, height), _neighbours(column, width)
    r0, r1, flat = r0 * width, r1 * width, field.ravel()
    upper, lower = flat.take(r0 + c0), flat.take(r1 + c0)
    upper += dc * (flat.take(r0 + c1) - upper)
    lower += dc * (flat.take(r1 + c1) - lower)
    lower -= upper
    lower *= dr
    lower += upper
    return lower


def _neighbours(position: np.ndarray, period: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grid points before and after each position, and how far it is from the first."""
    within = position - period * np.floor(position * np.float32(1 / period))
    before = within.astype(np.int32)
    part = within - before.astype(np.float32)
    before[before >= period] = 0  # by rounding
    after = before + 1
    after[after == period] = 0
    return before, after, part
