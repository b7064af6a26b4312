"""Fixtures shared by all tests."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# the suite runs in two processes on two cores: one thread pool each
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# most of the suite's time is LLVM's, on tiny tensors; .ci/run trains with what users have
if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()

# what one process of the suite compiled the others read: both workers, and the programs that tests start
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="compiled-")  # of the process that starts the workers, who inherit this:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of goldens and real scans beside the checkout; it is not part of the repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the goldens and scans of {folder}, which are not part of the repository")
    return folder


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory) -> Path:
    """A folder of small records, twelve to train on and two each to validate and test."""
    from tests.tiny import write_records

    folder = tmp_path_factory.mktemp("records")
    write_records(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Configuration and folder of a run whose best parameters are those that it began with."""
    from configs import hrnet_cnnt
    from snraware_jax.training import checkpoint, configuration
    from snraware_jax.training.run import assemble

    workdir = tmp_path_factory.mktemp("run")
    config = hrnet_cnnt.get_config("quick")
    config.model.update(channels=4, heads=2, cells="T1", levels=1)
    config.data.patch = (4, 16, 16)
    config.evaluation.update(tile=(4, 16, 16), overlap=(0, 4, 4), series=1, peak_snr=(8.0,))
    configuration.keep(config, workdir)
    checkpoint.save(workdir / "best", 3, assemble(config, 1).initial_state().ema)
    return config, workdir


@pytest.fixture(scope="session")
def scan_case():
    """A small cine at R = 2 with its truth, labels and noise, as a case of the generalisation tests."""
    from data_pipeline import suites
    from tests.tiny import SCAN

    return suites.make("small", 0, SCAN)


@pytest.fixture(scope="session")
def launch():
    """Runs a program of launch/ as a user does: `launch("train", *flags, devices=1)` -> the running process."""

    def start(program: str, *flags: str, devices: int = 1) -> subprocess.Popen:
        environment = os.environ | {
            "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(REPOSITORY),  # this checkout, whatever the environment has installed
        }
        command = [sys.executable, f"launch/{program}.py", *flags]
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return start
