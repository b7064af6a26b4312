"""One optimisation step as one pure function: noise -> network -> losses -> gradients -> optimiser -> averages."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.flatten_util import ravel_pytree
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


def pairs_of(batch: Batch, noise: NoiseSettings, seed: int, magnitude: bool = False) -> Pair:
    """The pairs of a batch, each from its sample's own key: images `[B, T, H, W]`, g-maps `[B, H, W]`, sigma `[B]`.

    Args:
      magnitude: of the images alone, for networks that see nothing else.
    """

    def of_sample(one: Batch) -> Pair:
        key = sample_key(seed, one["epoch"], one["sample_id"])
        pair = make_pair(key, one["image"], one["gmaps"], noise, one["native_noise"], one["size"])
        return pairs.magnitude(pair) if magnitude else pair

    return jax.vmap(of_sample)(batch)


def noisy_pairs(batch: Batch, noise: NoiseSettings, seed: int, devices: Mesh, magnitude: bool = False) -> Pair:
    """`pairs_of` a batch that is split over devices, on each of its own samples: left to itself, the compiler gathers it for an FFT."""
    part = PartitionSpec(tuple(devices.axis_names))
    of_device = lambda batch: pairs_of(batch, noise, seed, magnitude)
    return jax.shard_map(of_device, mesh=devices, in_specs=part, out_specs=part, check_vma=False)(batch)


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

    Every device computes the gradients of its own samples, whose mean over all devices is exchanged once, in float32. Left to itself,
    the compiler exchanges some of them in bfloat16 on TPU, and within loops, of parts of a batch or of frames, in every turn.

    Gradients that are not finite leave parameters and optimiser as they were. `estimator` is Sophia's of the curvature, "gnb" or
    "hutchinson". Of `parts` above 1, gradients are those of parts of the batch, one after another, averaged.
    """
    axes = tuple(devices.axis_names)
    samples, same = PartitionSpec(axes), PartitionSpec()
    on_devices = lambda of_device: jax.shard_map(
        of_device, mesh=devices, in_specs=(same, same, same, samples), out_specs=same, check_vma=False
    )

    def mean_over_devices(tree: Any) -> Any:
        """As one array: XLA's CPU backend exchanges the arrays of a tree one after another, 150 small ones in 0.7 s instead of 6 ms."""
        if devices.size == 1:
            return tree
        flat, rebuild = ravel_pytree(tree)
        return rebuild(jax.lax.pmean(flat, axes))

    def with_keys(batch: Batch, key: Array) -> Batch:
        """This device's samples, each with a key by its place in the whole batch, so that the number of devices changes nothing."""
        count = len(batch["sample_id"])
        places = count * jax.lax.axis_index(axes) + jnp.arange(count)
        return {**batch, "key": jax.vmap(lambda place: jax.random.fold_in(key, place))(places)}

    def objective_of(part: Batch, vgg: Weights) -> tuple[Callable[[Any], Array], Callable[[Array], Any]]:
        """The network as a function of its parameters, and the loss as one of the network's output, of a part of the batch."""
        noisy, target, g_map, _ = pairs_of(part, noise, seed, magnitude)

        def objective(channels: Array) -> tuple[Array, dict[str, Array]]:
            output = to_complex(channels)
            total, terms = loss(output, target, vgg)
            return total, {"loss": total, **terms, "gain_db": jnp.mean(gain_db(noisy, output, target))}

        return lambda params: nnx.merge(graphdef, params)(network_input(noisy, g_map), part["key"]), objective

    @on_devices
    def gradients(params: Any, vgg: Weights, key: Array, batch: Batch) -> tuple[Any, dict[str, Array]]:
        def of_part(part: Batch) -> tuple[Any, dict[str, Array]]:
            network, objective = objective_of(part, vgg)
            return jax.grad(lambda params: objective(network(params)), has_aux=True)(params)

        return mean_over_devices(averaged(of_part, with_keys(batch, key), parts))

    @on_devices
    def curvature(params: Any, vgg: Weights, key: Array, batch: Batch) -> Any:
        """Of one part of the batch, for Sophia in the steps that refresh its estimate."""
        part = first_part(with_keys(batch, key), parts)
        network, objective = objective_of(part, vgg)
        if estimator == "gnb":
            channels, pull = jax.vjp(network, params)
            of_sample = lambda key: jax.random.normal(jax.random.fold_in(key, 1), channels.shape[1:], channels.dtype)
            white = jax.vmap(of_sample)(part["key"])
            return gauss_newton_bartlett(lambda noise: mean_over_devices(pull(noise)[0]), white, white.size * devices.size)
        gradient = lambda params: mean_over_devices(jax.grad(lambda params: objective(network(params))[0])(params))
        return hutchinson(gradient, params, jax.random.fold_in(key, 2**31 - 1))  # no sample's

    def train_step(state: TrainState, batch: Batch, vgg: Weights = ()) -> tuple[TrainState, dict[str, Array]]:
        # the branch masks of stochastic depth: a stream apart from the noise of any sample
        depth_key = jax.random.fold_in(jax.random.key(~seed & 0xFFFFFFFF), state.step)
        arguments = state.params, vgg, depth_key, batch
        mean_gradients, figures = gradients(*arguments)
        norm = optax.tree.norm(mean_gradients)
        updates, moments = optimizer.update(
            mean_gradients, state.optimizer, state.params, curvature=lambda: curvature(*arguments)
        )
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
    """`[B, ...]` -> `[parts, B / parts, ...]`: sample i is of part i mod `parts`, on whatever device."""
    return {name: jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0) for name, x in batch.items()}


def first_part(batch: Batch, parts: int) -> Batch:
    """The first of `split`."""
    return batch if parts == 1 else {name: x[0] for name, x in split(batch, parts).items()}


def averaged(of: Callable[[Batch], Any], batch: Batch, parts: int) -> Any:
    """The mean of `of(part)` over the parts of a batch, computed one after another."""
    if parts == 1:
        return of(batch)

    def add(total: Any, part: Batch) -> tuple[Any, None]:
        return jax.tree.map(lambda a, b: a + b / parts, total, of(part)), None

    start = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(of, first_part(batch, parts)))
    return jax.lax.scan(add, start, split(batch, parts))[0]


def make_evaluation_step(graphdef: nnx.GraphDef) -> Callable[[Any, Array, Array], Array]:
    """The network without its random parts: (params, noisy `[B, T, H, W]`, g-map `[B, H, W]`) -> denoised `[B, T, H, W]`."""
    return lambda params, noisy, g_map: to_complex(nnx.merge(graphdef, params)(network_input(noisy, g_map)))
