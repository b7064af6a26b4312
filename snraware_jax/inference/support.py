"""How much of k-space an image holds: lines that are empty because it was zero-filled, or nearly so because it was filtered."""

import numpy as np

EMPTY = 0.1  # of the noise power that white noise of the same SD would have


def support(data: np.ndarray, sd: float, g_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows and columns of k-space hold noise: `[H]` and `[W]` bool, in the order of the FFT.

    A line counts if its mean power is more than a tenth of that of white noise of the image's SD. Lines of zeros have none, and
    those at the end of a strong filter little.

    Args:
      data: `[..., H, W]` complex. Of magnitudes the support is not to be seen.
      sd: noise SD of the background, per real component, over g.
      g_map: `[..., H, W]` that fits.
    """
    white = 2 * sd**2 * float(np.mean(np.broadcast_to(g_map, data.shape) ** 2))
    found = []
    for axis in (-2, -1):
        power = np.abs(np.fft.fft(data, axis=axis, norm="ortho")) ** 2
        others = tuple(i for i in range(data.ndim) if i != data.ndim + axis)
        found.append(power.mean(axis=others) > EMPTY * white)
    return found[0], found[1]
