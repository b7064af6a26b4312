"""SNR of a user's regions of interest before and after denoising, from a file of labels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats import images as images_of
from snraware_jax.formats.images import Images, size

MOST = 64  # regions: more are no labels


class Region(NamedTuple):
    """Figures of a region.

    Attributes:
      label: its number in the mask.
      points: of all frames and slices.
      signal: mean magnitude before, in SNR units.
      signal_after: the same of the output.
      snr, snr_after: mean magnitude over the noise SD, root mean square within the region.
    """

    label: int
    points: int
    signal: float
    signal_after: float
    snr: float
    snr_after: float


def read(path: Path, images: Images) -> np.ndarray:
    """The labels of a mask file, `[frames, slices, H, W]` int: 0 is no region.

    Raises:
      InputError: if it is of another size, lies elsewhere in the patient, holds no whole numbers, or no region.
    """
    mask = images_of.read(path)
    values = mask.data
    if values.shape[1] == 1 < values.shape[0] == images.data.shape[1]:  # slices of an array without geometry
        values = values.swapaxes(0, 1)
    if values.shape[1:] != images.data.shape[1:] or values.shape[0] not in (1, images.data.shape[0]):
        raise InputError(f"{path}: mask is {size(mask.data.shape)}, image is {size(images.data.shape)}: draw it on this image.")
    images_of.require_same_place(images, mask, path, "mask")
    if np.iscomplexobj(values) or not np.array_equal(values, np.rint(values)) or values.min() < 0:
        raise InputError(f"{path}: a mask holds whole numbers from 0 on, a number a region: save labels, not probabilities.")
    if values.max() > np.iinfo(np.int32).max:
        raise InputError(f"{path}: labels up to {values.max():.3g}: is it an image, not a mask?")
    labels = values.astype(np.int64)
    count = len(np.unique(labels[labels > 0]))
    if not count:
        raise InputError(f"{path}: the mask is empty, 0 everywhere: no region to measure.")
    if count > MOST:
        raise InputError(f"{path}: {count} labels, more than {MOST}: is it an image, not a mask?")
    labels = np.broadcast_to(labels, images.data.shape)
    if empty := [label for label in np.unique(labels[labels > 0]) if not images.data[labels == label].any()]:
        raise InputError(f"{path}: the image is 0 in all of region {empty[0]}, so it has no SNR: leave it out of the mask.")
    return labels


def measure(before: np.ndarray, after: np.ndarray, g_map: np.ndarray, noise: np.ndarray, labels: np.ndarray) -> list[Region]:
    """Figures of every region, by label.

    Args:
      before, after: `[frames, slices, H, W]` in SNR units.
      g_map: `[slices, H, W]`, the noise SD of `before`.
      noise: the noise SD of `after`, of its shape. It says nothing of bias: compare the signals.
      labels: of `read`.

    Raises:
      InputError: if a region has no noise.
    """
    found = []
    for label in np.unique(labels[labels > 0]):
        inside = labels == label
        signals = [float(np.mean(np.abs(image[inside]))) for image in (before, after)]
        noises = [float(np.sqrt(np.mean(of[inside] ** 2))) for of in (np.broadcast_to(g_map, before.shape), noise)]
        if not noises[1] > 0:
            raise InputError(f"region {label}: the output has no noise there, so no SNR: leave it out of the mask.")
        snr, snr_after = (signal / sd for signal, sd in zip(signals, noises, strict=True))
        found.append(Region(int(label), int(inside.sum()), signals[0], signals[1], snr, snr_after))
    return found


def sentence(one: Region) -> str:
    """A region in a line."""
    kept = one.signal_after / one.signal
    return (
        f"region {one.label}, {one.points:,} points: SNR {one.snr:.3g} before, {one.snr_after:.3g} after "
        f"({one.snr_after / one.snr:.2f} times); mean magnitude {kept:.3f} of before"
    )
