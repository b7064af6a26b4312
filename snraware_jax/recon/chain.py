"""From a raw scan to images in SNR units, the scan's own g-map, and the g-maps of other accelerations.

`calibrate` learns everything from the noise scan and the calibration lines; `apply` is linear in the k-space and can be used
again, on other k-space of the same scan: noise-free (a simulator's truth) or noise alone (pseudo-replicas).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.formats.scan import RawScan
from snraware_jax.formats.series import Series
from snraware_jax.recon import grappa
from snraware_jax.recon.coils import inati, low_resolution_images
from snraware_jax.recon.fourier import fft2c, ifft2c, remove_oversampling
from snraware_jax.recon.grappa import ACCELERATIONS
from snraware_jax.recon.prewhiten import noise_covariance, whitening_matrix

G_FLOOR = 1e-3
NOISE_SAMPLES_PER_COIL = 10


@dataclass(frozen=True)
class Plan:
    """The frozen chain of one scan.

    Attributes:
      whitening: `[C, C]`, sqrt(2 t_d/t_n b) included.
      coil_maps: `[C, ky, kx]`, unit norm.
      unmixing: `[C, ky, kx]` of the scan's own acceleration.
      g_map: `[ky, kx]` float32, the same acceleration.
      g_maps: `[R, ky, kx]` float32 for `accelerations`.
      accelerations: of `g_maps`.
      acceleration: R of the scan.
      condition: condition number of the noise covariance.
      noise_samples: samples of the noise scan behind it.
    """

    whitening: Array
    coil_maps: Array
    unmixing: Array
    g_map: Array
    g_maps: Array
    accelerations: tuple[int, ...]
    acceleration: int
    condition: float
    noise_samples: int


def reconstruct(scan: RawScan, accelerations: Sequence[int] = ACCELERATIONS) -> Series:
    """Reconstruct a raw scan in SNR units: S(r) = I(r)/g(r), noise SD 1 in the real and in the imaginary part.

    Whitening, readout oversampling removal, coil maps and GRAPPA calibration from the calibration lines, unmixing of the
    zero-filled coil images, division by g (not below `G_FLOOR`).

    Raises:
      InputError: if the noise scan or the calibration lines do not suffice; the message says for which R they do.

    Source: paper, Methods; Kellman & McVeigh, MRM 2005; docs/physics.md.
    """
    plan = calibrate(scan, accelerations)
    image = apply(plan, scan.kspace, scan.acquired)
    if not np.isfinite(image).all() or not np.isfinite(plan.g_map).all():
        raise InputError(
            f"{scan.name}: its samples, dwell times or bandwidth give no finite image: convert the measurement again."
        )
    metadata = {
        "name": scan.name,
        "coils": int(scan.noise.shape[0]),
        "noise_samples": plan.noise_samples,
        "noise_condition": plan.condition,
        "dwell_ratio": scan.dwell_us / scan.noise_dwell_us,
        "bandwidth": scan.bandwidth,
        "calibration_lines": int(scan.calibration.shape[1]),
        "fov_mm": [float(extent) for extent in scan.fov_mm],
        "units": "SNR (noise SD 1 in the real and in the imaginary part)",
    }
    return Series(
        image=np.asarray(image),
        g_map=np.asarray(plan.g_map),
        g_maps=np.asarray(plan.g_maps),
        accelerations=plan.accelerations,
        acceleration=plan.acceleration,
        metadata=metadata,
    )


def calibrate(scan: RawScan, accelerations: Sequence[int] = ACCELERATIONS) -> Plan:
    """Whitening, coil maps, unmixing and g-maps of a scan, from its noise scan and calibration lines alone.

    Raises:
      InputError: fewer noise samples than 10 a coil, or fewer calibration lines than 3R + 1.
    """
    accelerations = tuple(int(r) for r in accelerations)
    _check(scan, accelerations)
    covariance, condition = _covariance(scan)
    dwell_ratio = scan.dwell_us / scan.noise_dwell_us
    whitening, coil_maps, unmixing, g_map, g_maps = _calibrate(
        covariance,
        dwell_ratio,
        scan.bandwidth,
        scan.calibration,
        start=scan.calibration_start,
        lines=scan.kspace.shape[2],
        readout=scan.readout,
        acceleration=scan.acceleration,
        accelerations=accelerations,
    )
    samples = int(scan.noise.shape[1])
    return Plan(whitening, coil_maps, unmixing, g_map, g_maps, accelerations, scan.acceleration, condition, samples)


def apply(plan: Plan, kspace: np.ndarray | Array, acquired: np.ndarray | Array) -> Array:
    """Image in SNR units of raw k-space under a frozen chain; linear in `kspace`.

    I = sum_c u_c sqrt(f_y) IFFT2(W s), f_y = ky/(number of acquired lines) of each frame, S = I/max(g, `G_FLOOR`).

    Args:
      plan: what `calibrate` made.
      kspace: `[T, C, ky, kx_oversampled]`, not whitened, missing lines 0.
      acquired: `[T, ky]` bool, the lines that were acquired.

    Returns:
      `[T, ky, kx]` complex64.
    """
    # frame by frame: one compilation whatever T is, and the coil images of one frame in memory
    frames = [_frame(plan.whitening, plan.unmixing, plan.g_map, *frame) for frame in zip(kspace, acquired, strict=True)]
    return jnp.stack(frames)


@jax.jit
def _frame(whitening: Array, unmixing: Array, g_map: Array, kspace: Array, acquired: Array) -> Array:
    lines, readout = unmixing.shape[-2:]
    hybrid = jnp.where(acquired[:, None], remove_oversampling(kspace, readout), 0)
    hybrid = jnp.einsum("dc,cyx->dyx", whitening, hybrid, precision="highest")
    boost = jnp.sqrt(lines / jnp.sum(acquired))
    image = grappa.unmix(boost * ifft2c(hybrid, axes=(-2,)), unmixing)
    return image / jnp.maximum(g_map, G_FLOOR)


@partial(jax.jit, static_argnames=("start", "lines", "readout", "acceleration", "accelerations"))
def _calibrate(
    covariance: Array,
    dwell_ratio: float,
    bandwidth: float,
    calibration: Array,
    *,
    start: int,
    lines: int,
    readout: int,
    acceleration: int,
    accelerations: tuple[int, ...],
) -> tuple[Array, Array, Array, Array, Array]:
    whitening = whitening_matrix(covariance, dwell_ratio, bandwidth)
    whitened = jnp.einsum("dc,cyx->dyx", whitening, remove_oversampling(calibration, readout), precision="highest")
    whitened = fft2c(whitened, axes=(-1,))
    coil_maps = inati(low_resolution_images(whitened, start, lines))
    unmixing = grappa.unmixing(whitened, coil_maps, acceleration)
    g_map = jnp.ones((lines, readout), jnp.float32) if acceleration == 1 else grappa.g_factor(unmixing)
    return whitening, coil_maps, unmixing, g_map, grappa.g_maps(whitened, coil_maps, accelerations)


def _covariance(scan: RawScan) -> tuple[np.ndarray, float]:
    """Covariance of the noise scan and its condition number; a coil that hears nothing is given a little noise, and said."""
    covariance = np.asarray(noise_covariance(scan.noise))
    eigenvalues = np.linalg.eigvalsh(covariance)
    condition = float(eigenvalues[-1] / max(eigenvalues[0], np.finfo(np.float32).tiny))
    if not eigenvalues[-1] > 0:
        raise InputError(
            f"{scan.name}: its noise scan holds no noise ({scan.noise.shape[1]} samples, all 0): repeat the noise scan."
        )
    if eigenvalues[0] > 1e-6 * eigenvalues[-1]:
        return covariance, condition
    coils = len(covariance)
    warnings.warn(
        f"{scan.name}: the noise covariance of its {coils} coils is singular (condition number {condition:.1e}); "
        "added 1e-6 of its mean to the diagonal. A disconnected coil is the usual cause.",
        stacklevel=3,
    )
    return covariance + np.eye(coils, dtype=covariance.dtype) * (1e-6 * np.trace(covariance).real / coils), condition


def _check(scan: RawScan, accelerations: tuple[int, ...]) -> None:
    coils, samples = scan.noise.shape
    if samples < NOISE_SAMPLES_PER_COIL * coils:
        needed = NOISE_SAMPLES_PER_COIL * coils
        raise InputError(
            f"{scan.name}: {samples} noise samples for {coils} coils; a covariance needs {needed}: repeat the noise scan."
        )
    if not accelerations or min(accelerations) < 1:
        raise InputError(f"{scan.name}: accelerations {accelerations} must be numbers from 1 up, for example 2-8.")
    lines = scan.calibration.shape[1]
    largest = (lines - 1) // 3
    if scan.acceleration > largest:
        needed = grappa.lines_needed(scan.acceleration)
        raise InputError(
            f"{scan.name}: {lines} calibration lines; R = {scan.acceleration} of the scan needs {needed} (3R + 1): "
            "repeat the scan with more calibration lines."
        )
    if max(accelerations) > largest:
        possible = f"{min(accelerations)}-{largest}" if largest > min(accelerations) else f"{largest}"
        raise InputError(
            f"{scan.name}: {lines} calibration lines; R = {max(accelerations)} needs {grappa.lines_needed(max(accelerations))} "
            f"(3R + 1). g-maps are possible up to R = {largest} only: pass --accelerations {possible}."
        )
