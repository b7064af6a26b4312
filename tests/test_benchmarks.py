"""The benchmarks run, and their figures hang together."""

import importlib.util
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from snraware_jax import flops
from snraware_jax.models import convolution

TINY = """
from configs import base


def get_config():
    config = base.get_config("quick")
    config.data.patch = (2, 8, 8)
    config.model.update(cells="C2", channels=4, heads=1, levels=1, mixer_ratio=0.0, norm="channel")
    config.evaluation.update(tile=(30, 192, 144), overlap=(0, 0, 0))
    return config
"""
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> tuple[dict, str]:
    """The JSON object and the printed table of a quick run."""
    output = tmp_path_factory.mktemp("benchmarks") / "recon.json"
    # one thread: those of OpenBLAS would stall beside the other tests
    command = [sys.executable, "benchmarks/recon.py", "--quick", "--threads=1", "--json", str(output)]
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    text = output.read_text()
    assert text.count("\n") == 1
    return json.loads(text), finished.stdout


def test_recon_states_its_machine(quick):
    machine = quick[0]["machine"]
    assert machine["processors_used"] == quick[0]["threads"]
    assert set(machine["blas_variables"].values()) == {str(quick[0]["threads"])}
    assert machine["matmul_peak_gflops"]["jax"] > 0


def test_recon_stages_add_up(quick):
    for case in quick[0]["cases"]:
        ours = case["ours"]
        assert sum(ours["stages_s"].values()) == pytest.approx(ours["g_maps"]["wall_s"])
        assert ours["memory"]["imports_gb"] <= ours["memory"]["peak_gb"]


def test_recon_reconstructs_what_it_times(quick):
    report, text = quick
    for case in report["cases"]:
        assert case["ours"]["frames"]["2"]["relative_error"] < 0.1
        if case["peer"] is None:
            assert "pip install" in text
        else:
            assert case["peer"]["frames"]["2"]["relative_error"] < 0.1


@pytest.mark.parametrize(("program", "task", "cases"), [("train_step", "part", 2), ("inference", "series", 1)])
def test_networks_are_timed(program, task, cases, tmp_path):
    """A configuration small enough for a test."""
    config = tmp_path / "tiny.py"
    config.write_text(TINY)
    output = tmp_path / "out.json"
    command = [sys.executable, f"benchmarks/{program}.py", f"--configs={config}", "--threads=1", "--json", str(output)]
    finished = subprocess.run(
        command + (["--parts=forward,gradient"] if cases == 2 else []), cwd=REPOSITORY, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    report = json.loads(output.read_text())
    assert len(report[task]) == cases
    for case in report[task]:
        assert case["parameters"] == report[task][0]["parameters"]
        assert case["wall_s"] > 0
        assert case["gflop_per_s"] == pytest.approx(1e3 * case["tflop"] / case["wall_s"])
    assert "tiny.py" in finished.stdout


def test_products_are_counted():
    image, kernel = jnp.zeros((2, 1, 6, 6, 3)), jnp.zeros((3, 3, 3, 5))
    assert flops.products(lambda a, b: a @ b, jnp.zeros((4, 6)), jnp.zeros((6, 7))) == 2 * 4 * 6 * 7
    assert flops.products(convolution.conv2d, image, kernel) == 2 * 2 * 6 * 6 * 5 * 27
    volume, taps = jnp.zeros((2, 3, 6, 6, 3)), jnp.zeros((3, 3, 3, 3, 5))
    assert flops.products(jax.checkpoint(convolution.conv3d), volume, taps) == 2 * 2 * 3 * 6 * 6 * 5 * 81
    assert flops.products(lambda a: jax.lax.map(lambda row: a @ row, a), jnp.zeros((4, 4))) == 4 * 2 * 16


def test_precision_and_uncertainty_of_a_run(tiny_run, tiny_records, tmp_path):
    _, workdir = tiny_run
    output = tmp_path / "out.json"
    (workdir / "data").symlink_to(tiny_records)
    command = [sys.executable, "benchmarks/precision.py", f"--workdirs={workdir}", "--json", str(output)]
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    (run,) = json.loads(output.read_text())["runs"]
    assert run["cases"] == 1
    assert 1e-5 < run["median_difference"] <= run["largest_difference"] < 0.05
    assert run["gain_bfloat16_db"] == pytest.approx(run["gain_float32_db"], abs=0.1)

    few = ("--series=1", "--size=4,16,16", "--realisations=2", "--truth=4", "--colours", "strongly coloured")
    command = [sys.executable, "benchmarks/uncertainty.py", f"--workdir={workdir}", *few, "--json", str(output)]
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    (row,) = json.loads(output.read_text())["rows"]
    assert row["colour"] == "strongly coloured"
    assert row["mse"] > 0 < row["derivative_error"]
    assert row["sure"] != row["sure_at_equal_power"]
    assert row["standard_error_at_equal_power"] > 0 < row["standard_error"]
    assert "Mean squared error and SURE" in finished.stdout


def test_compilations_that_stand_in_the_file_are_not_done_again(tmp_path):
    """Without the compiler for TPUs, so that a compilation would fail."""
    case = {"config": "configs/hrnet_cnnt.py", "topology": "v5e:4x4", "batch_size": 64}
    libtpu = metadata.version("libtpu") if importlib.util.find_spec("libtpu") else None
    figures = {"jax": jax.__version__, "libtpu": libtpu}
    figures |= {"seconds": 60, "arguments": 2**29, "temporary": 2**30, "flops": 1e12, "collectives": {"all-reduce": 2}}
    output = tmp_path / "out.json"
    output.write_text(json.dumps({"benchmark": "compile", "steps": [case | figures]}))
    command = [sys.executable, "benchmarks/compile.py", "--configs=configs/hrnet_cnnt.py", "--json", str(output)]
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    row = " ".join(finished.stdout.splitlines()[-1].split())
    assert row == "hrnet_cnnt.py v5e:4x4 64 0.500 1.00 1.00 2 all-reduce 60.0"
