"""Figures of merit of a denoised series against its clean truth, on the device.

Conventions, stated beside every number that comes from here:

- Series are `[..., T, H, W]`, complex (or real, for magnitude), in SNR units; one figure per leading batch index.
- The mean squared error of complex series is per real component, half the mean of |difference|^2: unit noise has MSE 1.
- PSNR uses a fixed MAX of 2048 (the paper's choice), so it depends on the scale. "Unit noise" PSNR takes the series as they
  are; "times sigma" PSNR multiplies output and target by the series' noise level first and is 20 log10(sigma) dB lower. Name
  the one that is meant.
- Gain in dB over the noisy input has no scale and no MAX: the number to compare models by.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

_SERIES = (-3, -2, -1)  # T, H, W


def _power(x: ArrayLike) -> Array:
    """Squared magnitude summed over T, H, W, without the square root of `abs`."""
    x = jnp.asarray(x)
    return jnp.sum(jnp.real(x) ** 2 + jnp.imag(x) ** 2, axis=_SERIES)


def mse(output: ArrayLike, target: ArrayLike) -> Array:
    """Mean squared error per real component: mean |output - target|^2 / 2 for complex series, without the 1/2 for real ones.

    `[..., T, H, W]` x 2 -> `[...]`, SNR units squared. Unit noise (SD 1 in real and imaginary part) has MSE 1.
    """
    difference = jnp.asarray(output) - jnp.asarray(target)
    components = 2 if jnp.iscomplexobj(difference) else 1
    samples = difference.shape[-3] * difference.shape[-2] * difference.shape[-1]
    return _power(difference) / (components * samples)


def psnr(output: ArrayLike, target: ArrayLike, maximum: float = 2048.0) -> Array:
    """Peak signal-to-noise ratio, 10 log10(maximum^2 / mse), in dB: `[..., T, H, W]` x 2 -> `[...]`.

    With the paper's MAX of 2048, unit noise alone gives 66.2 dB. For the "times sigma" convention pass `sigma * output` and
    `sigma * target`. Equal series give infinity. Source: paper, In-distribution tests.
    """
    return 10 * jnp.log10(maximum**2 / mse(output, target))


def gain_db(noisy: ArrayLike, denoised: ArrayLike, clean: ArrayLike) -> Array:
    """Gain over the noisy input, 10 log10(sum |noisy - clean|^2 / sum |denoised - clean|^2), in dB.

    `[..., T, H, W]` x 3 -> `[...]`; complex error, sums over T, H, W. 0 for an untouched input, infinity for a perfect output;
    no scale.
    """
    noisy, denoised, clean = jnp.asarray(noisy), jnp.asarray(denoised), jnp.asarray(clean)
    return 10 * jnp.log10(_power(noisy - clean) / _power(denoised - clean))


def ssim(output: ArrayLike, target: ArrayLike, data_range: ArrayLike) -> Array:
    """Structural similarity of magnitude frames, mean over frames and windows: `[..., T, H, W]` x 2 -> `[...]`.

    Windows of 7 x 7 inside the frame, K = 0.01 and 0.03, sample covariances, as scikit-image's default.

    Args:
      output, target: complex or real; H and W of 7 or more.
      data_range: the target's maximum, say; of the same units, to be stated beside the number.

    Source: Wang et al., IEEE Trans. Image Process. 2004.
    """
    x, y = jnp.abs(jnp.asarray(output)), jnp.abs(jnp.asarray(target))
    mean_x, mean_y = _mean_7x7(x), _mean_7x7(y)
    # about the mean of the frame, so that float32 keeps the variances of a bright image
    x, y = (image - jnp.mean(image, axis=(-2, -1), keepdims=True) for image in (x, y))
    about_x, about_y = _mean_7x7(x), _mean_7x7(y)
    to_sample = 49 / 48
    variances = to_sample * (_mean_7x7(x**2) - about_x**2 + _mean_7x7(y**2) - about_y**2)
    covariance = to_sample * (_mean_7x7(x * y) - about_x * about_y)
    c1, c2 = (0.01 * jnp.asarray(data_range)) ** 2, (0.03 * jnp.asarray(data_range)) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    return jnp.mean(similarity, axis=_SERIES)


def _mean_7x7(image: Array) -> Array:
    leading = (1,) * (image.ndim - 2)
    for window in ((7, 1), (1, 7)):  # 14 additions a point instead of 49
        image = jax.lax.reduce_window(image, 0.0, jax.lax.add, (*leading, *window), (1,) * image.ndim, "VALID")
    return image / 49
