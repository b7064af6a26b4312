"""Objects, coils and noise of the figures, and what is measured of noise."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import numpy as np

from data_pipeline.simulator import Settings
from data_pipeline.simulator import coils as receive
from data_pipeline.simulator.acquisition import acquire, grid_mm
from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import grappa
from snraware_jax.recon.fourier import fft2c, ifft2c

ALL = (2, 3, 4, 5, 6, 7, 8)


class Scene(NamedTuple):
    """`image` `[ky, kx]` with smooth phase, `maps` `[C, ky, kx]` of unit norm, `kspace` of peak SNR near 60, `inside` the object."""

    image: np.ndarray
    maps: np.ndarray
    kspace: np.ndarray
    inside: np.ndarray


@cache
def scene(channels: int = 8, lines: int = 96, readout: int = 80, seed: int = 3) -> Scene:
    """An ellipse with an insert, seen by loops of the simulator (Biot-Savart) around it; complex128, without noise."""
    fov_mm = (300.0, 250.0)
    down, across = grid_mm((lines, readout), fov_mm)
    points, half_axes = np.stack([across, down, 0 * down]), (0.5 * fov_mm[1] + 45, 0.5 * fov_mm[0] + 45)
    maps = receive.sensitivities(np.random.default_rng(seed), channels, points, half_axes).astype(complex)
    maps /= np.linalg.norm(maps, axis=0)
    soft = lambda radius, edge: 1 / (1 + np.exp(edge * (radius - 1)))
    body, insert = soft(np.hypot(across / 95, down / 115), 25), soft(np.hypot((across - 25) / 30, (down + 20) / 38), 15)
    image = (
        60 * body * (1 - 0.5 * insert) * (1 + 0.3 * np.cos(across / 30 + down / 60)) * np.exp(1j * (across / 120 - down / 200))
    )
    return Scene(image, maps, np.asarray(centred(image * maps, inverse=False)), body > 0.5)


def volume() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An ellipsoid `[kz, ky, kx]`, 12 coils in rows around it, their k-space, and the inside."""
    shape, fov_mm = (24, 32, 28), (220.0, 300.0, 250.0)
    z, y, x = np.meshgrid(*((np.arange(n) - n // 2) * f / n for n, f in zip(shape, fov_mm, strict=True)), indexing="ij")
    points = np.stack([x, y, z]).astype(np.float32)
    maps = receive.sensitivities(np.random.default_rng(5), 12, points.reshape(3, -1, 1), (170.0, 195.0)).reshape(12, *shape)
    maps /= np.linalg.norm(maps, axis=0)
    body = 1 / (1 + np.exp(18 * (np.sqrt((x / 95) ** 2 + (y / 115) ** 2 + (z / 80) ** 2) - 1)))
    image = 60 * body * (1 + 0.3 * np.cos(x / 30 + y / 60 - z / 40)) * np.exp(1j * (x / 120 - y / 200 + z / 150))
    return image, maps, np.asarray(fft2c(image * maps, (-3, -2, -1))), body > 0.5


def simulated(lines: int, readout: int, frames: int = 1, **settings: object) -> tuple[RawScan, np.ndarray, np.ndarray]:
    """A raw scan of `scene` by the simulator (coloured noise, oversampling 2), its noise-free k-space, and the truth at R = 1."""
    fine = scene(lines=2 * lines, readout=2 * readout)
    chosen = Settings(matrix=(lines, readout), frames=frames, coils=8, signal_snr=(80.0, 80.0), noise_readouts=256, **settings)
    made = acquire(np.stack([fine.image] * frames), fine.maps, chosen, np.random.default_rng(9), "simulated")
    return made.scan, made.noise_free, made.truth[0]


def centred(x: np.ndarray, inverse: bool = True) -> np.ndarray:
    """The transforms of `recon.fourier` in the precision of `x`."""
    with jax.enable_x64(x.dtype == complex):
        return np.asarray((ifft2c if inverse else fft2c)(x))


def unit(rng: np.random.Generator, *shape: int, dtype: type = np.complex64) -> np.ndarray:
    """Unit noise: SD 1 in the real and 1 in the imaginary part."""
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def calibration(one: Scene, lines: int = 48, noise: float = 1.0, dtype: type = complex) -> np.ndarray:
    """Calibration lines about DC with unit noise."""
    kspace = one.kspace + noise * unit(np.random.default_rng(11), *one.kspace.shape, dtype=complex)
    start = kspace.shape[1] // 2 - lines // 2
    return kspace[:, start : start + lines].astype(dtype)


def aliased(kspace: np.ndarray, acquired: np.ndarray) -> np.ndarray:
    """Coil images of the acquired lines, sqrt(f_y) included."""
    return np.sqrt(acquired.size / acquired.sum()) * centred(np.where(acquired[:, None], kspace, 0))


def every(acceleration: int, lines: int = 96, phase: int = 0) -> np.ndarray:
    """`[ky]` bool: the lines phase, phase + R, ..."""
    return (np.arange(lines) - phase) % acceleration == 0


def nrmse(found: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    return float(np.linalg.norm((found - truth)[mask]) / np.linalg.norm(truth[mask]))


def sd(noise: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """SD of zero-mean complex noise, of each of its two parts."""
    return np.sqrt(np.mean(np.abs(noise) ** 2, axis=axis, dtype=np.float64) / 2)


def replica_sd(images: Callable[[], np.ndarray], count: int, at_once: int = 50) -> np.ndarray:
    """SD of `count` noise replicas, of which a call of `images` makes `at_once`."""
    power = sum(np.sum(np.abs(np.asarray(images())) ** 2, axis=0) for _ in range(count // at_once))
    return np.sqrt(power / (2 * count))


def standard_error(count: int) -> float:
    """Of the SD of `count` replicas of complex noise."""
    return 1 / np.sqrt(4 * count)


def replicas_over_g(unmixing: np.ndarray, acquired: np.ndarray, count: int, seed: int) -> np.ndarray:
    """SD of `count` noise replicas through a frozen unmixing, over g: `[ky, kx]`."""
    rng = np.random.default_rng(seed)
    images = lambda: grappa.unmix(aliased(unit(rng, 50, *unmixing.shape), acquired), unmixing)
    return replica_sd(images, count) / np.asarray(grappa.g_factor(unmixing))
