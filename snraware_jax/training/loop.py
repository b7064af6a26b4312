"""The training loop, top to bottom: restore, then evaluate -> save -> next batch -> step -> log, then evaluate and save."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from data_pipeline import loader, patches
from data_pipeline.sources import Source
from snraware_jax.errors import InputError
from snraware_jax.evaluation import pictures
from snraware_jax.metrics import gain_db
from snraware_jax.progress import Progress
from snraware_jax.training import checkpoint, mesh
from snraware_jax.training.logging import MetricsWriter, read_metrics
from snraware_jax.training.run import Run
from snraware_jax.training.state import TrainState
from snraware_jax.training.step import noisy_pairs

MOST_SKIPPED = 10  # steps in a row with gradients that are not finite before the run stops
VALIDATION_EPOCH = 2**30  # an epoch that training never reaches: validation noise is its own, and always the same


def train(config: ConfigDict, run: Run, training: Source, validation: Source, workdir: Path) -> TrainState:
    """Trains from the newest checkpoint of WORKDIR, or from the start, to the end of the budget.

    Writes checkpoints, best (the averaged parameters with the highest validation gain), metrics.jsonl, samples/*.png and
    curves.png below `workdir`. A run that was killed and is started again makes the same numbers as one that was not.

    Raises:
      InputError: if gradients stay not finite for `MOST_SKIPPED` steps.
    """
    # ---- restore, or start ------------------------------------------------------------------------------------------------
    checkpoints, best = workdir / "checkpoints", workdir / "best"
    first = jax.process_index() == 0
    state, step = _restore(checkpoints, run)
    if step >= run.steps:
        _draw_curves(workdir)
        return state
    best_gain = max((row["validation_gain_db"] for row in read_metrics(workdir / "metrics.jsonl")
                     if "validation_gain_db" in row and row["step"] <= step), default=-math.inf)  # fmt: skip

    vgg = jax.device_put(run.vgg(), mesh.replicated(run.mesh))

    # ---- compile, once ----------------------------------------------------------------------------------------------------
    batches = _batches(config, run, training, step)
    batch = next(batches)
    started = time.perf_counter()
    places = jax.tree.map(lambda array: array.sharding, run.abstract_state)
    train_step = jax.jit(run.train_step, donate_argnums=0, out_shardings=(places, None)).lower(state, batch, vgg).compile()
    print(f"train: step compiled once in {time.perf_counter() - started:.1f} s", flush=True)
    validate = _validation(config, run, validation)

    metrics = MetricsWriter(workdir, step)
    pending: list[tuple[int, dict[str, Array]]] = []
    with closing(metrics), Progress(run.steps, "train", enabled=first, start=step) as progress:
        while step < run.steps:
            # ---- step -----------------------------------------------------------------------------------------------------
            state, figures = train_step(state, batch, vgg)
            step += 1
            pending.append((step, figures))
            if step < run.steps:
                batch = next(batches)

            # ---- log ------------------------------------------------------------------------------------------------------
            last = step == run.steps
            if step % config.train.log_every == 0 or last or step % config.train.checkpoint_every == 0:
                rows = [{"step": at} | {name: float(value) for name, value in values.items()} for at, values in pending]
                pending.clear()
                for row in rows:
                    metrics.write(row)
                metrics.flush()
                _stop_if_stuck(rows[-1])
                progress.update(step, loss=rows[-1]["loss"], gain_db=rows[-1]["gain_db"], lr=rows[-1]["learning_rate"])

            # ---- evaluate -------------------------------------------------------------------------------------------------
            if step % config.train.evaluate_every == 0 or last:
                gain, sample = validate(state.ema)
                metrics.write({"step": step, "validation_gain_db": gain})
                metrics.flush()
                progress.note(f"step {step}: validation gain {gain:.2f} dB")
                if first:
                    pictures.training_samples(workdir / "samples" / f"{step:08d}.png", *sample)
                if gain > best_gain:
                    best_gain = gain
                    checkpoint.save(best, step, state.ema, keep=1)

            # ---- save -----------------------------------------------------------------------------------------------------
            if step % config.train.checkpoint_every == 0 or last:
                checkpoint.save(checkpoints, step, state)

    _draw_curves(workdir)
    return state


def _draw_curves(workdir: Path) -> None:
    if jax.process_index() == 0:
        pictures.curves(workdir / "curves.png", read_metrics(workdir / "metrics.jsonl"))


def _restore(checkpoints: Path, run: Run) -> tuple[TrainState, int]:
    if not checkpoint.steps(checkpoints):
        return run.initial_state(), 0
    step, state, passed_over = checkpoint.restore(checkpoints, run.abstract_state)
    for line in passed_over:
        print(f"train: {line}", flush=True)
    print(f"train: resumed at step {step} of {run.steps}", flush=True)
    return state, step


def _batches(config: ConfigDict, run: Run, source: Source, step: int) -> Iterator[dict[str, Array]]:
    host_batches = loader.batches(
        source,
        batch_size=config.batch_size,
        patch=config.data.patch,
        seed=config.seed,
        first_step=step,
        host=jax.process_index(),
        hosts=jax.process_count(),
        threads=config.data.threads,
        workers=config.data.workers,
        augmentation=patches.PRESETS[config.data.augmentation],
        g_margin=run.noise.g_margin,
    )
    return (mesh.global_batch(batch, run.mesh) for batch in host_batches)


def _validation(config: ConfigDict, run: Run, source: Source) -> Callable[[Any], tuple[float, tuple[np.ndarray, ...]]]:
    """A function of the parameters: gain in dB over a fixed batch of held-out patches, and one of them for a picture."""
    whole = {"batch_size": config.batch_size, "patch": config.data.patch, "g_margin": run.noise.g_margin}
    batch = next(loader.batches(source, seed=0, threads=1, **whole))
    batch["epoch"] = VALIDATION_EPOCH + batch["epoch"]
    share = config.batch_size // jax.process_count()
    batch = {name: value[jax.process_index() * share : (jax.process_index() + 1) * share] for name, value in batch.items()}

    @jax.jit
    def evaluate(params: Any, batch: dict[str, Array]) -> tuple[Array, tuple[Array, ...]]:
        noisy, target, g_map, _ = noisy_pairs(batch, run.noise, config.seed, run.mesh, run.magnitude)
        output = run.evaluation_step(params, noisy, g_map)
        return gain_db(noisy, output, target).mean(), (noisy[0], output[0], target[0], g_map[0])

    on_devices = mesh.global_batch(batch, run.mesh)

    def validate(params: Any) -> tuple[float, tuple[np.ndarray, ...]]:
        gain, sample = evaluate(params, on_devices)
        return float(gain), tuple(np.asarray(image) for image in sample)

    return validate


def _stop_if_stuck(row: dict[str, Any]) -> None:
    if row["skipped"] >= MOST_SKIPPED:
        raise InputError(
            f"step {row['step']}: gradients were not finite for {int(row['skipped'])} steps in a row; parameters are unchanged since "
            "then. Lower --config.optimizer.lr_peak, or --config.optimizer.clip_norm"
        )
