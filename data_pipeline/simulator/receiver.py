"""The receivers: covariance of their noise, the filter that shapes it, the noise scan, and the combination that is best for it."""

from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.fourier import transform
from data_pipeline.simulator.subject import Settings

EDGE_GAIN = 0.39  # of the anti-alias filter at the edge of the oversampled field of view, measured on a Skyra
EDGE_POWER = 1.3778  # makes the mean of |H|^2, the relative noise bandwidth, the 0.793 of Siemens receivers


class Receiver(NamedTuple):
    """The receivers of one subject, the same for all slices of a study.

    Attributes:
      covariance: `[C, C]` complex128 Psi of the imaging samples, where the filter is 1.
      noise_scan: `[C, M]` complex64.
    """

    covariance: np.ndarray
    noise_scan: np.ndarray


def draw_receiver(rng: np.random.Generator, coil_maps: np.ndarray, body: np.ndarray, settings: Settings) -> Receiver:
    """Draws covariance and noise scan of receivers `settings.noise_level` loud.

    Args:
      coil_maps: `[C, ...]` sensitivities.
      body: `[...]` weight of the lossy tissue.
    """
    covariance = draw_covariance(rng, coil_maps, body, settings)
    wide = settings.oversampling * settings.matrix[1]
    scan = coloured_noise(rng, (settings.coils, settings.noise_readouts, wide), covariance)
    scan *= np.float32(np.sqrt(settings.dwell_us / settings.noise_dwell_us))
    return Receiver(covariance, scan.reshape(settings.coils, -1))


def draw_covariance(rng: np.random.Generator, coil_maps: np.ndarray, body: np.ndarray, settings: Settings) -> np.ndarray:
    """Draws the `[C, C]` covariance of the imaging samples; arguments as for `draw_receiver`."""
    largest = rng.uniform(*settings.noise_correlation)
    return noise_covariance(rng, coil_maps, body, largest) * settings.noise_level**2


def noise_covariance(rng: np.random.Generator, coil_maps: np.ndarray, body: np.ndarray, largest: float) -> np.ndarray:
    """Covariance of the receivers: body loss shared by overlapping coils, a random Hermitian part, a spread of gains.

        Psi = D [(1 - a) I + a K] D,   K_ij ~ sum_body s_i s_j* + Wishart,   a such that max |rho_ij| = largest, D = 0.6 to 2

    Args:
      coil_maps: `[C, ...]` sensitivities.
      body: `[...]` weight of the lossy tissue.
      largest: correlation coefficient of the most correlated pair.

    Returns:
      `[C, C]` complex128 Hermitian positive definite, diagonal about 1.
    """
    coils = coil_maps.shape[0]
    weighted = coil_maps.reshape(coils, -1) * np.sqrt(body.reshape(-1))
    shared = _correlation(weighted @ weighted.conj().T)
    factor = rng.normal(size=(coils, 3 * coils)) + 1j * rng.normal(size=(coils, 3 * coils))
    kernel = _correlation(shared + 0.5 * _correlation(factor @ factor.conj().T))
    highest = np.max(np.abs(kernel - np.diag(np.diag(kernel))))
    amount = min(largest / highest, 0.95)
    spread = np.clip(np.exp(rng.normal(0, 0.25, coils)), 0.6, 2)
    return ((1 - amount) * np.eye(coils) + amount * kernel) * np.outer(spread, spread)


def coloured_noise(rng: np.random.Generator, shape: tuple[int, ...], covariance: np.ndarray) -> np.ndarray:
    """Receiver noise in k-space, L n shaped by the filter H along the oversampled readout, Psi = L L^H where H is 1.

    Args:
      shape: `(C, ..., kx_oversampled)`.
      covariance: `[C, C]` Psi.
    """
    white = rng.standard_normal((*shape[:-1], 2 * shape[-1]), dtype=np.float32).view(np.complex64)
    # white noise is white on both sides of a unitary transform: draw it as readout images, filter, and go to k-space once
    factor = (np.linalg.cholesky(covariance) * np.sqrt(0.5)).astype(np.complex64)
    coloured = np.matmul(factor, white.reshape(shape[0], -1)).reshape(shape)
    coloured *= receiver_filter(shape[-1])
    return transform(coloured, -1)


def receiver_filter(wide: int) -> np.ndarray:
    """Gain of the anti-alias filter over the oversampled field of view: 1 in the central half, falling to 0.39 at the edges."""
    position = np.abs(np.arange(wide) - wide // 2) / (wide / 2)
    return (1 - (1 - EDGE_GAIN) * np.clip(2 * position - 1, 0, 1) ** EDGE_POWER).astype(np.float32)


def whitened(coil_maps: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Sensitivities in units of the noise, c = sqrt(2) L^-1 s with Psi = L L^H: unit noise is SD 1 in each of two parts.

    Args:
      coil_maps: `[C, ...]` s.
      covariance: `[C, C]` Psi of the imaging samples.

    Returns:
      `[C, ...]` complex64.
    """
    return np.tensordot(_whitening(covariance), coil_maps.astype(np.complex64), 1)


def combination_weights(coil_maps: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Weights u of the SNR-optimal combination sum_d u_d a_d with unit noise, u = c^H sqrt(2) L^-1 / |c| (Roemer 1990).

    Args:
      coil_maps: `[C, ...]` true maps s, not whitened; c = `whitened`.
      covariance: `[C, C]` Psi = L L^H.

    Returns:
      `[C, ...]` complex64.
    """
    unit = whitened(coil_maps, covariance)
    unit /= root_sum_of_squares(unit)
    return np.tensordot(_whitening(covariance).T, unit.conj(), 1)


def root_sum_of_squares(maps: np.ndarray) -> np.ndarray:
    """|c| of maps `[C, ...]`, `[...]` float32."""
    return np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))


def _whitening(covariance: np.ndarray) -> np.ndarray:
    """`[C, C]` sqrt(2) L^-1, complex64."""
    return (np.sqrt(2) * np.linalg.inv(np.linalg.cholesky(covariance))).astype(np.complex64)


def _correlation(covariance: np.ndarray) -> np.ndarray:
    scale = 1 / np.sqrt(np.real(np.diag(covariance)))
    return np.asarray(covariance, np.complex128) * np.outer(scale, scale)
