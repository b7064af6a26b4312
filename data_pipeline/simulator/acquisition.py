"""From an object to a raw scan: coil weighting, sampling, coloured receiver noise, noise scan and calibration lines."""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from data_pipeline.simulator import coils as receive
from data_pipeline.simulator.subject import Settings
from data_pipeline.simulator.texture import power_law
from snraware_jax.errors import InputError
from snraware_jax.formats.scan import RawScan

EDGE_GAIN = 0.39  # of that filter at the edge of the oversampled field of view, measured on a Skyra
EDGE_POWER = 1.3778  # makes the mean of |H|^2, the relative noise bandwidth, the 0.793 of Siemens receivers


@dataclass(frozen=True)
class Acquired:
    """What a scanner returns for a known object.

    Attributes:
      scan: the raw scan with noise.
      noise_free: `[T, C, ky, kx_oversampled]` complex64, `scan.kspace` without its noise.
      truth: `[T, ky, kx]` complex64, fully sampled noise-free combination sum_c conj(c_c) a_c / |c| with the whitened
        true coil maps c: the object times the root-sum-of-squares of c, in SNR units of an R = 1 scan.
      signal_snr: 99.5th percentile of |truth|.
    """

    scan: RawScan
    noise_free: np.ndarray
    truth: np.ndarray
    signal_snr: float


def acquire(
    object_images: np.ndarray,
    coil_maps: np.ndarray,
    settings: Settings,
    rng: np.random.Generator,
    name: str,
    fov_mm: tuple[float, float] | None = None,
) -> Acquired:
    """Scan an object: S_c(k) = F[c_c rho], undersampled along ky, plus noise of covariance Psi shaped by the receiver filter.

    The object is transformed on its own (finer) grid and cropped in k-space: truncation and partial volume are real.
    The signal is scaled so that the peak SNR is log-uniform in `settings.signal_snr`.

    Args:
      object_images: `[T, H, W]` complex, the whole field of view, H and W at least the acquired matrix.
      coil_maps: `[C, h, w]` complex on any grid of the same field of view.
      settings: matrix, acceleration, calibration lines, dwell times and so on.
      rng: source of the noise, the covariance and the peak SNR.
      name: of the scan, for messages.
      fov_mm: field of view if it is not `settings.fov_mm`.

    Raises:
      InputError: if the object's grid is coarser than the matrix, or the object is zero everywhere.
    """
    if object_images.shape[1] < settings.matrix[0] or object_images.shape[2] < settings.matrix[1]:
        raise InputError(
            f"{name}: object of {object_images.shape[1:]} is coarser than the matrix {settings.matrix}: use a finer one"
        )
    covariance_rng, signal_rng, noise_rng = rng.spawn(3)
    ky, kx = settings.matrix
    wide = settings.oversampling * kx
    maps = receive.resample(coil_maps, settings.matrix)
    body = np.mean(np.abs(resize(object_images[:1], settings.matrix)), axis=0)
    if not body.any():
        raise InputError(f"{name}: the object is zero everywhere: nothing to scan")
    largest = covariance_rng.uniform(*settings.noise_correlation)
    covariance = receive.noise_covariance(
        covariance_rng, maps, np.minimum(body, np.median(body[body > body.mean() / 4])), largest
    )
    covariance = covariance * settings.noise_level**2

    kspace = sample_kspace(object_images, coil_maps, settings)
    truth = np.einsum("cyx,tcyx->tyx", combination_weights(maps, covariance), coil_images(kspace, kx))
    low, high = settings.signal_snr
    signal_snr = float(np.exp(signal_rng.uniform(np.log(low), np.log(high))))
    scale = np.float32(signal_snr / np.percentile(np.abs(truth), 99.5))
    kspace *= scale
    truth *= scale

    receiver = receiver_filter(wide).astype(np.float32)
    factor = np.linalg.cholesky(covariance).astype(np.complex64)
    acquired = np.zeros((len(kspace), ky), bool)
    acquired[:, (ky // 2) % settings.acceleration :: settings.acceleration] = True
    start = ky // 2 - settings.calibration_lines // 2
    calibration = kspace[0, :, start : start + settings.calibration_lines]
    calibration = calibration + coloured_noise(noise_rng, calibration.shape, factor, receiver)
    noise_free = kspace * acquired[:, None, :, None]
    lines = kspace[:, :, acquired[0]]
    noisy = np.zeros_like(noise_free)
    noisy[:, :, acquired[0]] = lines + coloured_noise(noise_rng, lines.shape, factor, receiver)
    noise_scan = coloured_noise(noise_rng, (settings.coils, settings.noise_readouts, wide), factor, receiver)
    noise_scan *= np.float32(np.sqrt(settings.dwell_us / settings.noise_dwell_us))
    scan = RawScan(
        name=name,
        noise=noise_scan.reshape(settings.coils, -1),
        kspace=noisy,
        acquired=acquired,
        calibration=calibration,
        calibration_start=(start,),
        acceleration=settings.acceleration,
        readout=kx,
        dwell_us=settings.dwell_us,
        noise_dwell_us=settings.noise_dwell_us,
        bandwidth=float(np.mean(receiver**2)),
        fov_mm=settings.fov_mm if fov_mm is None else fov_mm,
    )
    return Acquired(scan=scan, noise_free=noise_free, truth=truth, signal_snr=signal_snr)


def from_magnitude(images: np.ndarray, settings: Settings, rng: np.random.Generator, name: str) -> Acquired:
    """Scan a real magnitude series: smooth object phase, simulated coils and noise, the same acquisition as `acquire`.

    Args:
      images: `[T, H, W]` magnitude, the whole field of view; brought to `settings.matrix` by cropping its k-space.
      settings, rng, name: as in `acquire`; `settings.fov_mm` is taken as the field of view of the images.

    Raises:
      InputError: if the images are not `[T, H, W]`, negative, or coarser than the matrix.
    """
    if images.ndim != 3 or np.iscomplexobj(images) or np.min(images) < 0:
        raise InputError(f"{name}: expected non-negative magnitudes [T, H, W], got {images.dtype} of shape {images.shape}")
    phase_rng, coil_rng, scan_rng = rng.spawn(3)
    phase = smooth_phase(phase_rng, images.shape[0], images.shape[1:])
    fov_y, fov_x = settings.fov_mm
    rows, columns = grid_mm((40, 48), settings.fov_mm)
    tilt = coil_rng.normal(0, 0.3, 2)
    points = np.stack([columns, rows, tilt[0] * columns + tilt[1] * rows]).astype(np.float32)
    maps = receive.sensitivities(coil_rng, settings.coils, points, (0.5 * fov_x + 45, 0.5 * fov_y + 45))
    # a magnitude image carries its own coils' intensity already: keep the relative weights of the simulated coils only
    maps = maps / np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    return acquire(images.astype(np.float32) * np.exp(1j * phase).astype(np.complex64), maps, settings, scan_rng, name)


def grid_mm(shape: tuple[int, int], fov_mm: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (down, across) in mm of the pixels of a grid whose index N//2 is the centre of the field of view; float32."""
    axes = [((np.arange(n) - n // 2) * (fov / n)).astype(np.float32) for n, fov in zip(shape, fov_mm, strict=True)]
    down, across = np.meshgrid(*axes, indexing="ij")
    return down, across


def smooth_phase(rng: np.random.Generator, frames: int, shape: tuple[int, int]) -> np.ndarray:
    """Object phase in radians, `[T, H, W]` float32: a cubic polynomial over the image, and a small part that varies in time."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    monomials = np.stack([x**i * y**j for i in range(4) for j in range(4 - i)])
    degree = np.array([i + j for i in range(4) for j in range(4 - i)])
    still = np.tensordot(rng.normal(0, 1, len(degree)) * np.where(degree, 1.2 / np.maximum(degree, 1), np.pi), monomials, 1)
    still = still + 0.25 * power_law(rng, shape, 3.0)
    time = 2 * np.pi * np.arange(frames) / frames
    beat = np.stack([np.cos(time), np.sin(time), np.cos(2 * time), np.sin(2 * time)], axis=1)
    moving = beat @ np.tensordot(rng.normal(0, 0.05, (4, len(degree))), monomials, 1).reshape(4, -1)
    return (still + moving.reshape(frames, *shape)).astype(np.float32)


def sample_kspace(object_images: np.ndarray, coil_maps: np.ndarray, settings: Settings) -> np.ndarray:
    """Fully sampled noise-free k-space `[T, C, ky, oversampling * kx]` complex64 of an object `[T, H, W]` seen by coils.

    The product with the smooth coils is formed on a grid 1.5 times the matrix, where it does not alias into the matrix.
    """
    ky, kx = settings.matrix
    grid = tuple(min(n, (3 * m + 1) // 2) for n, m in zip(object_images.shape[1:], settings.matrix, strict=True))
    weighted = resize(object_images, grid)[:, None] * receive.resample(coil_maps, grid)
    lines = transform(weighted, -1, pad=settings.oversampling * grid[1], keep=settings.oversampling * kx)
    kspace = transform(lines, -2, keep=ky)
    return kspace * np.float32(np.sqrt(ky * kx / (grid[0] * grid[1])))


def combination_weights(coil_maps: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Weights u of the SNR-optimal combination sum_c u_c a_c with unit noise, u = sqrt(2) c^H L^-1 / |c|, c = L^-1 s (Roemer 1990).

    Args:
      coil_maps: `[C, h, w]` true maps s, not whitened.
      covariance: `[C, C]` Psi = L L^H of the imaging samples; unit noise is SD 1 in each of two parts, hence the sqrt(2).

    Returns:
      `[C, h, w]` complex64.
    """
    inverse = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.complex64)
    whitened = np.einsum("cd,dyx->cyx", inverse, coil_maps)
    unit = whitened.conj() / np.sqrt(np.sum(np.abs(whitened) ** 2, axis=0))
    return np.sqrt(np.float32(2)) * np.einsum("cyx,cd->dyx", unit, inverse)


def coil_images(kspace: np.ndarray, readout: int) -> np.ndarray:
    """Coil images `[..., ky, readout]` of k-space `[..., ky, kx_oversampled]`, readout oversampling removed."""
    along_x = transform(kspace, -1, inverse=True, keep=readout)
    return transform(along_x, -2, inverse=True)


def coloured_noise(rng: np.random.Generator, shape: tuple[int, ...], factor: np.ndarray, receiver: np.ndarray) -> np.ndarray:
    """Receiver noise in k-space, L n shaped by the filter H along the oversampled readout.

    Args:
      shape: `[..., C, lines, kx_oversampled]`.
      factor: `[C, C]` L with Psi = L L^H, Psi the covariance where H is 1.
      receiver: `[kx_oversampled]` H over the oversampled field of view.
    """
    white = rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    # white noise is white on both sides of a unitary transform: draw it as readout images, filter, and go to k-space once
    coloured = np.matmul(factor * np.float32(np.sqrt(0.5)), white.reshape(*shape[:-2], -1)).reshape(shape)
    return transform(coloured * receiver, -1)


def receiver_filter(wide: int) -> np.ndarray:
    """Gain of the anti-alias filter over the oversampled field of view: 1 in the central half, falling to 0.39 at the edges."""
    position = np.abs(np.arange(wide) - wide // 2) / (wide / 2)
    return 1 - (1 - EDGE_GAIN) * np.clip(2 * position - 1, 0, 1) ** EDGE_POWER


def resize(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Images `[..., H, W]` on a coarser grid of the same field of view by cropping their k-space; the values stay (complex64)."""
    if images.shape[-2:] == tuple(shape):
        return images.astype(np.complex64)
    rows, columns = shape
    kspace = transform(images.astype(np.complex64), -1, keep=columns)
    lines = transform(transform(kspace, -2, keep=rows), -2, inverse=True)
    scale = np.float32(np.sqrt(rows * columns / (images.shape[-2] * images.shape[-1])))
    return transform(lines, -1, inverse=True) * scale


def transform(x: np.ndarray, axis: int, inverse: bool = False, pad: int | None = None, keep: int | None = None) -> np.ndarray:
    """Centred orthonormal Fourier transform along one axis, in the precision of `x`; DC at N//2, odd and even sizes.

    Args:
      pad: size of the transform, zeros around `x`; its own size if not given.
      keep: central samples of the result to keep; all if not given.
    """
    part = lambda array, start, stop: array[(*[slice(None)] * (axis % array.ndim), slice(start, stop))]
    size = x.shape[axis]
    total, middle = pad or size, size // 2
    blank = np.zeros((*x.shape[: axis % x.ndim], total - size, *x.shape[axis % x.ndim + 1 :]), x.dtype)
    shifted = np.concatenate([part(x, middle, size), blank, part(x, 0, middle)], axis)
    result = (fft.ifft if inverse else fft.fft)(shifted, axis=axis, norm="ortho", overwrite_x=True)
    kept = keep or total
    return np.concatenate([part(result, total - kept // 2, total), part(result, 0, kept - kept // 2)], axis)
