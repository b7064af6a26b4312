"""Phase of the object: smooth over the field of view, a small part of it changing over the frames."""

import numpy as np

from data_pipeline.simulator.texture import power_law

DEGREE = 3


def still(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """The part that stays, radians, `[H, W]` float32: a cubic polynomial and a smooth random field."""
    monomials, degree = _monomials(shape)
    sizes = rng.normal(0, 1, len(degree)) * np.where(degree, 1.2 / np.maximum(degree, 1), np.pi)
    return np.tensordot(sizes.astype(np.float32), monomials, 1) + np.float32(0.25) * power_law(rng, shape, 3.0)


def moving(rng: np.random.Generator, frames: int, shape: tuple[int, int]) -> np.ndarray:
    """The part that changes over a beat, radians, `[T, H, W]` float32: a cubic polynomial whose sizes go around twice at most."""
    monomials, degree = _monomials(shape)
    time = 2 * np.pi * np.arange(frames) / frames
    beat = np.stack([np.cos(time), np.sin(time), np.cos(2 * time), np.sin(2 * time)], axis=1)
    sizes = beat @ rng.normal(0, 0.05, (4, len(degree)))
    return np.tensordot(sizes.astype(np.float32), monomials, 1)


def turn(phase: np.ndarray) -> np.ndarray:
    """exp(i phase), complex64; the exponential of complex numbers takes ten times as long."""
    turned = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=turned.real)
    np.sin(phase, out=turned.imag)
    return turned


def _monomials(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """x^i y^j with i + j up to DEGREE over the field of view, -1 to 1 along each axis `[N, H, W]` float32, and i + j `[N]`."""
    y, x = ((2 * (np.arange(n) - n // 2) / n).astype(np.float32) for n in shape)
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    return np.stack([np.outer(y**j, x**i) for i, j in powers]), np.array([i + j for i, j in powers])
