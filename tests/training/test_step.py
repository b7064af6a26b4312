"""A step with gradients that are not finite changes nothing but the count of skipped steps."""

import jax
import numpy as np
import pytest

from configs import base
from snraware_jax.training import mesh
from snraware_jax.training.run import assemble


@pytest.fixture(scope="module")
def run():
    config = base.get_config("quick")
    config.model.update(backbone="stack", channels=4, norm="none")
    config.data.patch = (2, 8, 8)
    return assemble(config, samples=8)


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
