"""What a denoiser does to one scan with known noise, beyond its error: SURE, residual, small structures, symmetries, its g-map."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from snraware_jax.evaluation.detail import (
    blob,
    contrast_recovery,
    g_map_sensitivity,
    impulse_response,
    phase_error,
    width_at_half_maximum,
)
from snraware_jax.evaluation.generalisation import REGIONS, Denoise
from snraware_jax.evaluation.noise_maps import from_derivative
from snraware_jax.evaluation.residuals import compared, residuals
from snraware_jax.evaluation.scans import Scan, ScanCase, noise_of
from snraware_jax.evaluation.sure import power, sure

CONTRASTS = (2.0, 4.0, 8.0)  # of the lesion, times the noise SD where it lies
RADIUS = 2.0  # of the lesion, pixels


class Checks(NamedTuple):
    """Figures of one scan and one denoiser.

    Attributes:
      mse: of the output, per real component; unit noise has 1.
      sure, sure_error: the estimate of it that does not know the truth, and its standard error.
      residual: p-values of the residual's SD and of its correlations along T, H, W against copies of known noise.
      recovery: the share of a lesion's contrast that is left, for each of `CONTRASTS`.
      width: of the impulse response at half of its maximum along T, H, W, samples; None where it does not fall to a half.
      phase_error: of a turned input, over what is removed; 0 is right.
      g_map_loss: dB lost by a g-map 10 % too small, and too large.
      noise_left: mean noise SD of the output over that of the input, from derivatives.
    """

    mse: float
    sure: float
    sure_error: float
    residual: list[float]
    recovery: list[float]
    width: list[float | None]
    phase_error: float
    g_map_loss: list[float]
    noise_left: float


def place(case: ScanCase) -> tuple[int, int, int]:
    """A point in the middle frame within the last region of its kind (the myocardium of hearts), as far inside as there is one."""
    from scipy import ndimage

    label = list(REGIONS[case.card["settings"]["kind"]].values())[-1]
    depth = np.stack([np.asarray(ndimage.distance_transform_edt(frame == label)) for frame in case.labels])
    frames = np.abs(np.arange(len(depth)) - len(depth) // 2)
    frame = min(np.flatnonzero(depth.any(axis=(1, 2))), key=lambda t: frames[t])
    y, x = np.unravel_index(int(depth[frame].argmax()), depth[frame].shape)
    return int(frame), int(y), int(x)


def checker(denoise: Denoise, *, probes: int = 8, copies: int = 39) -> Callable[[ScanCase, Array], Checks]:
    """A function of (case, key) that measures `Checks`; cases of one size share its compilation.

    Args:
      denoise: of complex images; a function of JAX, or a `Partial` of one whose parameters shall be arguments of the program.
      probes: of SURE and of the noise map.
      copies: of the residual; its least p-value is 1 / (copies + 1).
    """
    statistics = jax.jit(_with_noise, static_argnames=("probes",))
    small = jax.jit(_of_structures)
    bootstrap = jax.jit(_of_residual, static_argnames=("copies",))
    partial = denoise if isinstance(denoise, Partial) else Partial(denoise)

    def check(case: ScanCase, key: Array) -> Checks:
        scan = case.scan
        noisy, clean, g_map = (jnp.asarray(array) for array in (case.noisy, case.truth, case.g_map))
        of_risk, of_copies = jax.random.split(key)
        t, y, x = place(case)
        noise_there = np.broadcast_to(case.g_map, case.noisy.shape)[t, y, x]
        frames, height, width = case.noisy.shape
        lesion = blob((frames, height, width), (y, x), RADIUS) * noise_there * np.exp(1j * np.angle(case.truth[t, y, x]))
        mse, risk, left = statistics(partial, noisy, clean, g_map, scan, of_risk, probes=probes)
        recovery, response, turned, loss = small(partial, noisy, clean, g_map, jnp.asarray(lesion, jnp.complex64), (t, y, x))
        test = compared(*bootstrap(partial, noisy, g_map, scan, of_copies, copies=copies))
        return Checks(
            mse=float(mse),
            sure=float(risk.mse),
            sure_error=float(risk.standard_error),
            residual=[float(p) for p in test.p_values],
            recovery=[float(share) for share in recovery],
            width=[_width(response, axis) for axis in range(3)],
            phase_error=float(turned),
            g_map_loss=[float(one) for one in loss],
            noise_left=float(left),
        )

    return check


def _with_noise(denoise, noisy: Array, clean: Array, g_map: Array, scan: Scan, key: Array, probes: int):
    """Mean squared error, SURE, and the share of noise that is left."""
    bound = lambda image: denoise(image, g_map)
    noise = lambda one: noise_of(one, scan, noisy.shape)
    of_sure, of_map = jax.random.split(key)
    error = bound(noisy) - clean
    left = from_derivative(bound, noisy, noise, of_map, probes)
    return power(error, error), sure(bound, noisy, noise, of_sure, probes), jnp.mean(left / g_map)


def _of_residual(denoise, noisy: Array, g_map: Array, scan: Scan, key: Array, copies: int):
    """Figures of the residual and of its copies."""
    noise = lambda one: noise_of(one, scan, noisy.shape)
    return residuals(lambda image: denoise(image, g_map), noisy, g_map, noise, key, copies)


def _of_structures(denoise, noisy: Array, clean: Array, g_map: Array, lesion: Array, point: tuple[int, int, int]):
    """Recovery of a lesion, impulse response, error of phase, sensitivity to the g-map."""
    bound = lambda image: denoise(image, g_map)
    return (
        contrast_recovery(bound, noisy, lesion, CONTRASTS),
        impulse_response(bound, noisy, point),
        phase_error(bound, noisy),
        g_map_sensitivity(denoise, noisy, g_map, clean),
    )


def _width(response: Array, axis: int) -> float | None:
    try:
        return width_at_half_maximum(response, axis)
    except ValueError:  # a single frame, or a point near the border
        return None
