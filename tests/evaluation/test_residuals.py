"""The bootstrap of residuals: quiet where the noise is as said and nothing else is removed, loud where not."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.evaluation.residuals import compared, moments, residuals
from tests.evaluation.linear import filtered

SHAPE = (6, 16, 15)
G_MAP = jnp.ones(SHAPE[1:])


def white(key):
    parts = jax.random.normal(key, (2, *SHAPE))
    return jax.lax.complex(parts[0], parts[1])


@partial(jax.jit, static_argnums=(0, 3, 5))
def figures(denoise, noisy, g_map, noise, key, copies):
    return residuals(denoise, noisy, g_map, noise, key, copies)


def bootstrap(*given):
    return compared(*figures(*given))


def test_p_values_are_even_where_all_is_as_said():
    """Smooth signals, which the filter keeps: p-values of 60 series are spread over (0, 1)."""
    keys = jax.random.split(jax.random.key(0), (60, 2))
    p_values = np.array([bootstrap(filtered, white(a), G_MAP, white, b, 24).p_values for a, b in keys])
    assert p_values.mean(axis=0) == pytest.approx(0.5, abs=4 * 0.29 / np.sqrt(60))
    assert (p_values < 0.1).mean() < 0.2


def test_structure_that_is_removed_is_found():
    t, y, x = np.indices(SHAPE)
    checks = jnp.asarray(3.0 * (-1.0) ** (t + x + y), jnp.complex64)
    found = bootstrap(filtered, checks + white(jax.random.key(1)), G_MAP, white, jax.random.key(2), 40)
    assert found.p_values[0] == pytest.approx(1 / 41)
    assert found.observed[0] > found.copies[:, 0].max()
    assert found.observed[2] < found.copies[:, 2].min()  # neighbours of opposite sign


def test_noise_of_another_level_is_found():
    noisy = white(jax.random.key(3))
    found = bootstrap(filtered, noisy, G_MAP, lambda key: 0.7 * white(key), jax.random.key(4), 40)
    assert found.p_values[0] == pytest.approx(1 / 41)


def test_residuals_are_divided_by_g():
    g_map = jnp.linspace(1, 3, SHAPE[1] * SHAPE[2]).reshape(SHAPE[1:])
    nothing = jnp.zeros_like
    noisy = g_map * white(jax.random.key(5))
    found = bootstrap(nothing, noisy, g_map, lambda key: g_map * white(key), jax.random.key(6), 8)
    assert found.observed[0] == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(found.observed[1:], 0, atol=0.1)


def test_a_single_frame_has_no_neighbours_in_time():
    assert moments(white(jax.random.key(7))[:1])[1] == 0


def test_no_p_value_without_figures():
    with pytest.raises(InputError, match="g-map has points of 0"):
        bootstrap(filtered, white(jax.random.key(8)), G_MAP.at[2, 3].set(0), white, jax.random.key(9), 4)
