"""Reconstructed scans with known truth, labels and noise: the cases of the generalisation tests, a file each."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing
from snraware_jax.recon import replicas

ARRAYS = ("noisy", "truth", "g_map", "labels", "unmixing", "acquired")


class Scan(NamedTuple):
    """What the noise of a case depends on: `unmixing`, `acquired` and `corner` of a `ScanCase`, arrays for a compiled program."""

    unmixing: Array
    acquired: Array
    corner: Array


def noise_of(key: Array, scan: Scan, shape: tuple[int, ...]) -> Array:
    """A realisation of a scan's noise, or of a part of it: `[T, H, W]` complex64."""
    whole = replicas.noise(key, scan.unmixing, scan.acquired)
    whole = whole.reshape(-1, *whole.shape[-2:])
    return jax.lax.dynamic_slice(whole, (0, scan.corner[0], scan.corner[1]), shape)


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
      corner: y and x of the first point in the field of view that `unmixing` covers, of a part of a slice.
    """

    name: str
    noisy: np.ndarray
    truth: np.ndarray
    g_map: np.ndarray
    labels: np.ndarray
    unmixing: np.ndarray
    acquired: np.ndarray
    card: Mapping[str, Any]
    corner: tuple[int, int] = (0, 0)

    @property
    def scan(self) -> Scan:
        """What `noise_of` needs to draw the noise in `noisy` anew."""
        return Scan(jnp.asarray(self.unmixing), jnp.asarray(self.acquired), jnp.asarray(self.corner))

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


def around(case: ScanCase, labels: Sequence[int], size: tuple[int, int, int]) -> ScanCase:
    """A part of a series of slices around some labels: T frames about the one in which they are brightest, H x W about their middle.

    Args:
      case: not of a volume, whose lines of k-space have the T axis too.
      labels: those of interest.
      size: T, H, W of the part, where the case is larger.

    Raises:
      InputError: for a volume, or if it has none of the labels.
    """
    if case.g_map.ndim == 3:
        raise InputError(f"{case.name}: a volume is taken as a whole; leave out the size")
    inside = np.isin(case.labels, labels)
    if not inside.any():
        raise InputError(f"{case.name}: no points of labels {', '.join(map(str, labels))} in it")
    brightness = np.sum(np.abs(case.truth) * inside, axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    _, rows, columns = np.nonzero(inside)
    middle = (int(brightness.argmax()), (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2)
    axes = zip(middle, size, case.noisy.shape, strict=True)
    first = [int(np.clip(centre - wanted // 2, 0, max(0, whole - wanted))) for centre, wanted, whole in axes]
    t, y, x = (slice(start, start + wanted) for start, wanted in zip(first, size, strict=True))
    return replace(
        case,
        noisy=case.noisy[t, y, x],
        truth=case.truth[t, y, x],
        labels=case.labels[t, y, x],
        g_map=case.g_map[y, x],
        acquired=case.acquired[t],
        corner=(case.corner[0] + first[1], case.corner[1] + first[2]),
    )
