"""GRAPPA as ismrmrd-python-tools computes it, for parity with its results; NumPy in double precision, not product code.

What differs from this project: every line is synthesised, the acquired ones too, each phase by a fit of its own; the last line and
the last column of the calibration data are not used; the Tikhonov weight is 1e-6 of the largest eigenvalue.
"""

import numpy as np

KERNEL = (4, 5)
REGULARIZATION = 1e-3  # of the largest singular value


def unmixing(calibration: np.ndarray, coil_maps: np.ndarray, acceleration: int) -> np.ndarray:
    """u_src(r) = 1/R sum_dst conj(map_dst(r)) k_(dst,src)(r) without the peer's spurious phase: `[C, ky, kx]`.

    Args:
      calibration: `[C, A, kx]` whitened k-space.
      coil_maps: `[C, ky, kx]`, as they are stored.
      acceleration: R, also 1.
    """
    calibration = calibration[:, :-1, :-1].astype(complex)
    kernels, offsets = zip(*(fit_phase(calibration, acceleration, phase) for phase in range(acceleration)), strict=True)
    weights = np.concatenate(kernels, axis=2)  # [C_dst, C_src, taps, k_x]
    coils, lines, readout = coil_maps.shape
    along_y = _dft(lines, -np.concatenate(offsets))  # the tap of a source at offset o is at d = -o
    along_x = _dft(readout, KERNEL[1] // 2 - np.arange(KERNEL[1]))
    kernel_of_line = np.einsum("yt,dstk->ydsk", along_y, weights, optimize=True).reshape(lines, coils, -1)
    combined = coil_maps.conj().transpose(1, 2, 0) @ kernel_of_line  # [ky, kx, C_src * k_x]
    return np.einsum("yxsk,xk->syx", combined.reshape(lines, readout, coils, -1), along_x) / acceleration


def g_factor(unmixing: np.ndarray, coil_maps: np.ndarray) -> np.ndarray:
    """sqrt(sum |u|^2) sqrt(sum |map|^2), for coil maps of any norm: `[ky, kx]`."""
    return np.linalg.norm(unmixing, axis=0) * np.linalg.norm(coil_maps, axis=0)


def spurious_phase(lines: int) -> np.ndarray:
    """exp(-2 pi i (y - N//2)/N), which the peer's unmixing carries: its even kernel is padded one line off centre. `[ky, 1]`."""
    return np.exp(-2j * np.pi * (np.arange(lines) - lines // 2) / lines)[:, None]


def fit_phase(calibration: np.ndarray, acceleration: int, phase: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights `[C_dst, C_src, k_y, k_x]` of one phase s and the offsets s-2R, s-R, s, s+R of its sources from the target."""
    coils, lines, readout = calibration.shape
    offsets = phase + acceleration * (np.arange(KERNEL[0]) - KERNEL[0] // 2)
    targets = np.arange(max(0, -offsets.min()), lines - max(0, offsets.max()))  # all complete windows of this phase
    windows = np.lib.stride_tricks.sliding_window_view(calibration, KERNEL[1], axis=-1)  # [C, A, x, k_x]
    sources = np.einsum("cnoxk->nxcok", windows[:, targets[:, None] + offsets]).reshape(-1, coils * KERNEL[0] * KERNEL[1])
    half = KERNEL[1] // 2
    right = np.einsum("cnx->nxc", calibration[:, targets, half : readout - half]).reshape(-1, coils)
    gram = sources.conj().T @ sources
    ridge = REGULARIZATION**2 * np.linalg.eigvalsh(gram)[-1]
    weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), sources.conj().T @ right)
    return np.moveaxis(weights.reshape(coils, *KERNEL, coils), -1, 0), offsets


def _dft(size: int, taps: np.ndarray) -> np.ndarray:
    return np.exp(2j * np.pi * np.outer(np.arange(size) - size // 2, taps) / size)
