"""The bank's filters: they keep constants, lower noise as binomials do, and the network only chooses among them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snraware_jax.models.filter_bank import (
    FILTERS,
    FilterBank,
    filters_and_features,
    spatial_binomial,
    temporal_binomials,
)

SIZES = [(1, 1, 1), (1, 5, 4), (9, 4, 7)]


class Says(nnx.Module):
    """Stands for the network: the same steering everywhere."""

    def __init__(self, steering):
        self.steering = tuple(steering)

    def __call__(self, x, key=None):
        return jnp.broadcast_to(jnp.array(self.steering), (*x.shape[:-1], FILTERS + 2))


def image(size, seed=0):
    return jax.random.normal(jax.random.key(seed), (2, *size, 2))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_constant_stays_whatever_the_weights(size):
    x = jnp.broadcast_to(jnp.array([3.0, -4.0, 1.5]), (1, *size, 3))
    logits = np.linspace(-1, 1, FILTERS)
    output = FilterBank(lambda inputs, outputs: Says([*logits, 0, 0]))(x)
    np.testing.assert_allclose(output, x[..., :2], rtol=1e-5)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_features_are_finite_where_g_and_image_are_zero(size):
    features = lambda y: jnp.sum(filters_and_features(y, jnp.zeros((1, *size, 1)))[1])
    value, gradient = jax.value_and_grad(features)(jnp.zeros((1, *size, 2)))
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_numbers_of_channels():
    filtered, features = filters_and_features(image((3, 4, 5)), jnp.ones((2, 3, 4, 5, 1)))
    assert filtered.shape == (FILTERS, 2, 3, 4, 5, 2)
    assert features.shape == (2, 3, 4, 5, 8)


@pytest.mark.parametrize("chosen", range(FILTERS))
def test_a_certain_network_selects_one_filter(chosen):
    y = image((4, 5, 6))
    logits = np.where(np.arange(FILTERS) == chosen, 40.0, 0.0)
    output = FilterBank(lambda inputs, outputs: Says([*logits, 0.5, 0]))(jnp.concatenate([y, jnp.ones_like(y[..., :1])], -1))
    expected = filters_and_features(y, jnp.ones_like(y[..., :1]))[0][chosen]
    np.testing.assert_allclose(output, expected + jnp.array([0.5, 0]), atol=1e-5)


def test_binomials_lower_white_noise_by_their_power():
    """The noise SD after (1 2 1)/4 applied n times is sqrt(C(4n, 2n)) / 4^n."""
    y = image((40, 40, 40))
    once, thrice = temporal_binomials(y, (1, 3))
    inside = (slice(None), slice(6, -6), slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(np.std(once[inside]), np.sqrt(6 / 16), rtol=0.02)
    np.testing.assert_allclose(np.std(thrice[inside]), np.sqrt(924 / 4096), rtol=0.02)
    np.testing.assert_allclose(np.std(spatial_binomial(y)[inside]), 6 / 16, rtol=0.02)


def test_temporal_powers_are_repetitions():
    y = image((5, 2, 2))
    thrice = y
    for _ in range(3):
        thrice = temporal_binomials(thrice, (1,))[0]
    np.testing.assert_allclose(temporal_binomials(y, (3,))[0], thrice, atol=1e-6)
