"""Table 3 on a filter whose noise is known, and on figures made by hand."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.evaluation import generalisation
from snraware_jax.evaluation.regions import Region
from tests.evaluation.linear import filtered

LEFT = 0.375**1.5  # SD that (1 2 1) / 4 along three axes leaves of white noise
pytestmark = pytest.mark.xdist_group("suites")


def test_a_filter_lowers_the_noise_by_what_its_taps_say(scan_case):
    before = generalisation.raw(scan_case)
    outputs = generalisation.replicated(lambda y, g: g * filtered(y / g), 32)(scan_case, jax.random.key(0))
    after = generalisation.figures(scan_case, outputs)
    for name in generalisation.HEART:
        # noise of neighbours is nearly independent
        assert after.regions[name].noise == pytest.approx(LEFT * before.regions[name].noise, rel=0.1)
        assert before.g_factor[name] == pytest.approx(before.regions[name].noise, rel=1e-2)
    # the filter smears bright blood over dark myocardium, which the SNR counts as signal, and the fidelity shows
    assert after.regions["blood pool"].fidelity < 1 < 1.2 < after.regions["myocardium"].fidelity


def test_what_does_nothing_changes_nothing(scan_case):
    before = generalisation.raw(scan_case)
    outputs = generalisation.replicated(lambda y, g: y, 32)(scan_case, jax.random.key(1))
    after = generalisation.figures(scan_case, outputs)
    for name, label in generalisation.HEART.items():
        error = 1 / np.sqrt(4 * 31 * scan_case.region(label).sum())
        assert after.regions[name].snr == pytest.approx(before.regions[name].snr, rel=4 * error)


def test_a_scan_without_a_heart_is_named(scan_case):
    with pytest.raises(InputError, match="no points of blood pool"):
        generalisation.raw(replace(scan_case, labels=np.zeros_like(scan_case.labels)))


def measured(blood: float, myocardium: float, noise: float) -> generalisation.Measured:
    regions = {"blood pool": Region(blood, noise, 1.0), "myocardium": Region(myocardium, noise, 1.0)}
    return generalisation.Measured(regions, {"blood pool": 1.5, "myocardium": 2.0})


def test_the_rows_and_the_table():
    before = [measured(20 + i, 8, 2) for i in range(4)]
    after = [measured(20 + i, 8, 0.5 + 0.01 * i) for i in range(4)]
    found = generalisation.rows({"proposed": after, "raw": before})
    assert [row.name for row in found] == ["SNR blood pool", "SNR myocardium", "CNR"]
    blood, myocardium, contrast = found
    assert blood.values["raw"] == [10, 10.5, 11, 11.5]
    assert contrast.values["raw"] == [6, 6.5, 7, 7.5]
    assert myocardium.against["raw"].ratio_of_means == pytest.approx(np.mean([8 / (0.5 + 0.01 * i) for i in range(4)]) / 4)
    p_values = [row.against["raw"].t_test for row in found]
    assert max(p_values) < 0.01
    text = generalisation.table(found)
    assert "| SNR blood pool | 1.5 ± 0 | " in text
    assert "raw: " in text
    p_value = f"{blood.against['raw'].wilcoxon:.1e}"
    assert f", {p_value} |" in text
    lines = generalisation.csv_rows("cine", found)
    assert len(lines) == 6
    assert (lines[0]["method"], lines[0]["t_test"]) == ("proposed", None)
    assert lines[1]["mean"] == pytest.approx(10.75)
    assert lines[1]["ratio_of_means"] == blood.against["raw"].ratio_of_means
    latex = generalisation.latex({"cine": found})
    assert r"cine & SNR blood pool & 1.5 $\pm$ 0 & " in latex
    assert f"p = {blood.against['raw'].t_test:.1e}" in latex
    assert len({line.count("|") for line in text.splitlines()}) == 1
