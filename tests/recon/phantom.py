"""A small raw scan with known truth: smooth random coils, ellipse phantom, coloured receiver noise."""

import dataclasses

import numpy as np

from snraware_jax.formats.scan import RawScan


def complex_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Unit noise: SD 1 in the real and 1 in the imaginary part."""
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def to_kspace(image: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(image, axes), axes=axes, norm="ortho"), axes)


def to_image(kspace: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes), axes=axes, norm="ortho"), axes)


def aliased(kspace: np.ndarray, acquired: np.ndarray) -> np.ndarray:
    """Coil images of zero-filled k-space `[..., C, (kz,) ky, kx]`, scaled to unit noise; `acquired` is `[(kz,) ky]` bool."""
    axes = tuple(range(-acquired.ndim - 1, 0))
    return np.sqrt(acquired.size / acquired.sum()) * to_image(np.where(acquired[..., None], kspace, 0), axes)


def replica_sd(unmixing: np.ndarray, acquired: np.ndarray, replicas: int, seed: int = 4) -> np.ndarray:
    """Noise SD `[(kz,) ky, kx]` of unmixed replicas of unit noise on the acquired lines; its relative error is 1/sqrt(4 replicas)."""
    rng, batch, power = np.random.default_rng(seed), 20, 0.0
    assert replicas % batch == 0
    for _ in range(replicas // batch):
        images = np.sum(aliased(complex_normal(rng, batch, *unmixing.shape), acquired) * unmixing, axis=1)
        power = power + np.sum(np.abs(images) ** 2, axis=0, dtype=float)
    return np.sqrt(power / (2 * replicas))


def object_and_coils(coils: int = 8, lines: int = 48, readout: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Image `[ky, kx]` with smooth phase, its coil sensitivities `[C, ky, kx]` of unit norm."""
    y, x = np.meshgrid(np.linspace(-1, 1, lines, False), np.linspace(-1, 1, readout, False), indexing="ij")
    radius = np.sqrt((y / 0.75) ** 2 + (x / 0.6) ** 2)
    image = (1 / (1 + np.exp(25 * (radius - 1)))) * (1 + 0.3 * np.cos(4 * x + 2 * y)) * np.exp(1j * (0.8 * x - 0.5 * y))
    angle = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    distance = (y - 1.3 * np.sin(angle)) ** 2 + (x - 1.3 * np.cos(angle)) ** 2
    maps = np.exp(-0.7 * distance + 1j * (angle + x * np.cos(2 * angle) - y * np.sin(angle)))
    return image, maps / np.linalg.norm(maps, axis=0)


def volume_and_coils(
    coils: int = 8, grid: tuple[int, int, int] = (16, 18, 20), widths: tuple[int, int, int] = (3, 3, 3)
) -> tuple[np.ndarray, np.ndarray]:
    """Coil images of a volume and coil maps of unit norm, both `[C, kz, ky, kx]`: a case that GRAPPA solves exactly.

    The object has white k-space, and the sensitivities are periodic, a few samples of k-space wide: a missing sample is a linear
    combination of its neighbours, at the edges of k-space too, if the sources see no more samples of the object than they are.

    Args:
      coils: C.
      grid: `(kz, ky, kx)`.
      widths: samples of k-space of the sensitivities along each axis, odd.
    """
    rng = np.random.default_rng(0)
    sensitivities = np.zeros((coils, *grid), complex)
    centre = tuple(slice(size // 2 - width // 2, size // 2 + width // 2 + 1) for size, width in zip(grid, widths, strict=True))
    sensitivities[:, *centre] = complex_normal(rng, coils, *widths)
    sensitivities = np.sqrt(np.prod(grid)) * to_image(sensitivities, (-3, -2, -1))
    return 10 * complex_normal(rng, *grid) * sensitivities, sensitivities / np.linalg.norm(sensitivities, axis=0)


def make_scan(
    seed: int = 0, acceleration: int = 2, snr: float = 60.0, frames: int = 2, calibration_lines: int = 26, shift: int = 0
) -> RawScan:
    """A scan of readout oversampling 2; frame t samples the lines of phase (shift + t) mod R, as TPAT does."""
    rng = np.random.default_rng(seed)
    image, maps = object_and_coils()
    coils, lines, readout = maps.shape
    padded = np.pad(snr * image * maps, ((0, 0), (0, 0), (readout // 2, readout // 2)))
    mixing = np.eye(coils) + 0.2 * complex_normal(rng, coils, coils)
    dwell_us, noise_dwell_us, bandwidth = 2.5, 5.0, 0.8
    colour = lambda white: np.einsum("dc,c...->d...", mixing, white)
    clean = colour(to_kspace(padded))
    noisy = lambda: (clean + colour(complex_normal(rng, *clean.shape))).astype(np.complex64)
    # Var(imaging sample) = Var(noise sample) t_n/(t_d b)
    noise = colour(complex_normal(rng, coils, 4096)) * np.sqrt(dwell_us * bandwidth / noise_dwell_us)
    acquired = (np.arange(lines) - shift - np.arange(frames)[:, None]) % acceleration == 0
    kspace = np.stack([np.where(lines_of[:, None], noisy(), 0) for lines_of in acquired])
    start = lines // 2 - calibration_lines // 2
    return RawScan(
        name="phantom",
        noise=noise.astype(np.complex64),
        kspace=kspace.astype(np.complex64),
        acquired=acquired,
        calibration=noisy()[:, start : start + calibration_lines],
        calibration_start=(start,),
        acceleration=acceleration,
        readout=readout,
        dwell_us=dwell_us,
        noise_dwell_us=noise_dwell_us,
        bandwidth=bandwidth,
        fov_mm=(240.0, 200.0),
    )


def noise_only(scan: RawScan, seed: int, frames: int) -> np.ndarray:
    """K-space of `frames` replicas that hold the scan's noise and nothing else: `[frames, C, ky, kx_oversampled]`."""
    rng = np.random.default_rng(seed)
    covariance = scan.noise @ scan.noise.conj().T / scan.noise.shape[1]
    factor = np.linalg.cholesky(covariance) * np.sqrt(scan.noise_dwell_us / (2 * scan.dwell_us * scan.bandwidth))
    noise = np.einsum("dc,tcyx->tdyx", factor, complex_normal(rng, frames, *scan.kspace.shape[1:]))
    return np.where(scan.acquired[0][:, None], noise, 0).astype(np.complex64)


def replace(scan: RawScan, **changes: object) -> RawScan:
    return dataclasses.replace(scan, **changes)
