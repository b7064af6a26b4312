"""Fixed test cases: clean series with noise of stated levels, the same in every run."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from snraware_jax.evaluation.in_distribution import Case
from snraware_jax.noise import NoiseSettings, pairs, sample_key
from snraware_jax.noise.pairs import realise
from snraware_jax.noise.sampling import Draw, draw
from snraware_jax.noise.synthesis import noise_scale

# an epoch that training never reaches: the noise of the tests is its own
TEST_EPOCH = 2**31 - 1


class Clean(Protocol):
    """What a test case is made from; training records have these fields."""

    @property
    def sample_id(self) -> int: ...
    @property
    def image(self) -> np.ndarray: ...
    @property
    def gmaps(self) -> np.ndarray: ...
    @property
    def native_noise(self) -> float: ...


def noisy_cases(
    series: Sequence[Clean], peak_snr: Sequence[float], noise: NoiseSettings, magnitude: bool = False
) -> list[Case]:
    """Every series at every noise level: sigma is set so that max |clean| / noise SD before the g-map is the level.

    Filters and g-map are drawn as in training, from the sample id; a series whose own noise is above the level is left out.
    `magnitude` makes cases without phase, of the same noise.
    """
    cases = []
    for one in series:
        for level in peak_snr:
            drawn = _drawn(one, level, noise)
            if drawn is not None:
                cases.append(_case(one, drawn, noise, magnitude)._replace(peak_snr=level))
    return cases


def cases_as_in_training(series: Sequence[Clean], noise: NoiseSettings, draws: int = 1) -> list[Case]:
    """Every series `draws` times with noise whose level is drawn too, from (number of the draw, sample id): the paper's test set."""
    cases = []
    for seed in range(draws):
        for one in series:
            of_choices, of_noise = jax.random.split(sample_key(seed, TEST_EPOCH, one.sample_id))
            cases.append(_case(one, (of_noise, _draw(of_choices, noise, one.gmaps.shape[0])), noise))
    return cases


def cases_at_input_snr(series: Sequence[Clean], levels: Sequence[float], noise: NoiseSettings) -> list[tuple[float, Case]]:
    """Every series at every input SNR, mean |clean| over the noise SD before the g-map: (level, case), levels in order."""
    found = []
    for level in levels:
        for one in series:
            peak = level * np.abs(one.image).max() / np.abs(one.image).mean()
            found += [(level, case) for case in noisy_cases([one], (float(peak),), noise)]
    return found


def _case(one: Clean, drawn: tuple[Array, Draw], noise: NoiseSettings, magnitude: bool = False) -> Case:
    pair = _realise(drawn[0], one.image, one.gmaps, drawn[1], noise, one.native_noise)
    pair = pairs.magnitude(pair) if magnitude else pair
    clean, noisy, g_map = (np.asarray(array) for array in (pair.target, pair.noisy, pair.g_map))
    sigma = float(noise_scale(pair.sigma, one.native_noise))
    return Case(f"series {one.sample_id}", clean, noisy, g_map, float(np.abs(clean).max()), sigma)


_realise = jax.jit(realise, static_argnums=4)
_draw = jax.jit(draw, static_argnums=(1, 2))


def noise_of(one: Clean, level: float, noise: NoiseSettings) -> Partial:
    """Other realisations of the noise that `noisy_cases` gives a series at a level: key -> `[T, H, W]` complex64.

    What it is of are arguments of a compiled program: series of one size share it.

    Raises:
      ValueError: if the series has noise of its own, of which there is one realisation only, or more of it than the level allows.
    """
    drawn = _drawn(one, level, noise)
    if one.native_noise or drawn is None:
        raise ValueError(f"series {one.sample_id} has noise of its own ({one.native_noise:g}): its truth is not known")
    _, choices = drawn
    return Partial(_noise_under(noise), jnp.zeros(one.image.shape, jnp.complex64), jnp.asarray(one.gmaps), choices)


@cache
def _noise_under(noise: NoiseSettings) -> Callable[[Array, Array, Draw, Array], Array]:
    return lambda nothing, gmaps, choices, key: realise(key, nothing, gmaps, choices, noise, 0.0).noisy


def _drawn(one: Clean, level: float, noise: NoiseSettings) -> tuple[Array, Draw] | None:
    """Key of the noise of a series, and what was drawn with the sigma of a level; None if its own noise is above the level."""
    variance = (np.abs(one.image).max() / level) ** 2 - one.native_noise**2
    if variance <= 0:
        return None
    of_choices, of_noise = jax.random.split(sample_key(0, TEST_EPOCH, one.sample_id))
    choices = _draw(of_choices, noise, one.gmaps.shape[0])
    return of_noise, choices._replace(sigma=jnp.float32(np.sqrt(variance)))
