"""A checkpoint that an earlier version wrote is restored, and makes what it made there.

`python -m tests.reliability.test_earlier_versions FOLDER` writes one of the version at hand.
"""

import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from configs import base
from snraware_jax.formats.atomic import write_json
from snraware_jax.training import checkpoint, configuration
from snraware_jax.training.run import assemble
from tests.reliability.faults import Bench
from tests.tiny import write_records

DATA = Path(__file__).with_name("data")
STEPS = 4


def denoised(workdir: Path) -> np.ndarray:
    """What the averaged parameters of a workdir's newest checkpoint make of a fixed image, `[1, T, H, W]`."""
    config = configuration.restore(workdir, base.get_config())
    run = assemble(config, 12, jax.devices()[:1])
    step, state, passed_over = checkpoint.restore(workdir / "checkpoints", run.abstract_state)
    assert (step, int(state.step), passed_over) == (STEPS, STEPS, [])
    t, y, x = (np.arange(size) for size in config.data.patch)
    image = 20 * np.exp(0.3j * t[:, None, None]) * (1 + np.cos(0.5 * y[:, None])) * (1 + np.sin(0.4 * x))
    g_map = 1 + 0.1 * np.cos(y[:, None] + x)
    forward = jax.jit(run.evaluation_step)
    return np.asarray(forward(state.ema, image[None].astype(np.complex64), g_map[None].astype(np.float32)))


@pytest.mark.parametrize("version", sorted(path.name for path in DATA.iterdir()))
def test_restores_and_makes_what_it_made(version, tmp_path):
    workdir = shutil.copytree(DATA / version, tmp_path / "run")
    expected = np.load(workdir / "denoised.npy")
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(denoised(workdir), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def write(folder: Path) -> None:
    """A workdir of `STEPS` steps, with what it makes of the image; the rest of what a training writes is left out."""
    records = folder.with_name("records")
    records.mkdir()
    write_records(records)
    small = ("--config.model.norm=instance2d", "--config.model.mixer_ratio=1.0")
    command = Bench(folder.parent, records).command(folder.name, steps=STEPS, flags=small)
    command.finish()
    np.save(folder / "denoised.npy", denoised(folder))
    values = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", values | {"data.path": ""})
    for path in folder.iterdir():
        if path.name not in ("checkpoints", "config.json", "denoised.npy"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    write(Path(sys.argv[1]).resolve())
