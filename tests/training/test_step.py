"""A step with gradients that are not finite changes nothing but the count of skipped steps."""

import jax
import numpy as np
import pytest

from configs import base
from snraware_jax.training import mesh
from snraware_jax.training.run import assemble
from snraware_jax.training.step import first_part, split


def tiny_config():
    config = base.get_config("quick")
    config.model.update(backbone="stack", channels=4, norm="none")
    config.data.patch = (2, 8, 8)
    return config


@pytest.fixture(scope="module")
def run():
    return assemble(tiny_config(), samples=8)


def batch(run, value: complex):
    image = np.full((8, 2, 8, 8), value, np.complex64)
    fields = {
        "size": np.tile(np.int32([4, 16, 16]), (8, 1)),
        "native_noise": np.zeros(8, np.float32),
        "sample_id": np.arange(8, dtype=np.int32),
        "epoch": np.zeros(8, np.int32),
    }
    edge = 8 + 2 * run.noise.g_margin
    return mesh.global_batch({"image": image, "gmaps": np.ones((8, 7, edge, edge), np.float32), **fields}, run.mesh)


def test_nan_is_skipped_and_counted_and_forgotten(run):
    step = jax.jit(run.train_step)
    start = run.initial_state()
    skipped, figures = step(start, batch(run, complex(np.nan)))
    assert (int(skipped.step), int(skipped.skipped)) == (1, 1)
    assert not np.isfinite(figures["loss"])
    for name in ("params", "optimizer", "ema"):
        jax.tree.map(np.testing.assert_array_equal, getattr(skipped, name), getattr(start, name))

    after, good = step(skipped, batch(run, 20 + 5j))
    _, undisturbed = step(start, batch(run, 20 + 5j))
    assert int(after.skipped) == 0
    assert good["learning_rate"] == undisturbed["learning_rate"] == figures["learning_rate"]
    changed = jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), after.params, start.params))
    assert all(changed)
    assert step._cache_size() == 1


def test_the_average_follows_the_parameters(run):
    step = jax.jit(run.train_step)
    state = run.initial_state()
    previous = state
    for _ in range(3):
        previous, (state, _) = state, step(state, batch(run, 20 + 5j))
    decay = min(0.98, 3 / 12)
    expected = jax.tree.map(lambda slow, new: decay * slow + (1 - decay) * new, previous.ema, state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), state.ema, expected)


@pytest.mark.parametrize("parts", [2, 8])
def test_parts_of_a_batch_make_the_step_of_the_whole(run, parts):
    config = tiny_config()
    config.train.accumulate = parts
    whole, in_parts = (jax.jit(one.train_step) for one in (run, assemble(config, samples=8)))
    batch_of = batch(run, 20 + 5j)
    expected, figures = whole(run.initial_state(), batch_of)
    found, same_figures = in_parts(run.initial_state(), batch_of)
    np.testing.assert_allclose(same_figures["loss"], figures["loss"], rtol=1e-6)
    np.testing.assert_allclose(same_figures["gradient_norm"], figures["gradient_norm"], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-5), found.ema, expected.ema)


def test_parts_take_samples_in_turn():
    pieces = split({"sample_id": np.arange(8)}, 2)["sample_id"]
    np.testing.assert_array_equal(pieces, [[0, 2, 4, 6], [1, 3, 5, 7]])
    np.testing.assert_array_equal(first_part({"sample_id": np.arange(8)}, 2)["sample_id"], pieces[0])
