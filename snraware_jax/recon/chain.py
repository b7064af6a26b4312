"""From raw scans to images in SNR units, their own g-maps, and the g-maps of other accelerations.

`calibrate` learns everything from the noise scan and the calibration lines; `apply` is linear in the k-space and can be used
again, on other k-space of the same scan: noise-free (a simulator's truth) or noise alone (pseudo-replicas).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import groupby, islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.formats.scan import RawScan
from snraware_jax.formats.series import Series
from snraware_jax.recon import batch, gating, grappa, resize
from snraware_jax.recon.coils import inati, low_resolution_images
from snraware_jax.recon.fourier import fft2c, ifft2c, remove_oversampling
from snraware_jax.recon.grappa import ACCELERATIONS, Acceleration
from snraware_jax.recon.inputs import Geometry, Prepared, prepare

G_FLOOR = 1e-3


@dataclass(frozen=True)
class Plan:
    """The frozen chain of one scan.

    Attributes:
      whitening: `[C', C]`, sqrt(2 t_d/t_n b) included; C' leaves out the coils that hear nothing.
      coil_maps: `[C', (kz,) ky, kx]`, unit norm.
      unmixing: `[C', (kz,) ky, kx]` of the scan's own acceleration.
      g_map: `[(kz,) ky, kx]` float32, the same acceleration.
      g_maps: `[R, (kz,) ky, kx]` float32 for `accelerations`.
      accelerations: of `g_maps`.
      acceleration: R of the scan.
      readout: kx of the scan after oversampling removal, before any zero-filling.
      echo_share: samples of an asymmetric echo over kx; 1 otherwise.
      condition: condition number of the noise covariance.
    """

    whitening: Array
    coil_maps: Array
    unmixing: Array
    g_map: Array
    g_maps: Array
    accelerations: tuple[Acceleration, ...]
    acceleration: Acceleration
    readout: int
    echo_share: float
    condition: float


def reconstruct(
    scan: RawScan,
    accelerations: Sequence[Acceleration] = ACCELERATIONS,
    *,
    matrix: Sequence[int] | None = None,
    phases: int | None = None,
) -> Series:
    """Reconstruct a raw scan in SNR units: S(r) = I(r)/g(r), noise SD 1 in the real and in the imaginary part.

    Whitening, readout oversampling removal, coil maps and GRAPPA calibration from the calibration lines, unmixing of the
    zero-filled coil images, division by g (not below `G_FLOOR`).

    Args:
      scan: a slice with any number of frames, or a volume.
      accelerations: of the g-maps; R along ky, or (R along ky, R along kz) of a volume.
      matrix: pixels `((kz,) ky, kx)` of a finer grid, not below the scan's own; k-space is zero-filled, g evaluated on that grid.
      phases: of the cardiac cycle; the frames are gated retrospectively (`recon.gating`), each phase scaled to unit noise.

    Raises:
      InputError: if the noise scan or the calibration lines do not suffice; the message says for which R they do.

    Source: paper, Methods; Kellman & McVeigh, MRM 2005; docs/physics.md.
    """
    return next(reconstruct_all([scan], accelerations, matrix=matrix, phases=phases))


def reconstruct_all(
    scans: Iterable[RawScan],
    accelerations: Sequence[Acceleration] = ACCELERATIONS,
    *,
    matrix: Sequence[int] | None = None,
    phases: int | None = None,
) -> Iterator[Series]:
    """`reconstruct` of many scans: neighbours of one geometry go through the device together, shared among all devices.

    Scans are drawn as they are needed, a batch at a time; series come in the order of the scans. Arguments and errors as for
    `reconstruct`.
    """
    prepared = (prepare(_checked(scan, phases), accelerations, matrix) for scan in scans)
    for geometry, alike in groupby(prepared, key=lambda one: one.geometry):
        of_one = replace(geometry, kspace=(1, *geometry.kspace[1:]))
        on_host = math.prod(geometry.kspace) * np.dtype(np.complex64).itemsize
        size = batch.size_that_fits(partial(_bytes_of_one, of_one), on_host)
        while group := list(islice(alike, size)):
            yield from _reconstruct_together(group, batch.padded(len(group)), phases)


def calibrate(
    scan: RawScan, accelerations: Sequence[Acceleration] = ACCELERATIONS, matrix: Sequence[int] | None = None
) -> Plan:
    """Whitening, coil maps, unmixing and g-maps of a scan, from its noise scan and calibration lines alone.

    Raises:
      InputError: as `reconstruct`.
    """
    prepared = prepare(scan, accelerations, matrix)
    coil_maps, unmixing, g_map, g_maps = (part[0] for part in _calibrate_together([prepared], batch.padded(1)))
    geometry = prepared.geometry
    return Plan(
        whitening=jnp.asarray(prepared.whitening),
        coil_maps=coil_maps,
        unmixing=unmixing,
        g_map=g_map,
        g_maps=g_maps,
        accelerations=geometry.accelerations,
        acceleration=geometry.acceleration,
        readout=geometry.readout,
        echo_share=geometry.echo_share,
        condition=prepared.condition,
    )


def apply(plan: Plan, kspace: np.ndarray | Array, acquired: np.ndarray | Array) -> Array:
    """Image in SNR units of raw k-space under a frozen chain; linear in `kspace`.

    I = sum_c u_c sqrt(f_x f_y) IFFT2(W s), f_y = lines of the grid/lines acquired in each frame, f_x likewise for the samples of a
    readout, S = I/max(g, `G_FLOOR`).

    Args:
      plan: what `calibrate` made.
      kspace: `[T, C, (kz,) ky, kx_oversampled]`, not whitened; what it holds on missing lines does not count.
      acquired: `[T, (kz,) ky]` bool, the lines that were acquired.

    Returns:
      `[T, (kz,) ky, kx]` complex64.
    """
    # frame by frame: one compilation whatever T is, and the coil images of one frame in memory
    whitening = plan.whitening / np.float32(np.sqrt(plan.echo_share))
    frame = partial(_one_frame, whitening, plan.unmixing, plan.g_map, readout=plan.readout)
    return jnp.stack([frame(*of_frame) for of_frame in zip(kspace, acquired, strict=True)])


def stack(slices: Sequence[Series]) -> Series:
    """Slices of one frame each as one series, T counting slices, every slice with its own g-maps.

    Raises:
      ValueError: if a slice has several frames, or their sizes or accelerations differ.
    """
    first = slices[0]
    if any(one.image.shape != first.image.shape or len(one.image) != 1 for one in slices):
        raise ValueError(f"slices of {sorted({one.image.shape for one in slices})} cannot be stacked: one frame each, one size")
    return replace(
        first,
        image=np.concatenate([one.image for one in slices]),
        g_map=np.stack([one.g_map for one in slices]),
        g_maps=np.stack([one.g_maps for one in slices], axis=1),
        metadata={**first.metadata, "slices": len(slices)},
    )


def _checked(scan: RawScan, phases: int | None) -> RawScan:
    if scan.kspace.ndim == 5 and len(scan.kspace) > 1:
        raise InputError(f"{scan.name} holds {len(scan.kspace)} volumes; only one at a time is supported yet: split the file.")
    if phases and scan.cycle is None:
        raise InputError(f"{scan.name} has no trigger times, so its frames cannot be gated: leave out --phases.")
    return scan


def _reconstruct_together(group: Sequence[Prepared], size: int, phases: int | None) -> Iterator[Series]:
    _, unmixing, g_map, g_maps = _calibrate_together(group, size)
    whitening = batch.together([one.whitening for one in group], size)
    images = _images(whitening, unmixing, g_map, group)
    for i, (one, image) in enumerate(zip(group, images, strict=True)):
        yield _series(one, image, np.asarray(g_map[i]), np.asarray(g_maps[i]), phases)


def _calibrate_together(group: Sequence[Prepared], size: int) -> tuple[Array, Array, Array, Array]:
    """What `_calibrate` returns, for a batch of `size`."""
    whitening = batch.together([one.whitening for one in group], size)
    geometry = group[0].geometry
    # a calibration does not depend on the number of frames: series that differ in it share the program
    program = _calibration_program(replace(geometry, kspace=(1, *geometry.kspace[1:])))
    return program(whitening, batch.together([one.calibration for one in group], size))


def _images(whitening: np.ndarray, unmixing: Array, g_map: Array, group: Sequence[Prepared]) -> list[np.ndarray]:
    """Images `[T, (kz,) ky, kx]` of the scans of a batch; frame by frame: one compilation whatever T is, little memory."""
    geometry = group[0].geometry
    frame, scaled = _frame_program(geometry.readout), whitening / np.float32(np.sqrt(geometry.echo_share))
    scans = [one.scan for one in group]

    def images_at(t: int) -> np.ndarray:
        kspace = batch.together([scan.kspace[t] for scan in scans], len(scaled))
        acquired = batch.together([scan.acquired[t] for scan in scans], len(scaled))
        return np.asarray(frame(scaled, unmixing, g_map, kspace, acquired))[: len(scans)]

    return list(np.stack([images_at(t) for t in range(geometry.kspace[0])], axis=1))


@cache
def _calibration_program(geometry: Geometry) -> Callable[[np.ndarray, np.ndarray], tuple[Array, Array, Array, Array]]:
    return batch.over_devices(partial(_calibrate, geometry=geometry))


@cache
def _frame_program(readout: int) -> Callable[..., Array]:
    return batch.over_devices(partial(_frame, readout=readout))


@cache
def _bytes_of_one(geometry: Geometry) -> int:
    """Device memory of one series in a calibration, by XLA's own plan."""
    shapes = [(geometry.coils, geometry.calibration[0]), geometry.calibration]
    arguments = [jax.ShapeDtypeStruct(shape, np.complex64) for shape in shapes]
    memory = jax.jit(partial(_calibrate, geometry=geometry)).lower(*arguments).compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes + memory.output_size_in_bytes + memory.argument_size_in_bytes


def _calibrate(whitening: Array, calibration: Array, *, geometry: Geometry) -> tuple[Array, Array, Array, Array]:
    """Coil maps, unmixing and g-map of the scan, g-maps of all accelerations."""
    whitened = jnp.einsum("dc,c...->d...", whitening, remove_oversampling(calibration, geometry.readout), precision="highest")
    first, last = geometry.kept
    whitened = fft2c(whitened, axes=(-1,))[..., first:last]
    own, start = (*geometry.lines, geometry.readout), (*geometry.start, first)
    start = tuple(place + new // 2 - old // 2 for place, new, old in zip(start, geometry.grid, own, strict=True))
    coil_maps = inati(low_resolution_images(whitened, start, geometry.grid))

    wanted = tuple(dict.fromkeys((geometry.acceleration, *geometry.accelerations)))
    weights = dict(zip(wanted, grappa.fit_kernels(whitened, wanted), strict=True))
    unmixing = grappa.image_domain(weights[geometry.acceleration], coil_maps, geometry.acceleration)
    g_map_of = {r: grappa.g_map(weights[r], coil_maps, r) for r in wanted}
    return coil_maps, unmixing, g_map_of[geometry.acceleration], jnp.stack([g_map_of[r] for r in geometry.accelerations])


@partial(jax.jit, static_argnames="readout")
def _one_frame(*arguments: Array, readout: int) -> Array:
    return _frame(*arguments, readout=readout)


def _frame(whitening: Array, unmixing: Array, g_map: Array, kspace: Array, acquired: Array, *, readout: int) -> Array:
    *lines, columns = g_map.shape
    axes = tuple(range(-1 - len(lines), -1))
    # zero-filled before the field of view is cropped: afterwards the noise of an asymmetric echo is no longer white along kx
    oversampled = kspace.shape[-1] * columns // readout
    padded = resize.pad_kspace(jnp.where(acquired[None, ..., None], kspace, 0), (oversampled,), (-1,))
    hybrid = jnp.einsum("dc,c...->d...", whitening, remove_oversampling(padded, columns), precision="highest")
    boost = jnp.sqrt(np.prod(lines) / jnp.sum(acquired) * columns / readout)
    image = grappa.unmix(boost * ifft2c(resize.pad_kspace(hybrid, lines, axes), axes), unmixing)
    return image / jnp.maximum(g_map, G_FLOOR)


def _series(prepared: Prepared, image: np.ndarray, g_map: np.ndarray, g_maps: np.ndarray, phases: int | None) -> Series:
    scan, geometry = prepared.scan, prepared.geometry
    image = image[0] if scan.kspace.ndim == 5 else image  # the depth of a volume takes the place of time
    gating_facts: dict[str, Any] = {}
    if phases:
        image, gating_facts = _gated(scan, image, phases)
    if not np.isfinite(image).all() or not np.isfinite(g_maps).all():
        raise InputError(
            f"{scan.name}: its samples, dwell times or bandwidth give no finite image: convert the measurement again."
        )
    metadata = {
        "name": scan.name,
        "coils": geometry.coils,
        "noise_samples": int(scan.noise.shape[1]),
        "noise_condition": prepared.condition,
        "dwell_ratio": scan.dwell_us / scan.noise_dwell_us,
        "bandwidth": scan.bandwidth,
        "calibration_lines": list(prepared.calibration.shape[1:-1]),
        "readout_interpolated": geometry.grid[-1] != geometry.readout or geometry.echo_share < 1,
        "pixels_at_g_floor": int(np.sum(g_map < G_FLOOR)),
        "fov_mm": [float(extent) for extent in scan.fov_mm],
        "units": "SNR (noise SD 1 in the real and in the imaginary part)",
        **gating_facts,
    }
    return Series(
        image=image,
        g_map=g_map,
        g_maps=g_maps,
        accelerations=geometry.accelerations,
        acceleration=geometry.acceleration,
        metadata=metadata,
    )


def _gated(scan: RawScan, frames: np.ndarray, phases: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Frames `[T, ky, kx]` at the phases of the cycle, and what that did to their noise."""
    assert scan.cycle is not None
    weights = gating.phase_weights(scan.cycle, phases, scan.name)
    facts = {
        "gated_from_frames": len(frames),
        "noise_scaling": np.round(gating.noise_scaling(weights), 5).tolist(),
        "noise_correlation_of_next_phase": np.round(np.diagonal(np.roll(gating.frame_correlation(weights), -1, 1)), 4).tolist(),
    }
    return np.asarray(gating.retro_gate(frames, weights), np.complex64), facts
