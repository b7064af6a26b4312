"""A small evaluation of which all is known: a beating disc, noise under a g-map, and an output with a quarter of the noise."""

import numpy as np

from snraware_jax.evaluation.results import About, Entry, Table

ABOUT = About(
    title="Disc",
    command="python launch/evaluate.py --workdir=runs/disc",
    configuration="3f9c2a",
    versions={"jax": "0.10.2", "numpy": "2.4.0"},
    seed=0,
    device="cpu",
    seconds=12.5,
    warnings=["One series only."],
    tables=[Table("Gain in dB", ["method", "gain", "n"], [["network", 12.25, 1], ["Gaussian", None, 1]])],
)


def entry(name: str = "disc", frames: int = 4, height: int = 24, width: int = 20, seed: int = 0) -> Entry:
    t, y, x = np.ogrid[:frames, :height, :width]
    disc = np.hypot(y - height / 2, x - width / 2) < 4 + 2 * np.sin(2 * np.pi * t / max(frames, 2))
    clean = (3 + 20 * disc) * np.exp(1j * x / 20)
    g_map = (1 + np.hypot(y, x)[0] / 40).astype(np.float32)
    rng = np.random.default_rng(seed)
    noise = g_map * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
    noisy, denoised, reference = ((clean + share * noise).astype(np.complex64) for share in (1, 0.25, 0))
    return Entry(name, noisy, denoised, g_map, reference, np.broadcast_to(0.25 * g_map, clean.shape).astype(np.float32))
