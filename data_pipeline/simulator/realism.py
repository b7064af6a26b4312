"""Statistics of an image series by which simulated and real ones are compared; all are free of intensity scale and phase."""

import numpy as np

FREQUENCIES = np.linspace(0.05, 0.45, 17)  # edges of the radial bins, cycles per pixel
QUANTILES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995)


def radial_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean power of the windowed frames in rings of spatial frequency, over that of the first ring: `[T, H, W]` -> `[16]`."""
    images = images - images.mean(axis=(-2, -1), keepdims=True)
    window = np.hanning(images.shape[-2])[:, None] * np.hanning(images.shape[-1])
    power = np.mean(np.abs(np.fft.fft2(images * window)) ** 2, axis=0)
    frequency = np.hypot(np.fft.fftfreq(images.shape[-2])[:, None], np.fft.fftfreq(images.shape[-1]))
    ring = np.digitize(frequency, FREQUENCIES)
    mean = np.array([power[ring == index].mean() for index in range(1, len(FREQUENCIES))])
    return mean / mean[0]


def slope(spectrum: np.ndarray) -> float:
    """Slope of log power over log frequency of `radial_spectrum`."""
    middles = (FREQUENCIES[1:] + FREQUENCIES[:-1]) / 2
    return float(np.polyfit(np.log(middles), np.log(spectrum), 1)[0])


def temporal_spectrum(images: np.ndarray, harmonics: int = 8) -> np.ndarray:
    """Power of the first harmonics of the beat in the 10 % of pixels that move most, over their sum: `[T, H, W]` -> `[harmonics]`."""
    spread = images.std(axis=0)
    moving = images[:, spread >= np.quantile(spread, 0.9)]
    power = np.mean(np.abs(np.fft.rfft(moving, axis=0)) ** 2, axis=1)[1 : harmonics + 1]
    return power / power.sum()


def moving_share(images: np.ndarray) -> float:
    """Part of the variance of a series that is not in its mean frame."""
    return float(np.sum((images - images.mean(0)) ** 2) / np.sum((images - images.mean()) ** 2))


def gradients(images: np.ndarray) -> np.ndarray:
    """Quantiles of the gradient's size within the body, over the 99th percentile of the signal: `[T, H, W]` -> `[7]`."""
    unit = images / np.percentile(images, 99)
    size = np.hypot(*np.gradient(unit, axis=(-2, -1)))
    return np.quantile(size[unit > 0.08], QUANTILES)


def local_variances(images: np.ndarray, size: int = 5) -> np.ndarray:
    """Quantiles of the SD in windows of `size` x `size` within the body, over the 99th percentile: `[T, H, W]` -> `[7]`."""
    unit = images / np.percentile(images, 99)
    windows = np.lib.stride_tricks.sliding_window_view(unit, (size, size), (-2, -1))[:, ::2, ::2]
    inside = windows.mean((-2, -1)) > 0.08
    return np.quantile(windows[inside].std((-2, -1)), QUANTILES)


def inside_body(images: np.ndarray, level: float = 0.08) -> float:
    """Part of the field of view with signal above `level` of the 99th percentile."""
    return float(np.mean(images > level * np.percentile(images, 99)))
