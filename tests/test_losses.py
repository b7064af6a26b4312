"""Losses: the authors' values, finite at zero, and what each one is blind to."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax import losses

WITH_GRADIENT = ["mse", "charbonnier", "perpendicular", "ssim", "gaussian3d"]


def complex_normal(seed, shape=(2, 3, 6, 5)):
    return jax.lax.complex(*jax.random.normal(jax.random.key(seed), (2, *shape)))


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "goldens" / "misc" / "losses.npz") as file:
        return {name: file[name] for name in ("index", "outputs", "targets", *(f"grad/{name}_1" for name in WITH_GRADIENT))}


@pytest.mark.parametrize("name", [*WITH_GRADIENT, "l1"])
def test_values_of_the_authors_code(name, golden):
    entries = json.loads(str(golden["index"]))
    (expected,) = (e["value"] for e in entries if (e["loss"], e.get("complex"), e.get("weights")) == (name, True, "none"))
    output, target = (jax.lax.complex(golden[part][:, 0], golden[part][:, 1]) for part in ("outputs", "targets"))
    np.testing.assert_allclose(losses.LOSSES[name](output, target), expected, rtol=1e-6)


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_gradients_of_the_authors_code(name, golden):
    target = jax.lax.complex(golden["targets"][:, 0], golden["targets"][:, 1])
    loss = lambda channels: losses.LOSSES[name](jax.lax.complex(channels[:, 0], channels[:, 1]), target)
    found, expected = jax.grad(loss)(jnp.asarray(golden["outputs"])), golden[f"grad/{name}_1"]
    # theirs is not smoothed: below |output| = 0.3 the perpendicular loss differs by more than (0.001 / 0.3)^2
    ours_holds = np.hypot(golden["outputs"][:, 0], golden["outputs"][:, 1])[:, None] > 0.3
    tolerance = np.where(ours_holds, 1e-3, 0.05) * np.std(expected)
    assert np.all(np.abs(found - expected) < tolerance)
    assert np.mean(ours_holds) > 0.9


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("zero", ["output", "target", "both"])
def test_finite_at_zero(name, zero):
    images = [
        0 * image if zero in (which, "both") else image
        for which, image in zip(("output", "target"), map(complex_normal, (0, 1)), strict=True)
    ]
    value, gradient = jax.value_and_grad(losses.LOSSES[name])(*images)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", losses.LOSSES)
def test_least_at_the_target(name):
    target = 5 + complex_normal(0)
    at_target = losses.LOSSES[name](target, target)
    assert at_target < 2e-3
    assert losses.LOSSES[name](target + 0.5 * complex_normal(1), target) > at_target + 0.05


def test_perpendicular_sees_angles_only():
    target = 5 + complex_normal(0)
    assert losses.perpendicular(2 * target, target) < 1e-4
    by_angle = [losses.perpendicular(target * np.exp(1j * angle), target) for angle in (0.1, 0.5, 1.5, 2.0, 3.0)]
    assert np.all(np.diff(by_angle) > 0)
    np.testing.assert_allclose(by_angle[1], np.sin(0.5) * np.mean(np.abs(target)), rtol=1e-4)


def test_gradient_sees_neither_phase_nor_offset():
    target = 5 + jnp.abs(complex_normal(0))
    assert losses.gradient((target + 1) * np.exp(0.7j), target + 0j) < 1e-4


@pytest.mark.parametrize(("frames", "expected"), [(1, 2.0), (4, 5.0)], ids=["one-frame", "series"])
def test_gradient_of_a_ramp(frames, expected):
    """Slopes 3, 2, 0 in T, H, W: the loss against a flat image is their sum, without T where there is one frame."""
    t, h, _ = np.mgrid[:frames, :5, :6]
    ramp = (100 + 3 * t + 2 * h)[None].astype(np.complex64)
    np.testing.assert_allclose(losses.gradient(jnp.asarray(ramp), jnp.full(ramp.shape, 9 + 0j)), expected, rtol=1e-4)


def test_weighted_sum():
    output, target = complex_normal(0), complex_normal(1)
    total, terms = losses.weighted_sum({"charbonnier": 2.0, "gradient": 0.5, "l1": 0.0})(output, target, ())
    assert set(terms) == {"charbonnier", "gradient"}
    np.testing.assert_allclose(terms["charbonnier"], losses.charbonnier(output, target))
    np.testing.assert_allclose(total, 2 * terms["charbonnier"] + 0.5 * terms["gradient"], rtol=1e-6)


def test_an_unknown_loss_lists_those_that_exist():
    with pytest.raises(ValueError, match="'huber': choose from charbonnier, perpendicular"):
        losses.weighted_sum({"huber": 1.0})


def test_weights_must_leave_something():
    with pytest.raises(ValueError, match="nothing to minimise"):
        losses.weighted_sum({"l1": 0.0})
