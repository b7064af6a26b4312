"""From an object to a raw scan: receivers, sampling, noise scan and calibration lines."""

from dataclasses import dataclass

import numpy as np

from data_pipeline.simulator import coils as receive
from data_pipeline.simulator import object_phase, sampling
from data_pipeline.simulator.encoding import encode, with_noise
from data_pipeline.simulator.fourier import resize
from data_pipeline.simulator.receiver import Receiver, combination_weights, draw_receiver, receiver_filter
from data_pipeline.simulator.subject import Settings
from snraware_jax.errors import InputError
from snraware_jax.formats.scan import RawScan


@dataclass(frozen=True)
class Acquired:
    """What a scanner returns for a known object. Axes in brackets are those of a volume.

    Attributes:
      scan: the raw scan with noise.
      noise_free: `[T, C, (kz,) ky, kx_oversampled]` complex64, `scan.kspace` without its noise.
      truth: `[T, ky, kx]` complex64, of a volume `[kz, ky, kx]`: fully sampled noise-free combination sum_c conj(c_c) a_c / |c|
        with the whitened true coil maps c, that is the object times the root-sum-of-squares of c, in SNR units of an R = 1 scan.
      signal_snr: 99.5th percentile of |truth|.
      receiver: covariance and noise scan, for the next slice of a study.
      scale: of the object's signal, likewise.
    """

    scan: RawScan
    noise_free: np.ndarray
    truth: np.ndarray
    signal_snr: float
    receiver: Receiver
    scale: float


def acquire(
    object_images: np.ndarray,
    coil_maps: np.ndarray,
    settings: Settings,
    rng: np.random.Generator,
    name: str,
    fov_mm: tuple[float, float] | None = None,
    receiver: Receiver | None = None,
    scale: float | None = None,
) -> Acquired:
    """Scan an object: S_c(k) = F[c_c rho] on the lines of `sampling`, plus noise of covariance Psi shaped by the receiver filter.

    The object is transformed on its own (finer) grid and cropped in k-space: truncation and partial volume are real.
    The signal is scaled so that the peak SNR is log-uniform in `settings.signal_snr`.

    Args:
      object_images: `[T, H, W]` complex, the whole field of view, H and W at least the acquired matrix; of a volume `[Z, H, W]`.
      coil_maps: `[C, h, w]` complex on any grid of the same field of view; of a volume `[C, d, h, w]`.
      settings: matrix, acceleration, calibration lines, dwell times and so on.
      rng: source of the receivers, the peak SNR and the noise.
      name: of the scan, for messages.
      fov_mm: field of view if it is not `settings.fov_mm`.
      receiver, scale: those of the first slice, for another one of the same study.

    Raises:
      InputError: if the object's grid is coarser than the matrix, the object is zero everywhere, or it has too few frames for
        interleaved sampling.
    """
    volume = settings.kind == "mprage"
    series = object_images[None] if volume else object_images
    matrix = (*sampling.lines(settings), settings.matrix[1])
    _check(series, matrix, settings, name)
    receiver_rng, signal_rng, noise_rng = rng.spawn(3)
    maps = receive.resample(coil_maps, matrix)
    receiver = receiver or draw_receiver(receiver_rng, maps, lossy(series[:1], matrix), settings)
    acquired = sampling.acquired_lines(settings, len(series))
    weights = combination_weights(maps, receiver.covariance)
    del maps  # of a volume as large as its k-space
    samples = encode(series, coil_maps, weights, acquired, settings)
    if scale is None:
        scale = draw_peak(signal_rng, settings) / float(np.percentile(np.abs(samples.truth), 99.5))
    samples.scale(scale)
    noisy, noise_free, calibration = with_noise(samples, acquired, receiver.covariance, noise_rng, settings)
    block, wide, echo = sampling.calibration_block(settings), noisy.shape[-1], sampling.echo_samples(settings)
    scan = RawScan(
        name=name,
        noise=receiver.noise_scan,
        kspace=noisy,
        acquired=acquired,
        calibration=calibration,
        calibration_start=None if block is None else tuple(part.start for part in block),
        acceleration=settings.acceleration,
        readout=settings.matrix[1],
        dwell_us=settings.dwell_us,
        noise_dwell_us=settings.noise_dwell_us,
        bandwidth=float(np.mean(receiver_filter(wide) ** 2)),
        fov_mm=settings.fov_mm if fov_mm is None else fov_mm,
        echo_samples=echo if echo < wide else None,
    )
    truth = samples.truth[0] if volume else samples.truth
    return Acquired(scan, noise_free, truth, float(np.percentile(np.abs(truth), 99.5)), receiver, scale)


def draw_peak(rng: np.random.Generator, settings: Settings) -> float:
    """Draws the 99.5th percentile of the clean series in SNR units, log-uniform in `settings.signal_snr`."""
    return float(np.exp(rng.uniform(*np.log(settings.signal_snr))))


def _check(series: np.ndarray, matrix: tuple[int, ...], settings: Settings, name: str) -> None:
    if series.ndim != 1 + len(matrix) or any(n < m for n, m in zip(series.shape[1:], matrix, strict=True)):
        raise InputError(
            f"{name}: object of {series.shape[1:]} is coarser than the matrix {matrix} or has other axes: use a finer one"
        )
    if not series[0].any():
        raise InputError(f"{name}: the object is zero everywhere: nothing to scan")
    if settings.sampling == "interleaved" and len(series) < sampling.factors(settings)[-1]:
        least = sampling.factors(settings)[-1]
        raise InputError(
            f"{name}: {len(series)} frames of interleaved lines are no calibration for R = {least}: simulate {least}"
        )


def lossy(series: np.ndarray, matrix: tuple[int, ...]) -> np.ndarray:
    """Weight of the lossy tissue at the pixels of an object `[1, (D,) H, W]`: its brightness, that of fat and blood capped."""
    body = np.abs(resize(series, matrix)[0])
    return np.minimum(body, np.median(body[body > body.mean() / 4]))


def from_magnitude(images: np.ndarray, settings: Settings, rng: np.random.Generator, name: str) -> Acquired:
    """Scan a real magnitude series: smooth object phase, simulated coils and noise, the same acquisition as `acquire`.

    Args:
      images: `[T, H, W]` magnitude, the whole field of view; brought to `settings.matrix` by cropping its k-space.
      settings, rng, name: as in `acquire`; `settings.fov_mm` is taken as the field of view of the images.

    Raises:
      InputError: if the images are not `[T, H, W]`, negative, or coarser than the matrix.
    """
    if settings.kind == "mprage":
        raise InputError(f"{name}: a magnitude series cannot be scanned as a volume: choose another kind than mprage")
    if images.ndim != 3 or np.iscomplexobj(images) or np.min(images) < 0:
        raise InputError(f"{name}: expected non-negative magnitudes [T, H, W], got {images.dtype} of shape {images.shape}")
    phase_rng, coil_rng, scan_rng = rng.spawn(3)
    phase = object_phase.still(phase_rng, images.shape[1:]) + object_phase.moving(phase_rng, len(images), images.shape[1:])
    fov_y, fov_x = settings.fov_mm
    rows, columns = grid_mm((40, 48), settings.fov_mm)
    tilt = coil_rng.normal(0, 0.3, 2)
    points = np.stack([columns, rows, tilt[0] * columns + tilt[1] * rows]).astype(np.float32)
    half = (0.5 * fov_x + 45, 0.5 * fov_y + 45)
    maps = receive.sensitivities(coil_rng, settings.coils, points, half, settings.array, settings.broken_coil)
    # a magnitude image carries its own coils' intensity already: keep the relative weights of the simulated coils only
    maps = maps / np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    return acquire(images.astype(np.float32) * object_phase.turn(phase), maps, settings, scan_rng, name)


def grid_mm(shape: tuple[int, int], fov_mm: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (down, across) in mm of the pixels of a grid whose index N//2 is the centre of the field of view; float32."""
    axes = [((np.arange(n) - n // 2) * (fov / n)).astype(np.float32) for n, fov in zip(shape, fov_mm, strict=True)]
    down, across = np.meshgrid(*axes, indexing="ij")
    return down, across
