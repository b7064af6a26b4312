"""Paired comparisons: ratios by hand, tests by their definitions, corrections by Holm's own rule."""

import numpy as np
import pytest
from scipy import stats

from snraware_jax.evaluation.statistics import holm, paired


def test_two_ratios():
    found = paired([10, 40], [5, 10])
    assert found.ratio_of_means == pytest.approx(50 / 15)
    assert found.mean_of_ratios == pytest.approx((2 + 4) / 2)
    assert found.cases == 2


def test_p_values_by_definition():
    """t from the mean over its standard error; Wilcoxon: all eight differences above 0 happen in 2 of 2^8 signs."""
    rng = np.random.default_rng(0)
    b = rng.uniform(5, 9, 8)
    a = b + rng.uniform(0.5, 3, 8)
    difference = a - b
    t = difference.mean() / (difference.std(ddof=1) / np.sqrt(8))
    found = paired(a.tolist(), b.tolist())
    assert found.t_test == pytest.approx(2 * stats.t.sf(t, 7))
    assert found.wilcoxon == pytest.approx(2 / 2**8)


def test_what_cannot_be_tested_has_no_p_value():
    for a, b in (([3.0], [2.0]), ([3.0, 4.0], [2.0, 3.0]), ([5.1, 7.3, 9.7, 1.3], [5.0, 7.2, 9.6, 1.2])):
        assert paired(a, b)[3:] == (None, None)


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1]), ([], []), ([1, np.nan], [1, 1])])
def test_figures_that_are_no_pairs(a, b):
    with pytest.raises(ValueError, match="pairs are of|have to be finite"):
        paired(a, b)


def test_differences_of_both_signs_have_no_ratio():
    found = paired([1.0, -2.0, 3.5], [0.5, 1.0, 1.5])
    assert found[1:3] == (None, None)
    assert found.t_test is not None


def test_holm():
    corrected = holm([0.04, 0.01, None, 0.03])
    assert corrected[2] is None
    assert [corrected[i] for i in (0, 1, 3)] == pytest.approx([0.06, 0.03, 0.06])
