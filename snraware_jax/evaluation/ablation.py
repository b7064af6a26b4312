"""Training modes compared on the same noisy series: gains per series, gaps to the proposed mode, how sure they are."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.evaluation.in_distribution import Case, Denoise
from snraware_jax.evaluation.statistics import holm
from snraware_jax.metrics import gain_db


class Gap(NamedTuple):
    """How much one mode loses against the reference, in dB of magnitude gain; positive if the reference is better.

    Attributes:
      mode, level: of the comparison; the level is a peak SNR.
      gap: mean over the series, each the mean over the seeds.
      by_seed: the same for every seed alone.
      p_value: of a paired two-sided t-test over the series (None for one series), corrected by Holm for the number of comparisons: that
        another draw of series would show the gap; it says nothing about another training seed.
      series: how many.
    """

    mode: str
    level: float
    gap: float
    by_seed: tuple[float, ...]
    p_value: float | None
    series: int


def gains(denoise: Denoise, cases: Sequence[Case]) -> list[dict[str, float]]:
    """Of every case its peak SNR, the gain of the magnitude (all networks have one) and of the complex image, in dB."""
    rows = []
    for case in cases:
        output = np.asarray(denoise(case.noisy, case.g_map))
        if not np.isfinite(output).all():
            raise InputError(
                f"{case.name}, peak SNR {case.peak_snr:g}: {np.count_nonzero(~np.isfinite(output))} values are not finite"
            )
        magnitude = gain_db(*(np.abs(image) for image in (case.noisy, output, case.clean)))
        rows.append(
            {"level": case.peak_snr, "magnitude": float(magnitude), "complex": float(gain_db(case.noisy, output, case.clean))}
        )
    return rows


def gaps(results: Mapping[str, Mapping[int, Sequence[dict[str, float]]]], reference: str) -> list[Gap]:
    """The gap of every other mode at every level; `results[mode][seed]` are `gains` of the same cases.

    Raises:
      ValueError: if modes have other seeds or cases than the reference.
    """
    from scipy import stats  # slow to import

    seeds = sorted(results[reference])
    levels = [row["level"] for row in results[reference][seeds[0]]]
    found = []
    for mode, of_mode in results.items():
        if sorted(of_mode) != seeds or any([row["level"] for row in rows] != levels for rows in of_mode.values()):
            raise ValueError(f"{mode} was not run with the seeds and cases of {reference}; evaluate it again")
        if mode == reference:
            continue
        for level in sorted(set(levels)):
            at = np.array(levels) == level
            table = lambda rows, at=at: np.array([row["magnitude"] for row in rows])[at]
            difference = np.array([table(results[reference][seed]) - table(of_mode[seed]) for seed in seeds])  # [seed, series]
            several = difference.shape[1] > 1
            p_value = float(np.asarray(stats.ttest_1samp(difference.mean(axis=0), 0))[1]) if several else None
            by_seed = tuple(float(gap) for gap in difference.mean(axis=1))
            found.append(Gap(mode, level, float(difference.mean()), by_seed, p_value, difference.shape[1]))
    corrected = holm([gap.p_value for gap in found])
    return [gap._replace(p_value=p_value) for gap, p_value in zip(found, corrected, strict=True)]


def table(results: Mapping[str, Mapping[int, Sequence[dict[str, float]]]], found: Sequence[Gap]) -> str:
    """Mean gains and gaps as a Markdown table."""
    lines = [
        "| mode | peak SNR | magnitude gain, dB (each) | complex gain, dB | gap to the proposed, dB (each) | p (series, Holm) |"
    ]
    lines += ["|---|---|---|---|---|---|"]
    by_key = {(gap.mode, gap.level): gap for gap in found}
    for mode, of_mode in results.items():
        for level in sorted({row["level"] for row in next(iter(of_mode.values()))}):
            of = lambda kind, rows, level=level: np.mean([row[kind] for row in rows if row["level"] == level])
            each = [of("magnitude", rows) for rows in of_mode.values()]
            without_phase = (
                "-" if mode == "without_reconstruction" else f"{np.mean([of('complex', r) for r in of_mode.values()]):.2f}"
            )
            gap = by_key.get((mode, level))
            cells = [
                mode.replace("_", " "),
                f"{level:g}",
                f"{np.mean(each):.2f} ({', '.join(f'{v:.2f}' for v in each)})",
                without_phase,
            ]
            cells += (
                [
                    f"{gap.gap:.2f} ({', '.join(f'{v:.2f}' for v in gap.by_seed)})",
                    "" if gap.p_value is None else f"{gap.p_value:.1e}",
                ]
                if gap
                else ["", ""]
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
