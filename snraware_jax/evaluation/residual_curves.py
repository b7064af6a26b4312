"""Curves of a residual over g, for the eye: histogram, radial power spectrum, autocorrelation.

The residual of a denoiser f is (y - f(y)) / g. It is not the noise: f keeps some of the noise, so that even the best denoiser leaves a
residual of SD below 1 (mean |.|^2 / 2 is 1 - the mean squared error of the best estimate, for unit noise), and one of the colour of the
noise. `residuals.residual_test` has the distribution to expect.
"""

import numpy as np

EDGES = np.linspace(-6, 6, 61)  # of the histogram, in SD of unit noise
LAGS = 8  # of the autocorrelation


def over_g(difference: np.ndarray, g_map: np.ndarray) -> np.ndarray:
    """`[T, H, W]` complex, `[H, W]` or `[T, H, W]` -> their ratio, complex64; NaN where g is 0."""
    g = np.broadcast_to(g_map, difference.shape)
    nothing = np.full(difference.shape, complex(np.nan, np.nan), np.complex64)
    return np.divide(difference, g, out=nothing, where=g > 0, casting="same_kind")


def sd(residual: np.ndarray) -> tuple[float, float]:
    """Root mean square of the real and of the imaginary part of `[T, H, W]`; 1 and 1 for unit noise."""
    return float(np.sqrt(np.nanmean(np.real(residual) ** 2))), float(np.sqrt(np.nanmean(np.imag(residual) ** 2)))


def histogram(residual: np.ndarray) -> np.ndarray:
    """Density between EDGES of real and imaginary part: `[T, H, W]` complex -> `[2, 60]`; what lies outside counts in the total."""
    values = residual[np.isfinite(residual)]
    return np.stack(
        [np.histogram(part, EDGES)[0] / (part.size * np.diff(EDGES)) for part in (np.real(values), np.imag(values))]
    )


def beyond(residual: np.ndarray, limit: float = 5.0) -> int:
    """How many real and imaginary parts lie beyond `limit`."""
    return int(sum(np.count_nonzero(np.abs(part) > limit) for part in (np.real(residual), np.imag(residual))))


def radial_spectrum(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power per real component on rings of spatial frequency, over all frames; 1 on each for white unit noise.

    Points without a value count as 0; the power is that of the others.

    Args:
      residual: `[T, H, W]` complex.

    Returns:
      frequencies: `[N]`, centres of the rings, cycles per pixel, 0 to 0.5; at 0 the mean of the frames.
      power: `[N]`.
    """
    known = np.isfinite(residual)
    spectrum = np.abs(np.fft.fft2(np.where(known, residual, 0), norm="ortho")) ** 2 / 2
    mean = spectrum.mean(axis=0) / known.mean()
    _, height, width = residual.shape
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    steps = max(1, min(height, width) // 2)  # rings as wide as the steps of the shorter axis, their centres on its samples
    ring = np.rint(2 * steps * radius).astype(int)
    count = np.bincount(ring.ravel())[: steps + 1]
    power = np.bincount(ring.ravel(), mean.ravel())[: steps + 1]
    there = count > 0
    return np.flatnonzero(there) / (2 * steps), power[there] / count[there]


def autocorrelation(residual: np.ndarray, lags: int = LAGS) -> np.ndarray:
    """Re mean(conj(r) r shifted) / mean |r|^2 along T, H and W: `[T, H, W]` complex -> `[3, lags + 1]`.

    1 at lag 0, then 0 for white noise; NaN where an axis is no longer than the lag.
    """
    power = np.nanmean(np.abs(residual) ** 2)
    curves = np.full((3, lags + 1), np.nan)
    for axis in range(3):
        along = np.moveaxis(residual, axis, 0)
        for lag in range(min(lags + 1, len(along))):
            products = np.real(np.conj(along[: len(along) - lag]) * along[lag:])
            if power > 0 and np.isfinite(products).any():
                curves[axis, lag] = np.nanmean(products) / power
    return curves
