"""Retrospective gating: a series of frames to evenly spaced phases of the cardiac cycle, a linear map of known noise.

Every phase is a weighted sum of frames, y_p = sum_j a_pj x_j. Frames of unit noise, independent of each other, give it a noise SD
of sqrt(sum_j a_pj^2): below 1 where several heart beats are averaged, above 1 where frames are sparse.
"""

import warnings

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy.interpolate import CubicSpline

from snraware_jax.errors import InputError

NOISE_LIMIT = 2.0  # times the noise that evenly spread frames would give


def phase_weights(cycle: ArrayLike, phases: int, name: str = "the series") -> np.ndarray:
    """Weights of the least-squares fit of a periodic cubic spline to the frames, read at the phases p/P: A = B(p/P) B(u)^+.

    The spline has min(T, phases) knots with equally many frames between any two: evenly sampled cycles have uniform knots that
    lie on frames. Where every frame is a knot this is interpolation; where there are more frames than phases, heart beats are
    averaged. Knots that ignore the frames do not serve: with 30 uniform knots, one frame missing out of 31 raises the noise
    of its neighbourhood 10,000 times, and frames halfway between the knots leave the fit singular.

    Args:
      cycle: `[T]` places u of the frames in the cycle, 0 to 1, in any order and of any number of heart beats.
      phases: P, the number of phases.
      name: of the scan, for messages.

    Returns:
      `[phases, T]` float64, the weights of a phase sum to 1.

    Raises:
      InputError: if a place lies outside 0..1, or if a phase would carry more than `NOISE_LIMIT` times the noise that as many
        frames would give it if they were spread evenly, as it does in a gap; the message says how many phases are possible.
    """
    cycle = np.asarray(cycle, np.float64)
    if not cycle.size or not np.all((cycle >= 0) & (cycle <= 1)):
        raise InputError(f"{name}: the places of its frames in the cardiac cycle must lie in 0..1: check its trigger times.")
    if phases < 1:
        raise InputError(f"{name}: {phases} phases of the cardiac cycle: ask for 1 or more.")
    different = len(_places(cycle)) - 1
    if phases > different:
        text = (
            f"{name}: {different} different frames give {phases} phases by interpolation, with no more detail than they have."
        )
        warnings.warn(text, stacklevel=2)
    weights = _spline_weights(cycle, phases)
    excess = _excess_noise(weights)
    if not excess <= NOISE_LIMIT:
        possible = next(p for p in range(phases - 1, 0, -1) if _excess_noise(_spline_weights(cycle, p)) <= NOISE_LIMIT)
        width, start = _widest_gap(cycle)
        raise InputError(
            f"{name}: {len(cycle)} frames, with a gap of {width:.0%} of the cardiac cycle from {start:.2f} on, for {phases} phases: "
            f"one of them would carry {excess:.1f} times the noise that evenly spread frames give. Ask for {possible} phases, "
            "or acquire the whole cycle."
        )
    return weights


def retro_gate(frames: ArrayLike, weights: ArrayLike, common_scale: bool = False) -> Array:
    """Phases in SNR units, S_p = sum_j a_pj x_j / sqrt(sum_j a_pj^2): unit noise in, unit noise in every phase.

    Unit noise in every frame is what SNR units promise and what a denoiser expects, so it is the default. It has a price: the
    signal level of a phase is multiplied by 1/sqrt(sum_j a_pj^2), and differs between phases to which the frames
    contribute unequally. For what compares phases (a signal-time curve, a threshold), either multiply by `noise_scaling`, which
    gives back the level of the frames, or take the common scale, sqrt(mean_p sum_j a_pj^2): one factor for the series, a noise
    variance that is 1 on the average over the phases, and a noise SD in phase p of noise_scaling_p over that factor.

    Args:
      frames: `[T, ...]` of unit noise, independent of each other.
      weights: `[phases, T]`.
      common_scale: one factor for all phases.

    Returns:
      `[phases, ...]`; the noise of the phases is correlated, see `frame_correlation`.

    Source: docs/physics.md.
    """
    scale = noise_scaling(weights)[:, None]
    if common_scale:
        scale = jnp.sqrt(jnp.mean(scale**2, keepdims=True))
    return jnp.einsum("pt,t...->p...", jnp.asarray(weights) / scale, jnp.asarray(frames), precision="highest")


def noise_scaling(weights: ArrayLike) -> Array:
    """Noise SD of the phases before they are scaled, for frames of unit noise, sqrt(sum_j a_pj^2); `[phases, T]` -> `[phases]`."""
    return jnp.linalg.norm(jnp.asarray(weights), axis=-1)


def frame_correlation(weights: ArrayLike) -> Array:
    """Correlation of the noise of the phases, sum_j a_pj a_qj / (|a_p| |a_q|); `[phases, T]` -> `[phases, phases]`."""
    unit = jnp.asarray(weights) / noise_scaling(weights)[:, None]
    return jnp.einsum("pt,qt->pq", unit, unit, precision="highest")


def _spline_weights(cycle: np.ndarray, phases: int) -> np.ndarray:
    places = _places(cycle)
    knots = min(len(places) - 1, phases)
    knot_places = np.interp(np.linspace(0, len(places) - 1, knots + 1), np.arange(len(places)), places)
    # cardinal splines, 1 at their own knot and 0 at the others: where every frame is a knot, the matrix to invert is the identity
    cardinal = CubicSpline(knot_places, np.eye(knots)[np.arange(knots + 1) % knots], bc_type="periodic")
    # no singular value is cut off: what the frames do not determine must show as noise
    return cardinal(np.arange(phases) / phases) @ np.linalg.pinv(cardinal(cycle), rcond=0)


def _excess_noise(weights: np.ndarray) -> float:
    """Noise SD of the noisiest phase over sqrt(P/T), or 1 where there are fewer frames than phases: that of evenly spread frames."""
    phases, frames = weights.shape
    return float(np.max(np.linalg.norm(weights, axis=1)) / np.sqrt(min(phases, frames) / frames))


def _widest_gap(cycle: np.ndarray) -> tuple[float, float]:
    """Width of the longest part of the cycle without frames, and where it begins."""
    places = _places(cycle)
    gaps = np.diff(places)
    return float(np.max(gaps)), float(places[np.argmax(gaps)])


def _places(cycle: np.ndarray) -> np.ndarray:
    """The different places of frames in ascending order, and the first of them again one cycle later."""
    places = np.unique(np.round(cycle, 9) % 1)
    return np.append(places, places[0] + 1)
