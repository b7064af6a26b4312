"""The benchmarks run, and their figures hang together."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
