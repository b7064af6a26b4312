"""Gain over the noisy input on a fixed list of series with known truth, for a network and for what it has to beat."""

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.evaluation.baselines import best_gaussian, gaussian, tv3d
from snraware_jax.formats.atomic import replacing
from snraware_jax.metrics import gain_db
from snraware_jax.progress import Progress

Denoise = Callable[[np.ndarray, np.ndarray], np.ndarray]

MOVING_SHARE = 0.1


class Case(NamedTuple):
    """One series of the test set, noise drawn once and for all.

    Attributes:
      name: subject and slice, for messages and titles.
      clean: `[T, H, W]` complex64, the truth in the units of `noisy`.
      noisy: `[T, H, W]` complex64, noise SD `g_map` (1 where g is 1) in real and imaginary part.
      g_map: `[H, W]` float32, the g-map that the noise was drawn with.
      peak_snr: SNR level of the series, peak signal over unit noise; rows of the table are made per level.
      sigma: noise SD before the g-map in the units of the record, by which these images were divided.
    """

    name: str
    clean: np.ndarray
    noisy: np.ndarray
    g_map: np.ndarray
    peak_snr: float
    sigma: float


Method = Callable[[Case], np.ndarray]


class Row(NamedTuple):
    """One method at one SNR level; gains in dB of the complex squared error over the noisy input.

    Attributes:
      level: peak SNR of the series.
      method: name of the denoiser.
      gain, sd, median: of the gain per series (every series counts once); `sd` is None for a single series.
      n: number of series.
      moving_gain: mean gain within the 10 % of pixels that move most; None if no series moves.
      seconds: mean time per series.
    """

    level: float
    method: str
    gain: float
    sd: float | None
    n: int
    median: float
    moving_gain: float | None
    seconds: float


class _Result(NamedTuple):
    level: float
    method: str
    gain: float
    moving_gain: float | None
    seconds: float


def moving_pixels(clean: np.ndarray, share: float = MOVING_SHARE) -> np.ndarray | None:
    """The `share` of pixels with the largest temporal SD of the clean series: `[T, H, W]` complex -> `[H, W]` bool.

    Static tissue dominates the mean over an image: smoothing over time looks good there and fails here. None where nothing
    moves.
    """
    temporal_sd = np.std(clean, axis=0)
    if not temporal_sd.any():
        return None
    mask = np.zeros(temporal_sd.size, bool)
    mask[np.argsort(-temporal_sd, axis=None, kind="stable")[: max(1, round(share * mask.size))]] = True
    return mask.reshape(temporal_sd.shape)


def _measure(method: str, denoise: Method, case: Case) -> tuple[_Result, np.ndarray]:
    started = time.perf_counter()
    denoised = np.asarray(denoise(case))
    seconds = time.perf_counter() - started
    if denoised.shape != case.clean.shape:
        raise ValueError(f"{method} on {case.name} returned {denoised.shape}: expected {case.clean.shape}")
    if not np.all(np.isfinite(denoised)):
        raise InputError(
            f"{method} on {case.name} returned {np.count_nonzero(~np.isfinite(denoised))} values that are not finite"
        )

    moving = moving_pixels(case.clean)
    moving_gain = None
    if moving is not None:
        within = lambda x: x[:, None, moving]  # [T, 1, pixels]
        moving_gain = float(gain_db(within(case.noisy), within(denoised), within(case.clean)))
    return _Result(case.peak_snr, method, float(gain_db(case.noisy, denoised, case.clean)), moving_gain, seconds), denoised


def _summary(results: list[_Result]) -> Row:
    gains = [r.gain for r in results]
    moving = [r.moving_gain for r in results if r.moving_gain is not None]
    return Row(
        level=results[0].level,
        method=results[0].method,
        gain=float(np.mean(gains)),
        sd=float(np.std(gains, ddof=1)) if len(gains) > 1 else None,
        n=len(gains),
        median=float(np.median(gains)),
        moving_gain=float(np.mean(moving)) if moving else None,
        seconds=float(np.mean([r.seconds for r in results])),
    )


def evaluate(
    denoise: Denoise,
    cases: Sequence[Case],
    *,
    baselines: bool = True,
    others: Mapping[str, Method] | None = None,
    name: str = "network",
    show_progress: bool = True,
) -> tuple[list[Row], list[dict[str, np.ndarray]]]:
    """Measure denoisers on the same series: gain = 10 log10(sum |noisy - clean|^2 / sum |denoised - clean|^2).

    Args:
      denoise: `(image [T, H, W], g_map [H, W]) -> image`, in the units of the case. It runs once more on the first case of
        every shape, unmeasured, so that compilation is not in its seconds.
      cases: the fixed test set.
      baselines: also the Gaussian filter, with the width that is best for the cases of each level (an oracle), and TV-3D.
      others: further methods by name. They are given the case, so that one may know what a network is not told: the strength that
        is best for a level, the PSD of the noise (evaluation/others.py).
      name: what the rows call `denoise`.
      show_progress: False on processes that must stay silent.

    Returns:
      rows: one per SNR level and method, levels ascending, `denoise` first.
      outputs: for every case, in the order of `cases`, its denoised image `[T, H, W]` by method.

    Raises:
      ValueError: if there are no cases, two methods share a name, or one returns another shape.
      InputError: if one returns values that are not finite.
    """
    if not cases:
        raise ValueError("no cases to evaluate on: the test set is empty")
    methods: dict[str, Method] = {name: lambda case: denoise(case.noisy, case.g_map)}
    if baselines:
        methods |= _baselines(cases)
    for other, run in (others or {}).items():
        if other in methods:
            raise ValueError(f"two methods are called {other!r}: rename one of them")
        methods[other] = run

    for first in {case.noisy.shape: case for case in reversed(cases)}.values():
        denoise(first.noisy, first.g_map)
    results, outputs = [], []
    with Progress(len(cases) * len(methods), "evaluate", unit="series", enabled=show_progress) as progress:
        for case in cases:
            outputs.append({})
            for method, run in methods.items():
                result, outputs[-1][method] = _measure(method, run, case)
                results.append(result)
                progress.update(len(results), method=method, gain=f"{result.gain:.1f} dB")

    order = list(methods)
    key = lambda result: (result.level, order.index(result.method))
    return [_summary(list(group)) for _, group in groupby(sorted(results, key=key), key=key)], outputs


def _baselines(cases: Sequence[Case]) -> dict[str, Method]:
    levels = {case.peak_snr for case in cases}
    widths = {level: best_gaussian([case for case in cases if case.peak_snr == level]) for level in levels}
    return {
        "Gaussian": lambda case: gaussian(case.noisy, case.g_map, widths[case.peak_snr]),
        "TV-3D": lambda case: tv3d(case.noisy, case.g_map),
    }


def kind_of_error(magnitude: bool) -> str:
    """What gains are of, in words."""
    return "squared error of magnitudes" if magnitude else "complex squared error"


def table(rows: Sequence[Row], magnitude: bool = False) -> str:
    """The rows as plain text for a terminal, the best gain of every level marked with *; `magnitude` of series of magnitudes."""
    best: dict[float, float] = {}
    for row in rows:
        best[row.level] = max(best.get(row.level, -np.inf), row.gain)
    width = max((len(row.method) for row in rows), default=0)
    width = max(width, len("method"))
    lines = [
        f"Gain over the noisy input in dB ({kind_of_error(magnitude)}; mean over series; "
        "moving: the 10 % of pixels that move most)",
        f"peak SNR  {'method':<{width}}     n    gain       SD  median  moving  s/series",
    ]
    for level, group in groupby(rows, key=lambda row: row.level):
        lines.append("")
        for index, row in enumerate(group):
            label = f"{level:g}" if index == 0 else ""
            mark = "*" if row.gain == best[level] else " "
            spread = f"{_or_dash(row.sd):>5}  {row.median:>6.2f}  {_or_dash(row.moving_gain):>6}"
            lines.append(
                f"{label:>8}  {row.method:<{width}}  {row.n:>4}  {row.gain:>6.2f} {mark}  {spread}  {row.seconds:>8.3f}"
            )
    return "\n".join(lines)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def write_csv(rows: Sequence[Row], path: str | Path) -> None:
    """One line per row, in full precision; what does not exist (the SD of one series) stays empty."""
    header = ["peak_snr", "method", "gain_db", "gain_sd_db", "series", "gain_median_db", "gain_moving_db", "seconds_per_series"]
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
