"""Properties of layers that no golden states: initial values, norms, stochastic depth, resampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snraware_jax.models.layers import (
    ChannelNorm,
    Conv,
    LayerNorm,
    PReLU,
    double,
    pixel_shuffle,
    pixel_unshuffle,
    split_keys,
    stochastic_depth,
)


@pytest.mark.parametrize("taps", [(3, 3), (3, 1, 1), (1, 1)])
def test_initial_weights_are_uniform_with_the_fan_in(taps):
    conv = Conv(25, 40, taps, rngs=nnx.Rngs(0))
    bound = 1 / np.sqrt(25 * np.prod(taps))
    for values in (conv.kernel[...], conv.bias[...]):
        assert np.max(np.abs(values)) <= bound
        np.testing.assert_allclose(np.std(values), bound / np.sqrt(3), rtol=0.25)


def test_prelu_has_one_slope_of_a_quarter():
    np.testing.assert_allclose(PReLU()(jnp.array([-2.0, 0.0, 2.0])), [-0.5, 0, 2])


def test_layer_norm_refuses_another_size():
    with pytest.raises(ValueError, match="built for"):
        LayerNorm((4, 4, 2))(jnp.zeros((1, 1, 4, 6, 2)))


def test_channel_norm_standardises_every_voxel_at_any_size():
    norm = ChannelNorm(6)
    for size in ((4, 4), (5, 7)):
        x = 3 + 2 * jax.random.normal(jax.random.key(0), (1, 2, *size, 6))
        y = norm(x)
        np.testing.assert_allclose(np.mean(y, axis=-1), 0, atol=1e-5)
        np.testing.assert_allclose(np.std(y, axis=-1), 1, atol=1e-3)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    samples, rate = 4000, 0.1
    out = stochastic_depth(jnp.ones((samples, 2, 3)), rate, jax.random.split(jax.random.key(0), samples))
    per_sample = out.reshape(samples, -1)
    np.testing.assert_array_equal(per_sample, per_sample[:, :1] * np.ones(6))
    np.testing.assert_allclose(np.unique(per_sample), [0, 1 / 0.9], rtol=1e-6)
    standard_error = np.sqrt(rate / (1 - rate) / samples)
    assert abs(np.mean(per_sample) - 1) < 5 * standard_error


def test_inference_drops_nothing():
    assert split_keys(None, 2) == [None, None]
    np.testing.assert_array_equal(stochastic_depth(jnp.ones((4, 2)), 0.9, None), 1)


def test_pixel_shuffle_inverts_unshuffle():
    x = jnp.arange(2 * 3 * 4 * 6 * 5.0).reshape(2, 3, 4, 6, 5)
    np.testing.assert_array_equal(pixel_shuffle(pixel_unshuffle(x)), x)


def test_unshuffle_refuses_odd_sizes():
    with pytest.raises(ValueError, match="halves"):
        pixel_unshuffle(jnp.zeros((1, 1, 3, 4, 1)))


def test_doubling_keeps_a_ramp_inside():
    y = double(jnp.arange(6.0)[None], -1)[0]
    np.testing.assert_allclose(y[1:-1], (np.arange(12) - 0.5)[1:-1] / 2, atol=1e-6)
