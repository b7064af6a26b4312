"""The gallery shows what it says, from records and from the simulator, and refuses what is not there."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from snraware_jax.noise import PRESETS, gallery
from tests.conftest import REPOSITORY


def test_samples_have_the_noise_that_is_shown():
    clean = np.full((400, 16, 20), 30 + 40j, np.complex64)
    g_maps = np.stack([np.full((16, 20), 1 + r / 4, np.float32) for r in range(7)])
    made = gallery.samples(clean, g_maps, 1.0, PRESETS["paper"], seed=0)
    assert [float(one.choices.sigma) for one in made] == list(gallery.SIGMAS)
    for one in made:
        noise = one.noisy - one.clean
        np.testing.assert_allclose(noise.real.std(axis=0) / one.sd, 1, atol=5 / np.sqrt(800))
        np.testing.assert_allclose(one.snr, np.median(np.abs(one.clean[0]) / one.sd), rtol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_picture_of_records(tiny_records, tmp_path, preset):
    finished = run(f"--data={tiny_records}", "--series=2", f"--preset={preset}", f"--output={tmp_path / 'x.png'}")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("gallery: SNR ")
    with Image.open(tmp_path / "x.png") as made:
        assert min(made.size) > 500


@pytest.mark.parametrize(
    ("flag", "message"), [("--data=nowhere", "nowhere: no such folder"), ("--series=99", "16 series, 0 to 15")]
)
def test_what_is_not_there_is_refused(tiny_records, tmp_path, flag, message):
    finished = run(f"--data={tiny_records}", f"--output={tmp_path / 'x.png'}", flag)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert not list(tmp_path.iterdir())


def run(*flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snraware_jax.noise.gallery", *flags]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
