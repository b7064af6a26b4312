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
    """Bilinear look-up in a periodic field `[H, W]` at real-valued positions (grid points), any common shape."""
    height, width = field.shape
    row0, column0 = np.floor(row), np.floor(column)
    dr, dc = row - row0, column - column0
    r0, c0 = row0.astype(np.int32) % height, column0.astype(np.int32) % width
    r1, c1 = (r0 + 1) % height, (c0 + 1) % width
    flat = field.ravel()
    upper = flat[r0 * width + c0] * (1 - dc) + flat[r0 * width + c1] * dc
    lower = flat[r1 * width + c0] * (1 - dc) + flat[r1 * width + c1] * dc
    return upper * (1 - dr) + lower * dr
