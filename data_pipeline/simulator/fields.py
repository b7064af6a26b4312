"""Random fields in a volume, in mm: texture without a scale, and undulation of one wavelength."""

from collections.abc import Sequence

import numpy as np
from scipy import fft


def rough(
    rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float], exponent: float, longest_mm: float
) -> np.ndarray:
    """Periodic Gaussian field `[D, H, W]` of amplitude spectrum (k^2 + 1/longest^2)^(-exponent/2), float32, mean 0, SD 1."""
    return _shaped(rng, shape, spacing_mm, lambda k2: (k2 + np.float32(1 / longest_mm**2)) ** np.float32(-exponent / 2))


def waves(
    rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float], wavelength_mm: float, width: float = 0.3
) -> np.ndarray:
    """Periodic Gaussian field `[D, H, W]` whose wavelengths lie about one, `width` the relative SD of their frequency; SD 1."""
    k0 = 1 / wavelength_mm
    return _shaped(rng, shape, spacing_mm, lambda k2: np.exp(-((np.sqrt(k2) - k0) ** 2) / (2 * (width * k0) ** 2)))


def _shaped(rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float], amplitude) -> np.ndarray:
    """White noise with the amplitude spectrum `amplitude(k^2)`, k in cycles per mm."""
    frequencies = [fft.fftfreq(n, step) for n, step in zip(shape[:2], spacing_mm[:2], strict=True)]
    kz, ky = (f.astype(np.float32) for f in frequencies)
    kx = fft.rfftfreq(shape[2], spacing_mm[2]).astype(np.float32)
    k2 = (kz**2)[:, None, None] + (ky**2)[:, None] + kx**2
    spectrum = np.asarray(fft.rfftn(rng.standard_normal(tuple(shape), dtype=np.float32)))
    weight = amplitude(k2)
    weight[0, 0, 0] = 0
    spectrum *= weight
    field = np.asarray(fft.irfftn(spectrum, s=tuple(shape)))
    return field / max(float(field.std()), 1e-12)
