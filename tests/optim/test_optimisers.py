"""Sophia, sign momentum and schedules: the authors' numbers, the paper's rule, and what the curvature is an estimate of."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from snraware_jax import optim
from snraware_jax.optim import cycled_momentum
from snraware_jax.optim.sophia import gauss_newton_bartlett, hutchinson, scale_by_sophia


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "goldens" / "misc" / "optim.npz") as file:
        return dict(file)


def entry(golden, kind, number):
    return next(one for one in json.loads(str(golden["index"])) if one.get(kind) == number)


def trajectory(optimizer, start, gradients, curvatures):
    """Parameters after each step, from given gradients and estimates of the curvature."""

    @jax.jit
    def run(start, gradients, curvatures):
        def step(carry, inputs):
            params, state = carry
            gradient, estimate = inputs
            updates, state = optimizer.update(gradient, state, params, curvature=lambda: estimate)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(step, (start, optimizer.init(start)), (gradients, curvatures))[1]

    return run(start, gradients, curvatures)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_sophia_by_the_authors_numbers(golden, number):
    """They refresh behind the update, so that a step sees the estimate made behind the one before."""
    case = entry(golden, "case", number)
    optimizer = optax.chain(
        scale_by_sophia(*case["betas"], case["rho"] * case["bs"], 1e-15, case["hessian_every"]),
        optax.add_decayed_weights(case["wd"]),
        optax.scale_by_learning_rate(case["lr"]),
    )
    params, sampled = golden[f"sophia/{number}_params"], golden[f"sophia/{number}_hgrads"]
    behind = np.concatenate([np.zeros_like(sampled[:1]), sampled[:-1]]) ** 2
    found = trajectory(optimizer, params[0], golden[f"sophia/{number}_grads"], behind)
    np.testing.assert_allclose(found, params[1:], rtol=0, atol=2e-6 * np.std(params))


def test_sign_momentum_is_what_the_authors_sophia_comes_to(golden):
    case = entry(golden, "case", 0)
    assert case["hessian_every"] == 0
    optimizer = optim.build("sign_momentum", lambda _: case["lr"], optim.Options(case["betas"][0], 0.123), clip_norm=1e9)
    params, gradients = golden["sophia/0_params"], golden["sophia/0_grads"]
    found = trajectory(optimizer, params[0], gradients, gradients)
    np.testing.assert_allclose(found, params[1:], rtol=0, atol=2e-6 * np.std(params))


def test_sign_momentum_with_a_cycled_decay():
    """m = beta m + (1 - beta) g with the beta of the step, then a step of the rate along sign(m)."""
    gradients = np.random.default_rng(0).normal(size=(12, 50)).astype(np.float32)
    decay = optim.cycled_momentum(12, 0.3)
    optimizer = optim.build("sign_momentum", lambda _: 0.1, optim.Options(0.5, 0.9, cycled=decay), clip_norm=1e9)
    found = trajectory(optimizer, gradients[0], gradients, gradients)
    params, momentum = gradients[0], np.zeros(50)
    for step, gradient in enumerate(gradients):
        beta = float(decay(step))
        momentum = beta * momentum + (1 - beta) * gradient
        params = params - 0.1 * np.sign(momentum)
        np.testing.assert_allclose(found[step], params, atol=1e-5)
    assert len({float(decay(step)) for step in range(12)}) > 6


@pytest.mark.parametrize("number", [0, 1, 3])
def test_one_cycle_of_the_authors(golden, number):
    """optax ends its phases half a step to a step later than PyTorch."""
    case, steps = entry(golden, "onecycle", number), np.arange(len(golden[f"onecycle/{number}_lr"]))
    rates = jax.vmap(optim.SCHEDULES["one_cycle"](len(steps), case["max_lr"], case["pct_start"]))(steps)
    for found, expected in (
        (rates, golden[f"onecycle/{number}_lr"]),
        (jax.vmap(cycled_momentum(len(steps), case["pct_start"]))(steps), golden[f"onecycle/{number}_beta1"]),
    ):
        change = 1.01 * np.max(np.abs(np.diff(expected)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=change)


@pytest.mark.parametrize("name", optim.SCHEDULES)
def test_schedules_rise_to_the_peak(name):
    rates = jax.vmap(optim.SCHEDULES[name](100, 1e-3, 0.2))(np.arange(101))
    assert np.argmax(rates) in (19, 20, 21)
    np.testing.assert_allclose(np.max(rates), 1e-3, rtol=1e-3)
    assert rates[0] < 1e-4
    assert (rates[100] < 1e-8) == (name != "constant")


@pytest.mark.parametrize("name", optim.SCHEDULES)
def test_so_few_steps_that_none_is_left_to_rise_start_at_the_peak(name):
    assert optim.SCHEDULES[name](2, 1e-3, 0.2)(0) == pytest.approx(1e-3)


def test_the_rule_of_the_paper():
    """Refreshed before the update, at the first step and every third; clipped at 1; the sign where curvature is not positive."""
    optimizer = scale_by_sophia(0.9, 0.5, rho=2.0, refresh_every=3)
    gradient, calls = jnp.array([0.1, 0.1, -0.1, 0.1]), jnp.array([1.0, 1e-4, -1.0, jnp.nan])
    state = optimizer.init(jnp.zeros(4))
    updates, state = optimizer.update(gradient, state, curvature=lambda: calls)
    np.testing.assert_allclose(updates, [0.01 / (2 * 0.5), 1, -1, 1], rtol=1e-6)
    np.testing.assert_allclose(state.curvature, [0.5, 0.5e-4, -0.5, 0], rtol=1e-6)
    for refreshed in (False, False, True):
        before = state.curvature
        _, state = optimizer.update(gradient, state, curvature=lambda: jnp.ones(4))
        assert bool((state.curvature != before).any()) == refreshed


def test_estimates_of_curvature():
    """Of f = A params, whose Gauss-Newton diagonal is that of A^T A / N and is the Hessian's; and of a loss with another Hessian."""
    a = jax.random.normal(jax.random.key(0), (6, 4)) * jnp.array([1.0, 3.0, 0.1, 0.5])
    params = jnp.ones(4)
    network, loss = lambda p: a @ p, lambda p: jnp.mean((a @ p) ** 2) / 2
    keys = jax.random.split(jax.random.key(1), 20_000)
    output, pull = jax.vjp(network, params)
    expected = jnp.sum(a**2, axis=0) / 6
    noise = lambda key: jax.random.normal(key, output.shape)
    sampled = jax.vmap(lambda key: gauss_newton_bartlett(lambda x: pull(x)[0], noise(key), output.size))(keys)
    np.testing.assert_allclose(jnp.mean(sampled, 0), expected, rtol=0.05)
    assert jnp.all(sampled >= 0)
    signs = jax.vmap(lambda key: hutchinson(jax.grad(loss), params, key))(keys)
    np.testing.assert_allclose(jnp.mean(signs, 0), expected, rtol=0.05, atol=0.02)
    saddle = jax.vmap(lambda key: hutchinson(jax.grad(lambda p: p[0] * p[1] - p[2] ** 2), params, key))(keys)
    np.testing.assert_allclose(jnp.mean(saddle, 0), [0, 0, -2, 0], atol=0.05)


def test_sophia_needs_fewer_steps_on_an_ill_conditioned_quadratic():
    """Curvatures over five decades; each optimiser with the best of its learning rates, steps to a millionth of the first loss."""
    scales = 10.0 ** jnp.linspace(-2.5, 2.5, 12)
    start = 1 + jnp.arange(12.0) / 12

    def steps(name, rate):
        optimizer = optim.build(name, lambda _: rate, optim.Options(0.9, 0.95, rho=1.0, refresh_every=5), clip_norm=1e9)
        loss = lambda params: jnp.sum(scales * params**2) / 2

        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params), state, params, curvature=lambda: scales)
            return (optax.apply_updates(params, updates), state), loss(params)

        losses = jax.lax.scan(step, (start, optimizer.init(start)), None, 3000)[1]
        below = losses < 1e-6 * losses[0]
        return jnp.where(jnp.any(below), jnp.argmax(below), 3000)

    rates = 10.0 ** jnp.arange(-4, 0.5, 0.5)
    fewest = lambda name: int(jnp.min(jax.jit(jax.vmap(lambda rate: steps(name, rate)))(rates)))
    assert fewest("sophia") < min(fewest("adamw"), fewest("lion"))


def test_an_unknown_optimiser_lists_those_that_exist():
    with pytest.raises(ValueError, match="adamw, lion, sign_momentum, sophia"):
        optim.build("sgd", optax.constant_schedule(1.0), optim.Options(0.9, 0.9))
