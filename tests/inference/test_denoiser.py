"""A trained network on its devices: memory that does not suffice, tiles that devices share, one compilation."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.inference import bundle, denoiser
from snraware_jax.models import ModelSettings, build
from tests.conftest import REPOSITORY

SETTINGS = ModelSettings(cells="C3", levels=1, channels=2, norm="channel", patch=(2, 8, 8))
TILED = {"tile": (2, 8, 8), "overlap": (1, 2, 2)}


@pytest.fixture(scope="module")
def network():
    return nnx.split(build(SETTINGS))


def series(shape=(3, 17, 13)):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(*shape, 2)) @ [1, 1j]).astype(np.complex64), rng.uniform(1, 2, shape[1:]).astype(np.float32)


def test_a_batch_that_does_not_fit_the_memory_is_halved_and_said(network, monkeypatch):
    expected = denoiser.make_denoiser(*network, **TILED, batch=1)(*series())
    needed = denoiser.compile_tiles(*network, TILED["tile"], 4, jax.devices()).bytes
    monkeypatch.setattr(denoiser, "_free", lambda device: needed)
    denoise = denoiser.make_denoiser(*network, **TILED, batch=8)
    with pytest.warns(UserWarning, match=r"8 tiles of 2 x 8 x 8 need .* GB, .* are free; going on with 4 tiles at a time"):
        result = denoise(*series())
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


def test_a_batch_on_which_memory_runs_out_is_halved_and_said(network, monkeypatch):
    real, tried = denoiser.compile_tiles, []

    def scarce(graphdef, params, tile, batch, devices):
        program = real(graphdef, params, tile, batch, devices)
        tried.append(batch)

        def apply(x):
            if batch > enough:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
            return program.apply(x)

        return program._replace(apply=apply)

    monkeypatch.setattr(denoiser, "compile_tiles", scarce)
    denoise, enough = denoiser.make_denoiser(*network, **TILED, batch=4), 2
    with pytest.warns(UserWarning, match="out of memory with 4 tiles; going on with 2 tiles at a time"):
        first = denoise(*series())
    np.testing.assert_array_equal(denoise(*series()), first)
    assert tried == [4, 2], "one compilation a batch"
    enough = 0
    with pytest.warns(UserWarning, match="going on with 1 tile at a time"), pytest.raises(InputError, match="smaller --tile"):
        denoise(*series())


def test_devices_share_the_tiles():
    """On three devices, the last batch filled up: as on one."""
    code = """
import jax, numpy as np
from flax import nnx
from snraware_jax.inference import denoiser
from snraware_jax.models import build
from tests.inference.test_denoiser import SETTINGS, TILED, series
network = nnx.split(build(SETTINGS))
one, three = (denoiser.make_denoiser(*network, **TILED, batch=8, devices=jax.devices()[:n])(*series()) for n in (1, 3))
assert denoiser.compile_tiles(*network, TILED["tile"], 8, jax.devices()).batch == 6
print(len(jax.devices()), float(np.abs(one - three).max() / np.abs(one).max()))
"""
    environment = os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=3"}
    environment["PYTHONPATH"] = str(REPOSITORY)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    devices, difference = done.stdout.split()
    assert devices == "3"
    assert float(difference) < 1e-5


def test_a_single_frame_goes_through_a_tile_of_one_frame(tmp_path):
    """And gives what the tile of many gives, which sees that frame over and over."""
    path = tmp_path / "model.snr"
    bundle.save(path, SETTINGS, build(SETTINGS), {}, bundle.Tiling((4, 8, 8), (2, 2, 2)))
    found = denoiser.load(path)
    image, g_map = series((1, 17, 13))
    graphdef, state = nnx.split(found.bundle.network)
    long = denoiser.make_denoiser(graphdef, nnx.to_pure_dict(state), tile=(4, 8, 8), overlap=(2, 2, 2))
    expected = long(image, g_map)
    np.testing.assert_allclose(found(image, g_map), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(jax.jit(found.whole)(image, g_map), expected, atol=1e-5 * np.abs(expected).max())
