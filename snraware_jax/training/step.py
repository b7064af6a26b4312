"""One optimisation step as one pure function: noise -> network -> losses -> gradients -> optimiser -> averages."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from snraware_jax.metrics import gain_db
from snraware_jax.models.channels import network_input, to_complex
from snraware_jax.noise import NoiseSettings, Pair, make_pair, pairs, sample_key
from snraware_jax.optim.sophia import gauss_newton_bartlett, hutchinson
from snraware_jax.perceptual import Weights
from snraware_jax.training.state import TrainState

Batch = Mapping[str, Array]
Loss = Callable[[Array, Array, Weights], tuple[Array, dict[str, Array]]]


def abstract_batch(count: int, patch: tuple[int, int, int], g_margin: int, maps: int = 7) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch of `count` samples, as `loader.batches` makes it."""
    (frames, height, width), of = patch, jax.ShapeDtypeStruct
    return {
        "image": of((count, frames, height, width), jnp.complex64),
        "gmaps": of((count, maps, height + 2 * g_margin, width + 2 * g_margin), jnp.float32),
        "size": of((count, 3), jnp.int32),
        "native_noise": of((count,), jnp.float32),
        "sample_id": of((count,), jnp.int32),
        "epoch": of((count,), jnp.int32),
    }


def noisy_pairs(batch: Batch, noise: NoiseSettings, seed: int, devices: Mesh, magnitude: bool = False) -> Pair:
    """The pairs of a batch, each from its sample's own key: images `[B, T, H, W]`, g-maps `[B, H, W]`, sigma `[B]`.

    Every device makes those of its own samples: left to itself, the compiler gathers the whole batch for an FFT.

    Args:
      devices: over which the batch is split.
      magnitude: of the images alone, for networks that see nothing else.
    """

    def of_sample(one: Batch) -> Pair:
        key = sample_key(seed, one["epoch"], one["sample_id"])
        pair = make_pair(key, one["image"], one["gmaps"], noise, one["native_noise"], one["size"])
        return pairs.magnitude(pair) if magnitude else pair

    part = PartitionSpec(tuple(devices.axis_names))
    return jax.shard_map(jax.vmap(of_sample), mesh=devices, in_specs=part, out_specs=part, check_vma=False)(batch)


def next_learning_rate(optimizer_state: Any, schedule: optax.Schedule) -> Array:
    """The rate of the next update, by the optimiser's own count: a skipped step does not advance it."""
    *_, (_, count) = optax.tree_utils.tree_get_all_with_path(optimizer_state, "count")
    return jnp.asarray(schedule(count))


def make_train_step(
    graphdef: nnx.GraphDef,
    noise: NoiseSettings,
    loss: Loss,
    optimizer: optax.GradientTransformationExtraArgs,
    schedule: optax.Schedule,
    *,
    estimator: str,
    seed: int,
    ema: float,
    devices: Mesh,
    magnitude: bool = False,
    parts: int = 1,
) -> Callable[..., tuple[TrainState, dict[str, Array]]]:
    """The step: (state, batch, VGG's weights or ()) -> (next state, metrics).

    Gradients that are not finite leave parameters and optimiser as they were. `estimator` is Sophia's of the curvature, "gnb" or
    "hutchinson". Of `parts` above 1, gradients are those of parts of the batch, one after another, averaged.
    """

    def train_step(state: TrainState, batch: Batch, vgg: Weights = ()) -> tuple[TrainState, dict[str, Array]]:
        # the branch masks of stochastic depth: a stream apart from the noise of any sample
        depth_key = jax.random.fold_in(jax.random.key(~seed & 0xFFFFFFFF), state.step)

        def objective_of(part: Batch, key: Array) -> tuple[Callable[[Any], Array], Callable[[Array], Any]]:
            """The network as a function of its parameters, and the loss as one of the network's output, of a part of the batch."""
            noisy, target, g_map, _ = noisy_pairs(part, noise, seed, devices, magnitude)

            def objective(channels: Array) -> tuple[Array, dict[str, Array]]:
                output = to_complex(channels)
                total, terms = loss(output, target, vgg)
                return total, {"loss": total, **terms, "gain_db": jnp.mean(gain_db(noisy, output, target))}

            return lambda params: nnx.merge(graphdef, params)(network_input(noisy, g_map), key), objective

        def gradients_of(part: Batch, key: Array) -> tuple[Any, dict[str, Array]]:
            network, objective = objective_of(part, key)
            return jax.grad(lambda params: objective(network(params)), has_aux=True)(state.params)

        def curvature() -> Any:  # called by Sophia alone, in the steps that refresh its estimate, of one part of the batch
            network, objective = objective_of(first_part(batch, parts), depth_key)
            key = jax.random.fold_in(depth_key, 1)
            if estimator == "gnb":
                channels, pull = jax.vjp(network, state.params)
                return gauss_newton_bartlett(pull, channels, key)
            return hutchinson(jax.grad(lambda params: objective(network(params))[0]), state.params, key)

        gradients, figures = averaged(gradients_of, batch, depth_key, parts)
        norm = optax.tree.norm(gradients)
        updates, moments = optimizer.update(gradients, state.optimizer, state.params, curvature=curvature)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(ema, (1 + state.step) / (10 + state.step)).astype(jnp.float32)
        average = jax.tree.map(lambda slow, new: decay * slow + (1 - decay) * new, state.ema, params)

        usable = jnp.isfinite(norm) & jnp.isfinite(figures["loss"])
        keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(usable, a, b), new, old)
        following = TrainState(
            step=state.step + 1,
            params=keep(params, state.params),
            optimizer=keep(moments, state.optimizer),
            ema=keep(average, state.ema),
            skipped=jnp.where(usable, 0, state.skipped + 1),
        )
        rate = next_learning_rate(state.optimizer, schedule)
        return following, figures | {"gradient_norm": norm, "learning_rate": rate, "skipped": following.skipped}

    return train_step


def split(batch: Batch, parts: int) -> Batch:
    """`[B, ...]` -> `[parts, B / parts, ...]`, such that every device has its share of every part."""
    return {name: jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0) for name, x in batch.items()}


def first_part(batch: Batch, parts: int) -> Batch:
    """The first of `split`."""
    return batch if parts == 1 else {name: x[0] for name, x in split(batch, parts).items()}


def averaged(of: Callable[[Batch, Array], Any], batch: Batch, key: Array, parts: int) -> Any:
    """The mean of `of(part, key)` over the parts of a batch, computed one after another."""
    if parts == 1:
        return of(batch, key)
    keys = jax.random.split(key, parts)

    def add(total: Any, part: tuple[Batch, Array]) -> tuple[Any, None]:
        return jax.tree.map(lambda a, b: a + b / parts, total, of(*part)), None

    pieces = split(batch, parts)
    start = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(of, first_part(batch, parts), key))
    return jax.lax.scan(add, start, (pieces, keys))[0]


def make_evaluation_step(graphdef: nnx.GraphDef) -> Callable[[Any, Array, Array], Array]:
    """The network without its random parts: (params, noisy `[B, T, H, W]`, g-map `[B, H, W]`) -> denoised `[B, T, H, W]`."""
    return lambda params, noisy, g_map: to_complex(nnx.merge(graphdef, params)(network_input(noisy, g_map)))
