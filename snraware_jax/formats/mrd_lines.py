"""From the readouts of one MRD scan to its arrays: the frames, complete and combined, and the block of calibration lines."""

import math
from typing import NamedTuple

import ismrmrd
import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.hdf5 import require_finite
from snraware_jax.formats.mrd_header import Layout

ANY_CALIBRATION = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
LONGEST_HEARTBEAT_TICKS = 1200  # 3 s; stamps beyond it count on without triggers


class Readouts(NamedTuple):
    """Imaging and calibration readouts: headers `[N]`, samples as stored `[N]`, places on the grid `[N]` each."""

    head: np.ndarray
    data: np.ndarray
    kz: np.ndarray
    ky: np.ndarray

    def take(self, rows: np.ndarray) -> "Readouts":
        """Those of a mask or of indices."""
        return Readouts(*(field[rows] for field in self))


def flagged(head: np.ndarray, *flags: int) -> np.ndarray:
    """Which headers carry any of the flags: `[N]` bool."""
    mask = sum(1 << (flag - 1) for flag in flags)
    return head["flags"] & np.uint64(mask) != 0


def columns(layout: Layout, header: np.void) -> tuple[int, int, int]:
    """First sample to keep of a readout, its column in the matrix with the echo at kx//2, and how many to keep."""
    before, after = int(header["discard_pre"]), int(header["discard_post"])
    start = layout.oversampled // 2 - (int(header["center_sample"]) - before)
    return before, start, int(header["number_of_samples"]) - before - after


def imaging(where: str, layout: Layout, readouts: Readouts) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """`kspace` `[T, C, kz, ky, kx]`, `acquired` `[T, kz, ky]` and `cycle` of the readouts not for calibration alone."""
    chosen = readouts.take(~flagged(readouts.head, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION))
    if not len(chosen.head):
        raise InputError(
            f"{where}: all {len(readouts.head)} readouts are for calibration alone: convert the measurement again."
        )
    names, _, frame = _by_frame(chosen.head)
    labels = [f"{where}: frame {t} (repetition {names[t, 0]}, phase {names[t, 1]})" for t in range(len(names))]
    frames = [chosen.take(frame == t) for t in range(len(names))]
    # every frame is found complete before room is made for it: headers may claim any size
    lines = [_lines(label, layout, found) for label, found in zip(labels, frames, strict=True)]
    coils = int(chosen.head["active_channels"][0])
    kspace = np.zeros((len(names), coils, *layout.grid, layout.oversampled), np.complex64)
    acquired = np.zeros((len(names), *layout.grid), bool)
    for t, (found, averages) in enumerate(lines):
        kz, ky = found.kz[::averages], found.ky[::averages]
        kspace[t][:, kz, ky] = _combined(labels[t], layout, found, averages).swapaxes(0, 1)
        acquired[t, kz, ky] = True
    return kspace, acquired, _cycle([found.head["physiology_time_stamp"][:, 0] for found in frames])


def _by_frame(head: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(repetition, phase) of the frames, `[T, 2]` ascending, the first readout of each, the frame of every readout."""
    index = np.stack([head["idx"]["repetition"], head["idx"]["phase"]], axis=1)
    names, first, frame = np.unique(index, axis=0, return_index=True, return_inverse=True)
    return names, first, frame.ravel()


def first_of_frames(head: np.ndarray) -> np.ndarray:
    """The first readout of every frame that `imaging` makes of readouts `[N]` of one scan: `[T]` places."""
    return _by_frame(head)[1]


def _lines(where: str, layout: Layout, readouts: Readouts) -> tuple[Readouts, int]:
    """The readouts of one frame that lie on its grid, by place, and how many averages each place has."""
    axes = ((layout.kz, readouts.kz), (layout.ky, readouts.ky))
    phases = [int(np.bincount(place % axis.acceleration).argmax()) for axis, place in axes]
    on_grid = np.all([place % axis.acceleration == phase for (axis, place), phase in zip(axes, phases, strict=True)], axis=0)
    stray = readouts.take(~on_grid & ~flagged(readouts.head, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING))
    if len(stray.head):
        raise InputError(
            f"{where}: {len(stray.head)} of {len(on_grid)} lines are not on a grid of every R = {_times(_factors(layout))} lines "
            f"(first: {_name(layout, stray.kz[0], stray.ky[0])}); only regular undersampling is supported yet."
        )
    found = readouts.take(on_grid)
    _require_complete(where, layout, found, phases)
    found = found.take(np.lexsort((found.ky, found.kz)))
    return found, _averages(where, layout, found)


def _require_complete(where: str, layout: Layout, readouts: Readouts, phases: list[int]) -> None:
    """Every place of the grid of these phases, within the limits of the header, must have been acquired."""
    expected = [
        np.arange(axis.first + (phase - axis.first) % axis.acceleration, axis.last + 1, axis.acceleration)
        for axis, phase in zip((layout.kz, layout.ky), phases, strict=True)
    ]
    found = np.zeros(layout.grid, bool)
    found[readouts.kz, readouts.ky] = True
    missing = ~found[np.ix_(*expected)]
    if not missing.any():
        return
    if layout.volume and _corners_alone(missing):
        raise InputError(
            f"{where} has {missing.size - missing.sum()} of {missing.size} lines, the corners of ky-kz were not acquired; "
            "elliptical scanning is not supported yet: acquire the whole rectangle."
        )
    partitions, lines = (places[found] for places, found in zip(expected, np.nonzero(missing), strict=True))
    names = [_name(layout, kz, ky) for kz, ky in zip(partitions[:8], lines[:8], strict=True)]
    raise InputError(
        f"{where} has {missing.size - missing.sum()} of {missing.size} lines; missing: "
        f"{', '.join(names)}{', ...' if missing.sum() > 8 else ''}. Convert the whole measurement again."
    )


def _corners_alone(missing: np.ndarray) -> bool:
    """Whether all four corners of `[kz, ky]` are missing and nothing well inside the ellipse between them."""
    kz, ky = (np.linspace(-1, 1, size) for size in missing.shape)
    inside = kz[:, None] ** 2 + ky**2 < 0.8
    return bool(missing[:: max(len(kz) - 1, 1), :: max(len(ky) - 1, 1)].all() and not missing[inside].any())


def _averages(where: str, layout: Layout, readouts: Readouts) -> int:
    """How many times every place was acquired: the same for all, under average numbers that differ."""
    kz, ky, average = readouts.kz, readouts.ky, readouts.head["idx"]["average"].astype(int)
    alike, copies = np.unique(np.stack([kz, ky, average]), axis=1, return_counts=True)
    if copies.max() > 1:
        worst = copies.argmax()
        raise InputError(
            f"{where} holds line {_name(layout, alike[0, worst], alike[1, worst])} {copies[worst]} times under one average "
            "number: convert the measurement again."
        )
    counts = np.unique(np.stack([kz, ky]), axis=1, return_counts=True)[1]
    if counts.min() < counts.max():
        found = [f"{np.sum(counts == n)} lines {n} times" for n in np.unique(counts)]
        raise InputError(
            f"{where} holds {', '.join(found)}; averages must be of one count for one noise level: "
            "convert only the complete averages."
        )
    return int(counts[0])


def _combined(where: str, layout: Layout, readouts: Readouts, averages: int) -> np.ndarray:
    """Sum over n averages / sqrt(n): `[lines, C, kx]` with the noise SD of one readout."""
    samples = _samples(where, layout, readouts)
    if averages == 1:
        return samples
    return samples.reshape(-1, averages, *samples.shape[1:]).sum(axis=1) / math.sqrt(averages)


def _samples(where: str, layout: Layout, readouts: Readouts) -> np.ndarray:
    """Samples `[N, C, kx]` of readouts of one kind, the echo at kx//2, zeros where nothing was acquired."""
    header = readouts.head[0]
    coils, stored = int(header["active_channels"]), int(header["number_of_samples"])
    before, start, count = columns(layout, header)
    samples = np.zeros((len(readouts.data), coils, layout.oversampled), np.complex64)
    for row, readout in enumerate(readouts.data):
        values = readout.view(np.complex64).reshape(coils, stored)
        samples[row, :, start : start + count] = values[:, before : before + count]
    require_finite(where, "samples [line, coil, kx]", samples)
    return samples


def _cycle(stamps: list[np.ndarray]) -> np.ndarray | None:
    """Place of every frame in the heart's cycle from the trigger times of its lines; see `read_scans`."""
    middle = np.array([np.median(found) for found in stamps])
    steps = np.diff(middle)
    if not (steps > 0).any():
        return None
    heartbeat = max(int(found.max()) for found in stamps) + np.median(steps[steps > 0])
    return (middle / heartbeat).astype(np.float32) if heartbeat <= LONGEST_HEARTBEAT_TICKS else None


def calibration(
    where: str, layout: Layout, readouts: Readouts, acquired: np.ndarray
) -> tuple[np.ndarray | None, tuple[int, int] | None]:
    """The block of calibration lines `[C, A_z, A, kx]` and the (kz, ky) of its first line; None where frames replace it."""
    chosen = readouts.take(flagged(readouts.head, *ANY_CALIBRATION))
    if not len(chosen.head):
        factors = _factors(layout)
        if not layout.interleaved and max(factors) > 1:
            needed = _times([3 * r + 1 for r in factors])
            raise InputError(
                f"{where} has no calibration lines (ACQ_IS_PARALLEL_CALIBRATION) among its {len(readouts.head)} readouts; R = "
                f"{_times(factors)} needs {needed} (3R + 1): convert the reference lines with the scan."
            )
        _block(where, layout, f"lines of {len(acquired)} frames together", np.any(acquired, axis=0))
        return None, None
    count = np.zeros(layout.grid, int)
    np.add.at(count, (chosen.kz, chosen.ky), 1)
    partitions, lines = _block(where, layout, "calibration lines", count > 0)
    samples = _samples(f"{where}: calibration", layout, chosen)
    total = np.zeros((*count[partitions, lines].shape, *samples.shape[1:]), np.complex64)
    for kz, ky, sample in zip(chosen.kz - partitions.start, chosen.ky - lines.start, samples, strict=True):
        total[kz, ky] += sample
    block = total / count[partitions, lines, None, None]
    return np.ascontiguousarray(np.moveaxis(block, 2, 0), np.complex64), (partitions.start, lines.start)


def _block(where: str, layout: Layout, what: str, found: np.ndarray) -> tuple[slice, slice]:
    """The rectangle of the grid around `found` (`[kz, ky]` bool), which must fill it, with DC inside."""
    places = np.nonzero(found)
    partitions, lines = (slice(int(place.min()), int(place.max()) + 1) for place in places)
    missing = int((~found[partitions, lines]).sum())
    inside = [
        block.start <= max(size // 2 - 1, 0) and min(size // 2 + 1, size - 1) < block.stop
        for block, size in zip((partitions, lines), layout.grid, strict=True)
    ]
    if missing or not all(inside):
        first, last = _name(layout, partitions.start, lines.start), _name(layout, partitions.stop - 1, lines.stop - 1)
        centre = _name(layout, layout.kz.size // 2, layout.ky.size // 2)
        raise InputError(
            f"{where}: its {found.sum()} {what} {first}..{last} must lie without gaps about the centre line {centre}; "
            f"{missing} are missing between them: convert the measurement again."
        )
    return partitions, lines


def _name(layout: Layout, kz: int, ky: int) -> str:
    return f"(kz {kz}, ky {ky})" if layout.volume else str(ky)


def _factors(layout: Layout) -> list[int]:
    return [layout.ky.acceleration, layout.kz.acceleration] if layout.volume else [layout.ky.acceleration]


def _times(factors: list[int]) -> str:
    """In words: "3", or "2 x 3" along ky and kz."""
    return " x ".join(map(str, factors))
