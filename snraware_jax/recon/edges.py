"""Noise beside the field of view: what readout oversampling shows there is noise alone, if the object ends before."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.scan import RawScan

# of the oversampled readout: distance beyond the field of view where filters are still flat
BESIDE = (0.02, 0.04)


def columns_beside(scan: RawScan) -> tuple[int, int] | None:
    """Columns just outside the field of view, from the centre (first, last + 1), on both sides; None without room for them."""
    oversampled = scan.kspace.shape[-1]
    near, far = (scan.readout // 2 + round(share * oversampled) for share in BESIDE)
    return (near, far) if far < oversampled // 2 else None


def beside(lines: np.ndarray, columns: tuple[int, int], echo_share: float = 1.0) -> np.ndarray:
    """Samples beside the field of view, of the noise of the image's middle: `[..., kx]` -> `[..., 2 (last - first)]`.

    Args:
      lines: acquired readouts, DC at N//2.
      columns: of `columns_beside`.
      echo_share: of the readout's samples that were acquired; the others are 0.
    """
    near, far = columns
    centre = lines.shape[-1] // 2
    shifted = np.fft.ifftshift(lines, axes=-1)
    hybrid = np.fft.fftshift(np.fft.ifft(shifted, axis=-1, norm="ortho"), axes=-1) / np.sqrt(echo_share)
    return np.concatenate([hybrid[..., centre - far : centre - near], hybrid[..., centre + near : centre + far]], -1)


def with_noise_from_edges(scans: Sequence[RawScan]) -> list[RawScan]:
    """Scans of one measurement, whose noise is that beside their field of view, in place of a noise scan.

    An estimate: too large where the object, or what wraps, reaches there.

    Raises:
      InputError: if the readout has no oversampling to speak of.
    """
    found = []
    for scan in scans:
        columns = columns_beside(scan)
        if columns is None:
            raise InputError(f"{scan.name}: --noise-from-edges needs readout oversampling; name a noise scan: --noise FILE.")
        lines = np.moveaxis(scan.kspace, 1, -2)[scan.acquired]  # [lines of all frames, C, kx]
        share = 1.0 if scan.echo_samples is None else scan.echo_samples / scan.kspace.shape[-1]
        found.append(np.moveaxis(beside(lines, columns, share), 1, 0).reshape(lines.shape[1], -1))
    noise = np.concatenate(found, axis=1).astype(np.complex64)
    # noise of the image's middle as it is: a dwell time that undoes the bandwidth of a noise scan
    return [replace(scan, noise=noise, noise_dwell_us=scan.dwell_us * scan.bandwidth) for scan in scans]
