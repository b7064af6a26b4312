"""Receive coils: circular loops on an elliptical cylinder around the torso, and the noise that they share."""

import numpy as np
from scipy import ndimage


def loop_centres(rng: np.random.Generator, coils: int, half_axes_mm: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Places loops in rows on an elliptical cylinder along z.

    Args:
      half_axes_mm: of the ellipse that carries the loops (x left-right, y anterior-posterior).

    Returns:
      centres `[C, 3]` in mm and inward unit normals `[C, 3]`.
    """
    rows = 1 if coils < 6 else 2 if coils < 20 else 3
    row = np.arange(coils) % rows
    around = 2 * np.pi * (np.arange(coils) // rows + 0.5 * (row % 2)) / np.ceil(coils / rows)
    around = around + rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.08, coils)
    z = (row - (rows - 1) / 2) * rng.uniform(75, 110) + rng.normal(0, 8, coils)
    a, b = half_axes_mm
    centres = np.stack([a * np.cos(around), b * np.sin(around), z], axis=1)
    normals = -np.stack([np.cos(around) / a, np.sin(around) / b, np.zeros(coils)], axis=1)
    normals = normals + rng.normal(0, 0.08, (coils, 3)) * np.linalg.norm(normals, axis=1, keepdims=True)
    return centres, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def biot_savart(points: np.ndarray, centre: np.ndarray, normal: np.ndarray, radius: float, segments: int = 20) -> np.ndarray:
    """Receive sensitivity Bx - i By of a circular loop, B(r) = sum_s dl_s x (r - r_s) / |r - r_s|^3.

    Args:
      points: `[3, ...]` positions, mm.
      centre, normal: of the loop, `[3]`.
      radius: of the loop, mm.

    Returns:
      complex64 sensitivity of the points' shape, arbitrary unit. A wire of 8 mm keeps it finite on the conductor.
    """
    seed = np.eye(3)[np.argmin(np.abs(normal))]
    u = np.cross(normal, seed)
    u = u / np.linalg.norm(u)
    v = np.cross(normal, u)
    angle = 2 * np.pi * np.arange(segments) / segments
    wire = centre + radius * (np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v)
    element = (-np.sin(angle)[:, None] * u + np.cos(angle)[:, None] * v) * (2 * np.pi * radius / segments)
    bx = np.zeros(points.shape[1:], np.float32)
    by = np.zeros(points.shape[1:], np.float32)
    for (wx, wy, wz), (lx, ly, lz) in zip(wire.astype(np.float32), element.astype(np.float32), strict=True):
        x, y, z = points[0] - wx, points[1] - wy, points[2] - wz
        inverse_cube = (x * x + y * y + z * z + 64) ** np.float32(-1.5)
        bx += (ly * z - lz * y) * inverse_cube
        by += (lz * x - lx * z) * inverse_cube
    return (bx - 1j * by).astype(np.complex64)


def sensitivities(
    rng: np.random.Generator, coils: int, points: np.ndarray, half_axes_mm: tuple[float, float], coupling: float = 0.08
) -> np.ndarray:
    """Complex maps of an array of loops with inductive coupling between neighbours.

    Args:
      points: `[3, h, w]` positions of the image plane in the torso's frame, mm; a coarse grid is enough.
      half_axes_mm: of the cylinder that carries the loops.
      coupling: size of the random Hermitian mixing between the channels.

    Returns:
      `[C, h, w]` complex64, mean square 1 over coils and points.
    """
    centres, normals = loop_centres(rng, coils, half_axes_mm)
    radii = rng.uniform(45, 70, coils) * np.clip(np.sqrt(12 / coils), 0.65, 1.2)
    maps = np.stack([biot_savart(points, c, n, r) for c, n, r in zip(centres, normals, radii, strict=True)])
    gain = np.exp(rng.normal(0, 0.2, coils)) * np.exp(2j * np.pi * rng.uniform(size=coils)) / radii
    mixing = coupling * (rng.normal(size=(coils, coils)) + 1j * rng.normal(size=(coils, coils)))
    mixing = np.eye(coils) + (mixing + mixing.conj().T) / 2 / np.sqrt(coils / 8)
    maps = np.einsum("cd,dyx->cyx", (mixing * gain).astype(np.complex64), maps)
    return maps / np.sqrt(np.mean(np.abs(maps) ** 2))


def noise_covariance(rng: np.random.Generator, coil_maps: np.ndarray, body: np.ndarray, largest: float) -> np.ndarray:
    """Covariance of the receivers: body loss shared by overlapping coils, a random Hermitian part, a spread of gains.

        Psi = D^(1/2) [(1 - a) I + a K] D^(1/2),   K_ij ~ sum_body s_i s_j* + Wishart,   a such that max |rho_ij| = largest

    Args:
      coil_maps: `[C, h, w]` sensitivities.
      body: `[h, w]` weight of the lossy tissue.
      largest: correlation coefficient of the most correlated pair.

    Returns:
      `[C, C]` complex128 Hermitian positive definite, mean diagonal near 1.
    """
    coils = coil_maps.shape[0]
    weighted = coil_maps.reshape(coils, -1) * np.sqrt(body.reshape(-1))
    shared = _correlation(weighted @ weighted.conj().T)
    factor = rng.normal(size=(coils, 3 * coils)) + 1j * rng.normal(size=(coils, 3 * coils))
    kernel = _correlation(shared + 0.5 * _correlation(factor @ factor.conj().T))
    highest = np.max(np.abs(kernel - np.diag(np.diag(kernel))), initial=1e-12)
    amount = min(largest / highest, 0.95)
    spread = np.exp(rng.normal(0, 0.25, coils))
    return ((1 - amount) * np.eye(coils) + amount * kernel) * np.sqrt(np.outer(spread, spread))


def resample(coil_maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Smooth maps `[C, h, w]` on another grid of the same field of view, both with their centre at N//2; cubic splines."""
    if coil_maps.shape[1:] == shape:
        return coil_maps
    axes = [
        np.clip((np.arange(new) - new // 2) * (old / new) + old // 2, 0, old - 1)
        for new, old in zip(shape, coil_maps.shape[1:], strict=True)
    ]
    grid = np.meshgrid(*axes, indexing="ij")
    return np.stack([ndimage.map_coordinates(one, grid, order=3, mode="nearest") for one in coil_maps]).astype(np.complex64)


def _correlation(covariance: np.ndarray) -> np.ndarray:
    scale = 1 / np.sqrt(np.real(np.diag(covariance)))
    return np.asarray(covariance, np.complex128) * np.outer(scale, scale)
