"""The generator is threefry, its numbers are standard normal, and a part of an array is that part of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from snraware_jax.noise.normal import complex_normal, normal, threefry

WORDS = jax.jit(threefry)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers_of_threefry(key, counter, expected):
    """The vectors that its authors publish (Random123, threefry2x32 with 20 rounds)."""
    found = WORDS(*(jnp.uint32(word) for word in (*key, *counter)))
    assert tuple(int(word) for word in found) == expected


def test_numbers_are_standard_normal():
    noise = np.asarray(complex_normal(jax.random.key(0), (1000, 1000)))
    for part in (noise.real, noise.imag):
        assert stats.kstest(part.ravel(), "norm").pvalue > 1e-3
        assert abs(part.mean()) < 4e-3
        np.testing.assert_allclose(part.std(), 1, atol=4 / np.sqrt(2e6))
        # tails: 6.3e-5 of all numbers lie beyond 4
        assert abs((abs(part) > 4).sum() - 63) < 4 * np.sqrt(63)
    assert abs(np.corrcoef(noise.real.ravel(), noise.imag.ravel())[0, 1]) < 4e-3
    for neighbour in (noise[:, 1:] * noise[:, :-1].conj(), noise[1:] * noise[:-1].conj()):
        assert abs(neighbour.mean()) < 4 * 2e-3


def test_extreme_words_stay_finite_and_symmetric():
    ends = np.asarray(normal(jnp.array([0, 2**32 - 1], jnp.uint32)))
    assert np.isfinite(ends).all()
    assert ends[0] == -ends[1] > -5.5
    assert ends[0] < -5


def test_a_part_is_that_of_the_whole():
    key = jax.random.key(3)
    whole = np.asarray(complex_normal(key, (5, 6, 7)))
    np.testing.assert_array_equal(complex_normal(key, (6, 7), first=3 * 42), whole[3])


def test_keys_give_other_numbers():
    draws = [np.asarray(complex_normal(jax.random.key(seed), (64, 64))) for seed in range(8)]
    for i in range(8):
        for j in range(i):
            assert abs(np.vdot(draws[i], draws[j])) / 2 < 5 * 64


def test_too_many_numbers_are_refused():
    with pytest.raises(ValueError, match="2\\^32"):
        complex_normal(jax.random.key(0), (2**16, 2**16))
