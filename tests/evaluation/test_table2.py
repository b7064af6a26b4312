"""Tables and findings of runs whose figures are known."""

import numpy as np
import pytest

from snraware_jax.evaluation.reproduce import table2

BEST = {"hrnet_cnnt_large": 50.0, "hrnet_conv3d": 48.0, "hrnet_conv2d": 45.0, "unet_conv3d": 47.0, "unet_conv2d": 46.0}
LOSS = {"proposed": 0.0, "without_g_factor": 1.0, "without_mr_noise": 2.0, "without_reconstruction": 3.0}


def run(psnr: float) -> dict:
    """Results of three series with noise as in training and one at an input SNR."""
    figures = lambda psnr: {"magnitude": {"psnr_times_sigma": psnr, "ssim": psnr / 100, "gain_db": psnr - 40}}
    cases = [{"input_snr": None} | figures(psnr + spread) for spread in (-1.0, 0.0, 1.0)]
    of = {"parameters": 1234, "seconds_per_frame": 0.02, "step": 7, "suite": "cine_small", "version": "v", "configuration": "c"}
    return of | {"training": "python train", "command": "evaluate", "cases": [*cases, {"input_snr": 0.5} | figures(60.0)]}


@pytest.fixture
def results():
    of_3d = [(model, mode) for model in BEST for mode in LOSS if mode == "proposed" or not model.endswith("2d")]
    return {(model, mode): run(BEST[model] - LOSS[mode]) for model, mode in of_3d}


def test_all_findings_of_the_paper_come_out(results):
    for finding in table2.findings(results):
        assert finding.held == finding.made > 0, finding
        assert finding.against == []


def test_what_does_not_come_out_is_named(results):
    results["hrnet_conv3d", "without_g_factor"] = run(48.5)
    results["hrnet_conv2d", "proposed"] = run(49.0)
    proposed, worst, deep, _, _ = table2.findings(results)
    assert (proposed.held, proposed.made) == (8, 9)
    assert proposed.against == ["hrnet_conv3d against hrnet_conv3d without g-factor: -0.50"]
    assert worst.held == worst.made == 9
    assert deep.against == ["hrnet_conv3d against hrnet_conv2d: -1.00"]


def test_table_2(results):
    text = table2.markdown(results)
    assert "| hrnet_cnnt_large | 1,234 | 20 | **50** ± 1 | **49** ± 1 | **48** ± 1 | **47** ± 1 |" in text
    assert "| unet_conv2d | 1,234 | 20 | 46 ± 1 |  |  |  |" in text
    assert text.count("UNet, ") == text.count("HRNet, ") == 3
    latex = table2.latex(results)
    assert r"hrnet\_cnnt\_large & 1,234 & 0.5 & 0.49 & 0.48 & 0.47 & 50 & 49 & 48 & 47 \\" in latex
    assert r"unet\_conv2d & 1,234 & 0.46 & -- & -- & -- & 46 & -- & -- & -- \\" in latex


def test_gaps_are_paired(results):
    rows = {line.split(" | ")[0]: line for line in table2.gaps(results).splitlines()}
    assert "| 1.00 |" in rows["| hrnet_cnnt_large"]  # differences that are all equal have no p-value
    assert "| hrnet_conv2d" not in rows
    results["hrnet_cnnt_large", "without_g_factor"]["cases"][0]["magnitude"]["gain_db"] -= 0.3
    assert "| 1.10 (" in table2.gaps(results)


def test_csv_and_curve(results):
    row = table2.csv_rows(results)[0]
    assert row["psnr_times_sigma"] == 50
    assert row["psnr_times_sigma_sd"] == pytest.approx(1)
    assert (row["series"], row["configuration"], row["training"]) == (3, "c", "python train")
    assert "| hrnet_cnnt_large | 20.00 |" in table2.curve(results)
    assert np.all(table2.values(results["unet_conv3d", "proposed"], "gain_db", 0.5) == 20)
