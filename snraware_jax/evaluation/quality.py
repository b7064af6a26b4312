"""The figures of the paper's Table 2 for one denoised series: PSNR in two conventions, gain, SSIM, L1."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.evaluation.in_distribution import Case
from snraware_jax.metrics import gain_db, psnr, ssim


class Quality(NamedTuple):
    """Figures of one series.

    Attributes:
      psnr: in dB, MAX = 2048, of images in which the noise has SD 1.
      psnr_times_sigma: the same of images in the units of the record, those times sigma: by its figures the paper's convention.
      gain_db: over the noisy input, of complex squared errors; without a scale.
      ssim: of magnitudes, of which the range is the largest of the truth.
      l1: mean absolute error per real component, in units of the noise.
    """

    psnr: float
    psnr_times_sigma: float
    gain_db: float
    ssim: float
    l1: float


def quality(output: np.ndarray, case: Case, magnitude: bool = False) -> Quality:
    """Figures of what a denoiser made of a case: `[T, H, W]` complex, in the case's units.

    Args:
      output: of the denoiser.
      case: the truth, and what the denoiser was given.
      magnitude: of their magnitudes alone, which every network has, those without phase too.
    """
    images = (output, case.noisy, case.clean)
    images = tuple(np.abs(image) for image in images) if magnitude else images
    return Quality(*(float(figure) for figure in _figures(*images, case.sigma)))


@jax.jit
def _figures(output: Array, noisy: Array, clean: Array, sigma: Array) -> tuple[Array, ...]:
    difference = output - clean
    components = (difference.real, difference.imag) if jnp.iscomplexobj(difference) else (difference,)
    l1 = jnp.mean(jnp.abs(jnp.stack(components)))
    similarity = ssim(output, clean, jnp.max(jnp.abs(clean)))
    return psnr(output, clean), psnr(sigma * output, sigma * clean), gain_db(noisy, output, clean), similarity, l1
