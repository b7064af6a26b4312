"""The four modes train and are compared on the same noise; gaps and p-values are what they say."""

import json

import jax
import numpy as np
import pytest

from configs import ablation as modes
from data_pipeline.sources import open_source
from launch import evaluation
from snraware_jax import models
from snraware_jax.evaluation import ablation, results
from snraware_jax.training import configuration
from tests.tiny import TINY


@pytest.mark.xdist_group("train")
def test_all_modes_train_and_are_compared_and_a_second_start_trains_nothing(launch, tiny_records, tmp_path):
    flags = (f"--workdir={tmp_path}", f"--config.data.path={tiny_records}", "--config.train.steps=4", "--seeds=1")
    tiny = [flag for flag in TINY if "evaluation.tile" not in flag and "overlap" not in flag and "series" not in flag]
    for start in range(2):
        output, error = (process := launch("ablation", *flags, *tiny)).communicate(timeout=400)
        assert process.returncode == 0, error
        assert ("step compiled" in output) == (start == 0)
    found = json.loads((tmp_path / "ablation.json").read_text())
    assert list(found["gains"]) == list(modes.MODES)
    assert all(np.isfinite(row["magnitude"]) for runs in found["gains"].values() for rows in runs.values() for row in rows)
    assert len(found["gaps"]) == 3
    assert (tmp_path / "ablation.md").read_text().count("\n") == 2 + 4
    check_evaluate(launch, tmp_path / "without_reconstruction-0")


def test_another_configuration_or_bad_records_leave_no_trace(launch, tiny_records, tmp_path):
    flags = (f"--workdir={tmp_path / 'run'}", "--config.train.steps=4")
    process = launch("ablation", *flags, "--config.data.path=nowhere")
    assert "nowhere: no such folder" in process.communicate(timeout=100)[1]
    assert process.returncode == 2
    assert not list(tmp_path.iterdir())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    process = launch("ablation", *flags, f"--config.data.path={tiny_records}")
    assert "not empty and not a workdir" in process.communicate(timeout=100)[1]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def check_evaluate(launch, workdir) -> None:
    """The folder of a run is one of launch/train.py, and launch/evaluate.py takes other noise levels."""
    output, error = (process := launch("evaluate", f"--workdir={workdir}", "--peak_snr=8,x")).communicate(timeout=100)
    assert process.returncode == 2
    assert "--peak_snr=8,x: give numbers" in error
    output, error = (process := launch("evaluate", f"--workdir={workdir}", "--peak_snr=8,32")).communicate(timeout=300)
    assert process.returncode == 0, error
    assert [line.split(",")[0] for line in (workdir / "evaluation" / "table.csv").read_text().splitlines()[1:]] == [
        "8.0",
        "32.0",
    ]
    entries, about = results.read(workdir / "evaluation")
    assert [one.name.split(", ")[1] for one in entries] == ["peak SNR 8", "peak SNR 32"]
    assert [row[:2] for row in about.tables[0].rows] == [[8.0, "network"], [32.0, "network"]]
    assert "evaluate.py" in about.command


def test_networks_see_what_their_mode_says():
    """A change of what a mode does not see changes nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 4, 8, 8, 3)).astype(np.float32)
    other_g = x * np.float32([1, 1, 3])
    turned = x[..., [1, 0, 2]] * np.float32([-1, 1, 1])  # by 90 degrees
    for mode, (sees_g, sees_phase) in {
        "proposed": (True, True),
        "without_g_factor": (False, True),
        "without_mr_noise": (True, True),
        "without_reconstruction": (False, False),
    }.items():
        config = modes.get_config(mode)
        network = models.build(configuration.model_settings(config))
        output = np.asarray(network(x))
        assert output.shape == (1, 4, 8, 8, 2)
        assert (not np.allclose(network(np.abs(other_g)), network(np.abs(x)), atol=1e-5)) == sees_g
        assert np.allclose(network(turned), output, atol=1e-5) != sees_phase
        if not sees_phase:
            np.testing.assert_array_equal(output[..., 1], 0)


@pytest.mark.parametrize("head", ["none", "filter_bank"])
@pytest.mark.parametrize(("sees", "inputs"), [("complex_g", 3), ("complex", 2), ("magnitude_g", 2), ("magnitude", 1)])
def test_every_input_works_with_every_head(sees, inputs, head):
    for backbone, per_channel in (("stack", 4), ("hrnet", 1)):  # the stack unshuffles pixels of 2 x 2 into channels
        settings = models.ModelSettings(
            backbone=backbone, channels=4, heads=2, cells="T1", patch=(2, 8, 8), norm="none", head=head, input=sees
        )
        network = models.build(settings)
        zeros = np.zeros((1, 2, 8, 8, 3), np.float32)
        value, change = jax.jvp(network, (zeros,), (np.ones_like(zeros),))
        assert np.isfinite(value).all()
        assert np.isfinite(change).all()
        if head == "none":
            first = network.pre if sees == "complex_g" else network.network.pre
            assert first.kernel.shape[-2] == per_channel * inputs


def test_modes_differ_in_their_fields_alone_from_whichever_they_are_made():
    for first in modes.MODES:
        for mode in modes.MODES:
            assert modes.in_mode(modes.get_config(first), mode).to_dict() == modes.get_config(mode).to_dict()


def test_all_modes_are_tested_on_the_same_noise_at_strong_g_maps(tiny_records):
    tested = [evaluation.strong_cases(modes.in_mode(modes.get_config(mode), "proposed"), tiny_records) for mode in modes.MODES]
    source = open_source(tiny_records, "test")
    maps = [g_map for i in range(len(source)) for g_map in source[i].gmaps[2:5]]
    for cases in tested:
        assert len(cases) == 3 * len(source)
        for one, other in zip(cases, tested[0], strict=True):
            np.testing.assert_array_equal(one.noisy, other.noisy)
            assert any((one.g_map == g_map).all() for g_map in maps)


def rows(*gains: float) -> list[dict[str, float]]:
    return [{"level": 4.0, "magnitude": gain, "complex": gain} for gain in gains]


def test_gaps_and_p_values():
    results = {
        "proposed": {0: rows(10, 11, 12, 13), 1: rows(10.2, 11.2, 12.2, 13.2)},
        "worse": {0: rows(9, 10.1, 10.9, 12), 1: rows(9, 10.1, 10.9, 12)},
        "same": {0: rows(10.1, 10.9, 12.1, 12.9), 1: rows(10.3, 11.1, 12.3, 13.1)},
    }
    worse, same = ablation.gaps(results, "proposed")
    assert (worse.mode, worse.level, worse.series) == ("worse", 4.0, 4)
    np.testing.assert_allclose(worse.gap, 1.1)
    np.testing.assert_allclose(worse.by_seed, (1.0, 1.2))
    assert worse.p_value < 1e-3 < 0.5 < same.p_value
    assert "| worse | 4 | 10.50 (10.50, 10.50) | 10.50 | 1.10 (1.00, 1.20) |" in ablation.table(results, [worse, same])


def test_results_of_other_cases_are_refused():
    with pytest.raises(ValueError, match="worse was not run with the seeds and cases of proposed"):
        ablation.gaps({"proposed": {0: rows(10)}, "worse": {0: rows(9, 9)}}, "proposed")


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="choose one of proposed, without_g_factor"):
        modes.get_config("without_anything")
