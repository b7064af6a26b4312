"""Reconstructed scans with known truth, labels and noise: the cases of the generalisation tests, a file each."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing
from snraware_jax.recon import replicas

ARRAYS = ("noisy", "truth", "g_map", "labels", "unmixing", "acquired")


@dataclass(frozen=True)
class ScanCase:
    """One reconstructed slice or volume.

    Attributes:
      name: of suite and subject.
      noisy: `[T, H, W]` complex64, noise SD `g_map` in real and imaginary part (a reconstruction in SNR units times g).
      truth: `[T, H, W]` complex64, the reconstruction of the same k-space without noise, in the units of `noisy`.
      g_map: `[H, W]` float32, of a volume `[T, H, W]`.
      labels: `[T, H, W]` uint8; of a heart 1 blood, 2 myocardium.
      unmixing: `[C, (T,) H, W]` complex64, with which the noise can be drawn anew.
      acquired: `[T, H]` bool, of a volume `[1, T, H]`.
      card: what was simulated, JSON values.
    """

    name: str
    noisy: np.ndarray
    truth: np.ndarray
    g_map: np.ndarray
    labels: np.ndarray
    unmixing: np.ndarray
    acquired: np.ndarray
    card: Mapping[str, Any]

    @property
    def noise(self) -> Callable[[Array], Array]:
        """Realisations of the noise in `noisy`: key -> `[T, H, W]` complex64."""
        unmixing, acquired = jnp.asarray(self.unmixing), jnp.asarray(self.acquired)
        return lambda key: replicas.noise(key, unmixing, acquired).reshape(self.noisy.shape)

    def region(self, label: int, margin: int = 1) -> np.ndarray:
        """`[T, H, W]` bool: the points of a label farther than `margin` from every other and from the border of their frame."""
        from scipy import ndimage

        inside = self.labels == label
        cross = ndimage.generate_binary_structure(2, 1)[None]
        return ndimage.binary_erosion(inside, cross, iterations=margin) if margin else inside


def write(path: Path, case: ScanCase) -> None:
    """Writes a case as an uncompressed .npz of its arrays and `card` (JSON)."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, card=json.dumps(dict(case.card)), **{name: getattr(case, name) for name in ARRAYS})


def read(path: Path) -> ScanCase:
    """Reads what `write` has written.

    Raises:
      InputError: if it is something else, or its arrays do not fit together.
    """
    try:
        with path.open("rb") as file, np.load(file) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
            card = json.loads(str(stored["card"]))
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a case of data_pipeline.suites ({error}); make the suite again") from error
    case = ScanCase(path.stem, **arrays, card=card)
    shape = case.noisy.shape
    of_maps = case.unmixing.shape[1:] == case.g_map.shape and case.acquired.shape[1:] == case.g_map.shape[:-1]
    if not (case.truth.shape == case.labels.shape == shape and case.g_map.shape in (shape, shape[1:]) and of_maps):
        raise InputError(f"{path}: its arrays do not fit together; make the suite again")
    return case


def noise_scale(case: ScanCase) -> float:
    """Measured noise SD of the realisations over g, 1 if the case is sound: the mean of 8 realisations over all points."""
    drawn = jax.lax.map(case.noise, jax.random.split(jax.random.key(0), 8))
    return float(jnp.sqrt(jnp.mean(jnp.abs(drawn / case.g_map) ** 2) / 2))
