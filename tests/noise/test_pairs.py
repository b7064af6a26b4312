"""Pairs keep signal and noise level, depend on their key alone, and are refused where they would be nonsense."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.noise import PRESETS, NoiseSettings, make_pair, sample_key
from snraware_jax.noise.pairs import magnitude
from tests.conftest import REPOSITORY

FIVE = NoiseSettings(sigma_min=5.0, sigma_max=5.0, order="filter_then_g", g_maps="ones")


def test_unit_noise_and_equal_signal():
    clean = np.full((256, 16, 16), 40 + 9j, np.complex64)
    pair = make_pair(sample_key(0, 0, 7), clean, np.full((7, 16, 16), 3.0, np.float32), FIVE)
    assert pair.sigma == 5
    np.testing.assert_array_equal(pair.g_map, 1)
    np.testing.assert_allclose(pair.target, clean / np.sqrt(26), rtol=1e-6)
    # the clean series' own unit noise is not part of this difference: 5 / sqrt(26)
    np.testing.assert_allclose(np.std((pair.noisy - pair.target).real), 5 / np.sqrt(26), rtol=0.02)


def test_truth_without_noise_gives_exactly_unit_noise():
    clean = np.zeros((256, 16, 16), np.complex64)
    pair = make_pair(sample_key(0, 0, 7), clean, np.ones((7, 16, 16), np.float32), FIVE, native_noise=0.0)
    np.testing.assert_allclose(np.std(np.asarray(pair.noisy).imag), 1, rtol=0.02)


def test_no_noise_at_all_stays_finite():
    settings = NoiseSettings(sigma_min=0.0, sigma_max=0.0)
    pair = make_pair(
        sample_key(0, 0, 1), np.ones((2, 8, 8), np.complex64), np.ones((7, 8, 8), np.float32), settings, native_noise=0.0
    )
    assert np.isfinite(pair.noisy).all()
    assert np.isfinite(pair.target).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_patch_gets_its_part_of_the_g_map(preset):
    settings = PRESETS[preset]
    maps = np.float32(np.arange(1, 4)[:, None, None] * (1 + np.arange(40 * 40).reshape(40, 40) / 1600))
    margin = settings.g_margin
    patch = maps[:, 10 - margin : 22 + margin, 9 - margin : 19 + margin]
    found = set()
    for sample in range(24):
        key = sample_key(0, 0, sample)
        pair = make_pair(key, np.zeros((2, 12, 10), np.complex64), patch, settings, 1.0, (2, 40, 40))
        assert pair.noisy.shape == (2, 12, 10)
        which = round(float(pair.g_map[0, 0] / maps[0, 10, 9]))
        expected = maps[which - 1, 10:22, 9:19] if np.ptp(pair.g_map) else np.ones((12, 10))
        np.testing.assert_array_equal(pair.g_map, expected)
        found.add(which if np.ptp(pair.g_map) else 0)
    assert found == ({1, 2, 3} if preset == "paper" else {0, 1, 2, 3})


def test_volumes():
    clean = np.zeros((6, 8, 10), np.complex64)
    pair = make_pair(sample_key(0, 0, 0), clean, np.ones((2, 6, 8, 10), np.float32), NoiseSettings(taper_samples=2))
    assert pair.g_map.shape == pair.noisy.shape == clean.shape
    image = make_pair(sample_key(0, 0, 0), clean[:1], np.ones((2, 8, 10), np.float32), NoiseSettings(taper_samples=2))
    assert image.noisy.shape == (1, 8, 10)


def test_magnitudes():
    clean = np.full((2, 8, 8), 3 + 4j, np.complex64)
    pair = make_pair(sample_key(0, 0, 0), clean, np.ones((1, 8, 8), np.float32), FIVE)
    without_phase = magnitude(pair)
    np.testing.assert_allclose(without_phase.target, np.full((2, 8, 8), 5 / np.sqrt(26)), rtol=1e-6)
    np.testing.assert_allclose(without_phase.noisy, np.abs(pair.noisy), rtol=1e-6)
    np.testing.assert_array_equal(without_phase.noisy.imag, 0)


def test_noise_depends_on_seed_epoch_and_id_alone():
    settings = NoiseSettings()
    clean, maps = np.zeros((2, 8, 8), np.complex64), np.ones((7, 8, 8), np.float32)
    make = jax.jit(lambda seed, epoch, sample: make_pair(sample_key(seed, epoch, sample), clean, maps, settings).noisy)
    reference = make(0, 0, 0)
    np.testing.assert_array_equal(make(0, 0, 0), reference)
    for other in [(1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        assert not np.allclose(make(*other), reference)
    in_batch = jax.vmap(make, (None, None, 0))(0, 0, jnp.arange(3))
    np.testing.assert_allclose(in_batch[0], reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_one_compilation_makes_every_choice(preset):
    settings, margin = PRESETS[preset], PRESETS[preset].g_margin
    clean, maps = np.zeros((2, 8, 8), np.complex64), np.ones((7, 8 + 2 * margin, 8 + 2 * margin), np.float32)
    make = jax.jit(lambda key, size: make_pair(key, clean, maps, settings, 1.0, size))
    text = make.lower(sample_key(0, 0, 0), jnp.array([4, 40, 30])).compile().as_text()
    assert "callback" not in text
    for sample in range(20):
        make(sample_key(0, 0, sample), jnp.array([4, 40 + sample, 30]))
    assert make._cache_size() == 1


ON_DEVICES = """
import sys, jax, numpy as np
from snraware_jax.noise import NoiseSettings
from snraware_jax.training import mesh
from snraware_jax.training.step import noisy_pairs
assert jax.device_count() == int(sys.argv[1])
noise = NoiseSettings()
edge = 8 + 2 * noise.g_margin
batch = {"image": np.zeros((8, 2, 8, 8), np.complex64), "gmaps": np.full((8, 7, edge, edge), 2, np.float32),
         "size": np.tile(np.int32([2, 40, 30]), (8, 1)), "native_noise": np.zeros(8, np.float32),
         "sample_id": np.arange(8, dtype=np.int32), "epoch": np.full(8, 3, np.int32)}
devices = mesh.make_mesh()
batch = mesh.global_batch(batch, devices)
make = jax.jit(lambda batch: noisy_pairs(batch, noise, 5, devices))
text = make.lower(batch).compile().as_text()
assert not any(word in text for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute")), "samples are made apart"
made = make(batch)
assert len(made.noisy.sharding.device_set) == int(sys.argv[1])
np.save(sys.argv[2], np.asarray(made.noisy))
"""


def test_one_and_eight_devices_make_the_same_noise(tmp_path):
    found = []
    for devices in (1, 8):
        environment = {
            "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": ".",
        }
        command = [sys.executable, "-c", ON_DEVICES, str(devices), str(tmp_path / f"{devices}.npy")]
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=True)
        found.append(np.load(tmp_path / f"{devices}.npy"))
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    assert np.std(found[0]) > 0.5


@pytest.mark.parametrize(
    ("clean", "maps", "message"),
    [
        (np.zeros((2, 8, 8)), np.ones((7, 8, 9)), r"g-map is \(8, 9\): noise of \(2, 8, 8\) needs \(8, 8\)"),
        (np.zeros((8, 8)), np.ones((7, 8, 8)), "need"),
        (np.zeros((2, 8, 8)), np.ones((8, 8)), "need"),
        (np.zeros((2, 8, 8)), np.ones((0, 8, 8)), "need"),
        (np.full((2, 8, 8), np.nan), np.ones((7, 8, 8)), "clean series: 128 values are NaN or Inf"),
        (np.zeros((2, 8, 8)), np.full((7, 8, 8), np.inf), "g-maps: 448 values are NaN or Inf"),
        (np.zeros((2, 8, 8)), np.zeros((7, 8, 8)), "g-maps: 448 values are 0 or below"),
        (np.zeros((2, 8, 8)), -np.ones((7, 8, 8)), "0 or below"),
    ],
)
def test_bad_arrays_are_refused(clean, maps, message):
    with pytest.raises(ValueError, match=message):
        make_pair(sample_key(0, 0, 0), clean.astype(np.complex64), maps.astype(np.float32), NoiseSettings())


@pytest.mark.parametrize(
    ("size", "native_noise", "message"),
    [
        ((8, 8), 1.0, "size is"),
        ((1, 0, 8), 1.0, "size is"),
        ((0, 8, 8), 1.0, "size is"),
        ((1, float("nan"), 8), 1.0, "size is"),
        ((1, 4096, 8), 1.0, "up to 2048"),
        (None, float("nan"), "native_noise is nan"),
        (None, -1.0, "native_noise is -1"),
    ],
)
def test_bad_sizes_and_noise_levels_are_refused(size, native_noise, message):
    clean, maps = np.zeros((1, 8, 8), np.complex64), np.ones((7, 8, 8), np.float32)
    with pytest.raises(ValueError, match=message):
        make_pair(sample_key(0, 0, 0), clean, maps, NoiseSettings(order="filter_then_g"), native_noise, size)
