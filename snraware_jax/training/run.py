"""What a run is made of, from its configuration: network, optimiser, compiled steps, abstract state."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from snraware_jax import flops, losses, models, optim
from snraware_jax.interop import vgg_weights
from snraware_jax.noise import NoiseSettings
from snraware_jax.perceptual import Weights
from snraware_jax.training import configuration, mesh, state, step
from snraware_jax.training.state import TrainState


class Run(NamedTuple):
    """The parts of a training run.

    Attributes:
      steps: the budget.
      mesh: the devices.
      graphdef: the network without its parameters.
      noise: what noise is made.
      magnitude: whether the network sees magnitudes alone, so that pairs are made of them.
      abstract_state: shapes, dtypes and places (shardings) of the train state.
      initial_state: makes the state before the first step.
      train_step, evaluation_step: pure functions, not yet compiled.
      vgg: reads the weights for the perceptual loss, the step's third argument; () without it.
      parameters: how many the network has.
      flops: floating-point operations of a step's products, forward and gradient, without what is computed again.
    """

    steps: int
    mesh: Mesh
    graphdef: nnx.GraphDef
    noise: NoiseSettings
    magnitude: bool
    abstract_state: TrainState
    initial_state: Callable[[], TrainState]
    train_step: Callable
    evaluation_step: Callable
    vgg: Callable[[], Weights]
    parameters: int
    flops: float


def steps_of(config: ConfigDict, samples: int) -> int:
    """The budget in steps: `train.steps`, or `train.epochs` over `samples` training samples."""
    return config.train.steps or max(1, config.train.epochs * samples // config.batch_size)


def assemble(config: ConfigDict, samples: int, devices: Sequence[Any] | None = None) -> Run:
    """Puts a run together for a training set of `samples` samples, on all devices or on some; nothing is computed yet."""
    steps = steps_of(config, samples)
    over = mesh.make_mesh(config.mesh.fsdp, devices)
    settings = configuration.model_settings(config)
    build = lambda: models.build(settings, seed=config.seed, dtype=jnp.dtype(config.model.dtype))
    graphdef, shapes = nnx.split(nnx.eval_shape(build))
    chosen = config.optimizer
    patch = jax.ShapeDtypeStruct((1, *config.data.patch, 3), jnp.float32)
    schedule = optim.SCHEDULES[chosen.schedule](steps, chosen.lr_peak, chosen.warmup)
    cycled = optim.cycled_momentum(steps, chosen.warmup) if chosen.cycle_momentum else None
    options = optim.Options(cycled=cycled, **{field: chosen[field] for field in optim.Options._fields if field in chosen})
    optimizer = optim.build(chosen.name, schedule, options, chosen.clip_norm)
    initial: Callable[[], TrainState] = lambda: state.create(nnx.to_pure_dict(nnx.state(build())), optimizer)
    abstract = jax.eval_shape(initial)
    sharding = mesh.state_sharding(abstract, over)
    # run once: hundreds of small draws, which take a CPU's compiler 15 s for hrnet_cnnt.py:quick, and 5 s where it does not optimise
    once = {"xla_backend_optimization_level": 0} if over.devices.flat[0].platform == "cpu" else {}
    noise = configuration.noise_settings(config)
    loss = losses.weighted_sum(configuration.loss_weights(config))
    return Run(
        steps=steps,
        mesh=over,
        graphdef=graphdef,
        noise=noise,
        magnitude=settings.magnitude,
        abstract_state=jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), abstract, sharding),
        initial_state=jax.jit(initial, out_shardings=sharding, compiler_options=once),
        train_step=step.make_train_step(
            graphdef,
            noise,
            loss,
            optimizer,
            schedule,
            estimator=chosen.estimator,
            seed=config.seed,
            ema=config.train.ema,
            devices=over,
            magnitude=settings.magnitude,
            parts=config.train.accumulate,
        ),
        evaluation_step=step.make_evaluation_step(graphdef),
        vgg=lambda: vgg_weights.load(config.vgg_weights) if configuration.loss_weights(config).get("perceptual") else (),
        parameters=sum(leaf.size for leaf in jax.tree.leaves(shapes)),
        flops=3 * config.batch_size * flops.products(lambda p, x: nnx.merge(graphdef, p)(x), shapes, patch),
    )
