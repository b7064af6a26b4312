"""Batches: what is reconstructed together, or on several devices, is what is reconstructed alone."""

import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest

from snraware_jax.recon import batch, chain
from snraware_jax.recon.inputs import prepare
from tests.conftest import REPOSITORY
from tests.recon.phantom import make_scan, replace

pytestmark = pytest.mark.xdist_group("batch")


def five_scans():
    """Of two geometries, which differ in their calibration lines and frames."""
    return [make_scan(seed, frames=1) for seed in range(3)] + [make_scan(seed, calibration_lines=20) for seed in (3, 4)]


@pytest.fixture(scope="module")
def alone():
    return [chain.reconstruct(scan, (2,)) for scan in five_scans()]


def assert_equal(found, expected, tolerance):
    assert len(found) == len(expected)
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.metadata["noise_condition"] == other.metadata["noise_condition"]
        for name in ("image", "g_map", "g_maps"):
            difference = np.linalg.norm(getattr(one, name) - getattr(other, name)) / np.linalg.norm(getattr(other, name))
            assert difference < tolerance, f"{name} of series {i}"


@pytest.mark.parametrize("size", [1, 2, 4])
def test_scans_together_are_what_they_are_alone(alone, size, monkeypatch):
    asked = []
    monkeypatch.setattr(batch, "size_that_fits", lambda *of_one: asked.append(of_one) or size)
    # a batch of another size adds complex64 numbers in another order, and the normal equations amplify what that rounds off
    assert_equal(list(chain.reconstruct_all(five_scans(), (2,))), alone, 1e-6 if size == 1 else 3e-5)
    assert len(asked) == 2  # once for each geometry


def test_scans_are_drawn_as_they_are_needed(monkeypatch):
    monkeypatch.setattr(batch, "size_that_fits", lambda *of_one: 2)
    drawn = []

    def scans():
        for scan in five_scans()[:3]:
            drawn.append(scan)
            yield scan

    series = chain.reconstruct_all(scans(), (2,))
    assert not drawn
    next(series)
    assert len(drawn) == 2


def test_the_right_scan_is_named_when_one_of_many_cannot_be_used():
    good = make_scan(frames=1)
    bad = replace(good, name="bad one", noise=good.noise[:, :79])
    series = chain.reconstruct_all([good, bad], (2,))
    next(series)
    with pytest.raises(ValueError, match="^bad one: 79 noise samples"):
        next(series)


ON_DEVICES = """
import sys
import jax, numpy as np
from snraware_jax.recon import chain
from tests.recon.test_batch import five_scans
made = list(chain.reconstruct_all(five_scans(), (2,)))
plan = chain.calibrate(five_scans()[0], (2,))
arrays = {f"{name}-{i}": getattr(one, name) for i, one in enumerate(made) for name in ("image", "g_map", "g_maps")}
np.savez(sys.argv[1], devices=jax.local_device_count(), plan=plan.unmixing, **arrays)
"""


def test_eight_devices_make_what_one_makes(alone, tmp_path):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-W", "error", "-c", ON_DEVICES, str(tmp_path / "made.npz")]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "made.npz") as made:
        assert made["devices"] == 8
        for i, one in enumerate(alone):
            for name in ("image", "g_map", "g_maps"):
                wanted = getattr(one, name)
                np.testing.assert_allclose(made[f"{name}-{i}"], wanted, atol=1e-5 * np.abs(wanted).max())
        unmixing = np.asarray(chain.calibrate(five_scans()[0], (2,)).unmixing)
        np.testing.assert_allclose(made["plan"], unmixing, atol=1e-5 * np.abs(unmixing).max())


def test_a_batch_fits_the_device_and_this_computer():
    devices = jax.local_device_count()
    size = lambda one, host=1, memory=1000: batch.size_that_fits(lambda: one, host, memory)
    assert size(100) == 5 * devices  # half of the memory is planned
    assert size(10_000) == devices  # one at least
    assert size(1) == batch.MOST * devices
    everything = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // devices
    assert size(1, host=everything) == devices
    assert size(1, host=everything // 20) == 10 * devices


def test_a_cpu_takes_one_series_a_device_and_compiles_nothing_to_know():
    def never():
        raise AssertionError("asked for the memory of a series")

    assert batch.size_that_fits(never, 1) == jax.local_device_count()


def test_the_memory_of_a_series_grows_with_its_coils():
    def bytes_of(coils):
        scan = make_scan(frames=1, calibration_lines=20)
        few = replace(scan, noise=scan.noise[:coils], kspace=scan.kspace[:, :coils], calibration=scan.calibration[:coils])
        return chain._bytes_of_one(prepare(few, (2,)).geometry)

    of_four, of_eight = bytes_of(4), bytes_of(8)
    arrays = 8 * 2 * 8 * 48 * 40  # coil maps and unmixing of eight coils
    assert arrays < of_eight < 100 * arrays
    assert 1.3 < of_eight / of_four < 4


def test_a_short_batch_is_filled_with_its_last():
    items = [np.full((2, 3), i) for i in range(3)]
    np.testing.assert_array_equal(batch.together(items, 5)[:, 0, 0], [0, 1, 2, 2, 2])
    np.testing.assert_array_equal(batch.together(items, 3)[:, 0, 0], [0, 1, 2])


def test_a_function_of_one_becomes_one_of_a_batch():
    weighted = batch.over_devices(partial(lambda a, b, factor: (factor * a + b, b), factor=3))
    a, b = np.arange(12.0, dtype=np.float32).reshape(4, 3), np.ones((4, 3), np.float32)
    total, second = weighted(a, b)
    np.testing.assert_allclose(total, 3 * a + 1)
    np.testing.assert_allclose(second, b)
