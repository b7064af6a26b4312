"""Baselines by name: what is refused before any work, and what each is told of a case."""

import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.evaluation import baselines, others
from snraware_jax.evaluation.cases import noise_of, noisy_cases
from snraware_jax.evaluation.in_distribution import evaluate
from snraware_jax.noise import NoiseSettings
from tests.evaluation.linear import SERIES

COLOURED = NoiseSettings()
LEVELS = (4.0, 16.0)


@pytest.fixture(scope="module")
def cases():
    return noisy_cases([SERIES], LEVELS, COLOURED)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nlm", "bm3d"], "--others=nlm,bm3d: no baseline is called 'bm3d'; there are tv, nlm, mp_pca, local_pca, bm4d"),
        (["nlm", "nlm"], "nlm is named twice"),
        (["nlm", "mp_pca"], "mp_pca needs the package dipy: pip install"),
        (["bm4d"], "bm4d needs the package bm4d: pip install bm4d"),
    ],
)
def test_refused_before_any_work(names, message, monkeypatch):
    for module in ("dipy", "dipy.denoise.localpca", "bm4d"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(InputError, match=message):
        others.check(names)


def test_non_local_means_has_the_best_strength_of_each_level(cases, monkeypatch, capsys):
    monkeypatch.setattr(others, "best_strength", lambda denoise, strengths, of, label: of[0].peak_snr / 10)
    monkeypatch.setattr(others, "nlm3d", lambda y, g, strength: y * strength)
    rows, outputs = evaluate(lambda y, g: y, cases, baselines=False, others=others.methods(["nlm"], [SERIES], cases, COLOURED))
    assert [row.method for row in rows] == ["network", "NLM-3D"] * 2
    for case, output in zip(cases, outputs, strict=True):
        np.testing.assert_allclose(output["NLM-3D"], case.noisy * case.peak_snr / 10, rtol=1e-6)


def test_bm4d_has_the_psd_of_the_noise(cases, monkeypatch):
    """The PSD that it is given whitens other noise of the same case."""
    monkeypatch.setitem(sys.modules, "bm4d", SimpleNamespace(bm4d=None))
    monkeypatch.setattr(baselines, "require_blocks", lambda y: None)
    monkeypatch.setattr(baselines, "bm4d", lambda y, g, psd: psd)
    method = others.methods(["bm4d"], [SERIES], cases, COLOURED)["BM4D"]
    np.testing.assert_array_equal(method(cases[0]), method(cases[1]))  # relative to the SD, noise of every level is the same
    draw = jax.jit(noise_of(SERIES, LEVELS[0], COLOURED))
    more = [np.asarray(draw(key)) / cases[0].g_map for key in jax.random.split(jax.random.key(7), 40)]
    power = np.mean([np.abs(np.fft.fftn(noise.real)) ** 2 for noise in more], axis=0).mean(axis=0)
    passed = power > 1e-3 * power.mean()  # the rest, which the filters stop, is rounding
    whitened = power[passed] / method(cases[0])[0][passed]
    np.testing.assert_allclose(whitened, 1, atol=0.6)
    assert np.mean(whitened) == pytest.approx(1, abs=0.05)
    assert power.max() > 3 * power.mean()


def test_a_psd_that_is_not_known_is_refused(cases, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm4d", SimpleNamespace(bm4d=None))
    with pytest.raises(InputError, match=r"series 5 has noise of its own \(SD 1\), whose PSD is not known"):
        others.methods(["bm4d"], [SERIES._replace(sample_id=5, native_noise=1.0)], cases, COLOURED)
    with pytest.raises(InputError, match="noise of magnitudes"):
        others.methods(["bm4d"], [SERIES], cases, COLOURED, magnitude=True)


def test_a_single_frame_is_refused_for_pca_before_anything_runs(cases, monkeypatch):
    monkeypatch.setitem(sys.modules, "dipy.denoise.localpca", SimpleNamespace())
    single = [case._replace(noisy=case.noisy[:1], clean=case.clean[:1]) for case in cases]
    with pytest.raises(InputError, match="single frame"):
        others.methods(["mp_pca"], [SERIES], single, COLOURED)
