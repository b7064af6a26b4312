"""Whether one method beats another on the same cases: paired tests, corrected for how many there are, and ratios."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROUNDING = 1e-9  # of the figures: differences within it are equal


class Paired(NamedTuple):
    """Figures of two methods on the same cases, `a` against `b`.

    Attributes:
      cases: how many.
      ratio_of_means: mean(a) / mean(b), as the paper's "SNR improvement"; None if a figure is 0 or below, as differences may be.
      mean_of_ratios: mean(a / b), in which every case counts the same; None likewise.
      t_test: two-sided p-value of a paired t-test; None for fewer than two cases, or differences that are all equal.
      wilcoxon: two-sided p-value of Wilcoxon's signed-rank test, which does not ask for normal differences; None likewise.
    """

    cases: int
    ratio_of_means: float | None
    mean_of_ratios: float | None
    t_test: float | None
    wilcoxon: float | None


def paired(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Compares two methods case by case.

    Raises:
      ValueError: if there are no cases, their numbers differ, or a figure is not finite.
    """
    from scipy import stats  # slow to import

    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"{first.shape} against {second.shape} figures: pairs are of the same cases, one at least")
    if not (np.isfinite(first) & np.isfinite(second)).all():
        raise ValueError("figures have to be finite")
    positive = bool((first > 0).all() and (second > 0).all())
    difference = first - second
    testable = len(difference) > 1 and np.ptp(difference) > ROUNDING * np.abs(first).max()
    return Paired(
        cases=len(first),
        ratio_of_means=float(first.mean() / second.mean()) if positive else None,
        mean_of_ratios=float(np.mean(first / second)) if positive else None,
        t_test=float(np.asarray(stats.ttest_rel(first, second))[1]) if testable else None,
        wilcoxon=float(np.asarray(stats.wilcoxon(difference))[1]) if testable else None,
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values that hold for all of them together: sorted, the k-th of m times m - k + 1, never falling; None stays.

    Source: Holm, Scand. J. Stat. 1979.
    """
    tested = sorted((p_value, number) for number, p_value in enumerate(p_values) if p_value is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p_value, number) in enumerate(tested):
        least = max(least, min(1.0, (len(tested) - rank) * p_value))
        corrected[number] = least
    return corrected
