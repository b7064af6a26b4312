"""Is a raw scan in SNR units after reconstruction? Measured in NumPy, beside the device program that reconstructs.

What is taken from the reconstruction is what is to be judged: the whitening W, the unmixing u and the g-map.
"""

from dataclasses import dataclass

import numpy as np

from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import chain, edges
from snraware_jax.recon.chain import Plan
from snraware_jax.recon.checks import noise_beside_object

TOLERANCE = 0.05  # of an SD that should be 1
REPLICAS = 1000
COLUMNS = 5  # readout positions at which replicas are compared with g


@dataclass(frozen=True)
class Check:
    """One measurement in words, and whether it is what SNR units demand."""

    name: str
    found: str
    passed: bool

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'} {self.name}: {self.found}"


def check_scan(scan: RawScan, seed: int = 0) -> list[Check]:
    """All checks of one scan; the accelerated image is reconstructed on the way.

    Raises:
      InputError: if the scan cannot be reconstructed.
    """
    plan = chain.calibrate(scan, (scan.acceleration,))
    image = np.asarray(chain.apply(plan, scan.kspace, scan.acquired))
    return [
        _condition(scan, plan),
        _other_half(scan),
        *_beside_field_of_view(scan, plan),
        *_beside_object(image[0] if image.ndim == 4 else image, plan),
        _replicas(scan, plan, image[0], seed),
    ]


def _condition(scan: RawScan, plan: Plan) -> Check:
    coils, samples = scan.noise.shape
    connected = plan.whitening.shape[0]
    left_out = f", {coils - connected} of them disconnected" if connected < coils else ""
    found = f"{samples} samples of {coils} coils{left_out}, condition number {plan.condition:.3g}"
    return Check("noise covariance", found, plan.condition < 1e6)


def _other_half(scan: RawScan) -> Check:
    """Noise of one half of the noise scan whitened by the other half: SD against the expected excess of a sample covariance.

    E[W Psi W^H] = M/(M - C) for M samples that W did not see (complex Wishart).
    """
    noise = scan.noise[np.any(scan.noise, axis=1)].astype(np.complex128)
    coils, half = len(noise), noise.shape[1] // 2
    first, second = noise[:, :half], noise[:, half : 2 * half]
    covariance = first @ first.conj().T / half
    # a channel that is stored twice must not stop the check: far below any noise, far above rounding
    lower = np.linalg.cholesky(covariance + 1e-12 * np.trace(covariance).real / coils * np.eye(coils))
    power = np.mean(np.abs(np.linalg.solve(lower, second)) ** 2)
    expected = half / (half - coils)
    found = f"one half whitened by the other has SD {np.sqrt(power):.3f}, {np.sqrt(expected):.3f} expected of {half} samples"
    return Check("noise scan", found, abs(np.sqrt(power / expected) - 1) < TOLERANCE + 4 / np.sqrt(2 * half))


def _beside_field_of_view(scan: RawScan, plan: Plan) -> list[Check]:
    """SD of whitened samples, transformed along the readout alone, just outside the field of view: nothing is there but noise."""
    columns = edges.columns_beside(scan)
    if columns is None:
        return []
    lines = np.moveaxis(scan.kspace, 1, -2)[scan.acquired]  # [lines of all frames, C, kx]
    whitened = _whiten(plan, lines)
    values = edges.beside(whitened, columns, plan.echo_share)
    real, imaginary = float(np.std(np.real(values))), float(np.std(np.imag(values)))
    where = f"{values.size} whitened samples, {columns[0]} to {columns[1]} columns from the centre"
    found = f"SD {real:.3f} real, {imaginary:.3f} imaginary of {where}"
    return [Check("beside the field of view", found, max(abs(real - 1), abs(imaginary - 1)) < 2 * TOLERANCE + _excess(scan))]


def _beside_object(image: np.ndarray, plan: Plan) -> list[Check]:
    if plan.echo_share < 1:  # noise of neighbouring pixels along the readout is not independent then
        return []
    noise = noise_beside_object(image)
    if not noise.count:
        return [Check("beside the object", "no background to measure noise in", True)]
    found = f"SD {noise.real:.3f} real, {noise.imaginary:.3f} imaginary in SNR units ({noise.count} pixels)"
    # few pixels estimate an SD badly: a small background must not fail a good scan
    tolerance = 2 * TOLERANCE + 2 / np.sqrt(noise.count)
    return [Check("beside the object", found, max(abs(noise.real - 1), abs(noise.imaginary - 1)) < tolerance)]


def _replicas(scan: RawScan, plan: Plan, image: np.ndarray, seed: int) -> Check:
    """SD of noise alone, sent through the frozen chain `REPLICAS` times, over g; at the readout positions with most signal.

    The readout transform is unitary: at one readout position the noise of a coil is white along the lines, and is drawn there.
    """
    rng = np.random.default_rng(seed)
    acquired, lines = scan.acquired[0], plan.g_map.shape[:-1]
    magnitude = np.abs(image)
    energy = magnitude.reshape(-1, magnitude.shape[-1]).sum(axis=0)
    columns = _spread(np.flatnonzero(energy > energy.max() / 4))
    unmixing, g_map = np.asarray(plan.unmixing)[..., columns], np.asarray(plan.g_map)[..., columns]
    power = np.zeros(g_map.shape)
    replicas = REPLICAS if len(lines) == 1 else REPLICAS // 8  # a volume has pixels enough
    for _ in range(replicas):
        noise = _raw_noise(rng, scan, (*acquired.shape, len(columns)))
        white = np.where(acquired[..., None], np.einsum("dc,c...->d...", plan.whitening, noise), 0)
        boosted = np.sqrt(acquired.size / acquired.sum()) * white
        for axis in range(1, 1 + len(lines)):
            boosted = _centred_ifft(boosted, axis)
        power += np.abs(np.sum(unmixing * boosted, axis=0)) ** 2
    ratio = np.sqrt(power / (2 * replicas)) / np.maximum(g_map, chain.G_FLOOR)
    inside = magnitude[..., columns] > 0.1 * np.percentile(magnitude, 99)
    error = 1 / np.sqrt(4 * replicas)
    mean, spread = ratio[inside].mean(), np.percentile(np.abs(ratio[inside] - 1), 95)
    found = (
        f"SD over g = {mean:.3f} on average, within {spread:.1%} at 95 % of {inside.sum()} object pixels "
        f"(columns {', '.join(map(str, columns))}; {replicas} replicas, standard error {error:.1%} a pixel)"
    )
    return Check("replicas", found, bool(abs(mean - 1) < 0.02 and spread < max(TOLERANCE, 3 * error)))


def _spread(places: np.ndarray) -> np.ndarray:
    """`COLUMNS` positions from the first to the last of those given."""
    return np.linspace(places[0], places[-1], COLUMNS).astype(int)


def _raw_noise(rng: np.random.Generator, scan: RawScan, shape: tuple[int, ...]) -> np.ndarray:
    """Noise as the receiver would give it on imaging samples: the covariance of the noise scan times t_n/(t_d b), `[C, ...]`."""
    covariance = scan.noise.astype(np.complex128) @ scan.noise.conj().T / (scan.noise.shape[1] - 1)
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(values, 0) * scan.noise_dwell_us / (2 * scan.dwell_us * scan.bandwidth))
    white = rng.standard_normal((len(factor), *shape, 2)).view(np.complex128)[..., 0]
    return np.einsum("dc,c...->d...", factor, white)


def _excess(scan: RawScan) -> float:
    """Expected excess of the SD of samples whitened by a covariance of M samples: sqrt((M - 1)/(M - C)) - 1."""
    coils, samples = scan.noise.shape
    return float(np.sqrt((samples - 1) / (samples - coils)) - 1)


def _whiten(plan: Plan, lines: np.ndarray) -> np.ndarray:
    return np.einsum("dc,lcx->ldx", np.asarray(plan.whitening), lines)


def _centred_ifft(x: np.ndarray, axis: int) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(x, axis), axis=axis, norm="ortho"), axis)
