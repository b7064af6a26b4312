"""The training loop, top to bottom: restore, compile, then next batch -> step -> log -> evaluate -> save."""

import math
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from data_pipeline import loader, patches
from data_pipeline.sources import Source
from snraware_jax.errors import InputError, Stopped
from snraware_jax.evaluation import pictures
from snraware_jax.metrics import gain_db
from snraware_jax.progress import Progress, say
from snraware_jax.training import checkpoint, mesh, processes
from snraware_jax.training.clock import Clock
from snraware_jax.training.health import Watch
from snraware_jax.training.logging import MetricsWriter, Timing, read_metrics
from snraware_jax.training.profile import profiler
from snraware_jax.training.run import Run
from snraware_jax.training.state import TrainState
from snraware_jax.training.step import noisy_pairs

MOST_SKIPPED = 10  # steps in a row with gradients that are not finite before the run goes back
VALIDATION_EPOCH = 2**30  # an epoch that training never reaches: validation noise is its own, and always the same


def train(config: ConfigDict, run: Run, training: Source, validation: Source, workdir: Path, watch: Watch) -> TrainState:
    """Trains from the newest checkpoint of WORKDIR, or from the start, to the end of the budget.

    Writes checkpoints, best (the averaged parameters with the highest validation gain), metrics.jsonl, timing.jsonl, samples/*.png
    and curves.png below `workdir`. A run that was killed and is started again makes the same numbers as one that was not. `watch` is
    open, and says when to stop.

    Raises:
      InputError: if gradients are not finite for `MOST_SKIPPED` steps, and again for the same steps after going back to the newest
        checkpoint; if the last checkpoint cannot be written.
      Stopped: after SIGTERM or Ctrl-C, when everything is saved.
    """
    clock, first = watch.clock, jax.process_index() == 0
    with ExitStack() as opened:
        # ---- restore, or start ----------------------------------------------------------------------------------------------
        checkpoints, best = workdir / "checkpoints", workdir / "best"
        state, step = _restore(checkpoints, run, clock)
        if step >= run.steps:
            _draw_curves(workdir)
            return state
        # as process 0 sees the files: all have to agree on what is best
        best_gain = processes.of_first(_gain_of_best(best, read_metrics(workdir / "metrics.jsonl"), step) if first else 0.0)
        gain_before = best_gain
        vgg = jax.device_put(run.vgg(), mesh.replicated(run.mesh))
        with clock("data"):
            batches = batches_of(config, run, training, step)
            batch = next(batches)

        # ---- compile, once --------------------------------------------------------------------------------------------------
        with clock("compile"):
            started = time.perf_counter()
            train_step = _compiled(run, state, batch, vgg)
            _say(f"step compiled once in {time.perf_counter() - started:.1f} s")
            validate = _validation(config, run, validation)

        opened.enter_context(clock("checkpoint"))  # what waiting for saves at the end counts for
        saves = opened.enter_context(checkpoint.Saves())
        rows_before = read_metrics(workdir / "timing.jsonl") if first else []
        timing = Timing(rows_before, step, images=config.batch_size, flops=run.flops, clock=clock)
        metrics = opened.enter_context(closing(MetricsWriter(workdir, step))) if first else None
        progress = opened.enter_context(Progress(run.steps, "train", enabled=first, start=step))
        profile = profiler(config.profile.steps, workdir / "profile", run.steps)
        pending: list[tuple[int, dict[str, Array]]] = []
        failed: list[Path] = []  # folders of saves, since the last evaluation
        saved_at, went_back_at = time.monotonic(), 0
        opened.enter_context(clock("step"))  # what is not counted for another phase
        while step < run.steps:
            # ---- step, with the next batch read while it runs ---------------------------------------------------------------
            profile(step)
            save_due = first and time.monotonic() - saved_at > 60 * config.train.checkpoint_minutes
            requests = _requests(run, stop=watch.requested, save=save_due)
            state, figures = train_step(state, batch, vgg, requests)
            step += 1
            with clock("data"):
                batch = next(batches) if step < run.steps else batch
            pending.append((step, figures))
            # the step before: no more than two are under way, and every process learns at the same step what any of them asks for
            known = pending[-2:][0][1]
            stop, save = (bool(asked) for asked in np.asarray(known["requests"]))
            streak = int(known["skipped"]) >= MOST_SKIPPED
            if first:
                timing.step_done()

            # ---- log --------------------------------------------------------------------------------------------------------
            last = step == run.steps
            evaluate = step % config.train.evaluate_every == 0 or last
            save = save or stop or step % config.train.checkpoint_every == 0 or last
            if step % config.train.log_every == 0 or evaluate or save or streak:
                rows = [{"step": at} | {name: float(value) for name, value in values.items() if name != "requests"}
                        for at, values in pending]  # fmt: skip
                pending.clear()
                with clock("log"):
                    if metrics is not None:
                        for row in rows:
                            metrics.write(row)
                        metrics.write_timing(timing.row(step))
                        metrics.flush(to_disk=evaluate or save)
                progress.update(step, loss=rows[-1]["loss"], gain_db=rows[-1]["gain_db"], lr=rows[-1]["learning_rate"])
                failed += _noted(saves.failures(), progress)

                # ---- gradients that stay not finite: back to the newest checkpoint, once ------------------------------------
                longest = max(rows, key=lambda row: row["skipped"])
                if longest["skipped"] >= MOST_SKIPPED:
                    _stop_if_stuck(longest, went_back_at)
                    failed += _noted(saves.failures(wait=True), progress)
                    went_back_at = step
                    progress.note(
                        f"step {longest['step']}: gradients not finite for {longest['skipped']:.0f} steps; going back"
                    )
                    state, step = _restore(checkpoints, run, clock)
                    with clock("data"):
                        batches = batches_of(config, run, training, step)
                        batch = next(batches)
                    timing.went_back(step)
                    if metrics is not None:
                        metrics.go_back(step)
                    continue

            # ---- evaluate ---------------------------------------------------------------------------------------------------
            if evaluate:
                with clock("checkpoint"):  # until now known to all processes, or to none
                    failed += _noted(saves.failures(wait=True), progress)
                if best in failed:  # the one before is still there
                    best_gain = gain_before
                failed.clear()
                with clock("evaluation"):
                    gain, sample = validate(state.ema)
                    progress.note(f"step {step}: validation gain {gain:.2f} dB")
                    if metrics is not None:
                        metrics.write({"step": step, "validation_gain_db": gain})
                        metrics.flush(to_disk=True)
                        _draw_sample(workdir / "samples" / f"{step:08d}.png", sample, progress)
                if gain > best_gain and (last or not rows[-1]["skipped"]):  # steps of a streak may be gone back behind
                    gain_before, best_gain = best_gain, gain
                    saves.start(best, step, state.ema, keep=1)

            # ---- save -------------------------------------------------------------------------------------------------------
            # not in a streak of gradients that are not finite: going back leads to the state before it
            if save and (stop or last or not rows[-1]["skipped"]):
                with clock("checkpoint"):
                    # a save that failed before does not end the run, but that of its last best parameters, which nobody makes again
                    if last or stop:
                        failures = saves.failures(wait=True)
                        if last and (of_best := [failure for failure in failures if failure.folder == best]):
                            raise InputError(f"{of_best[-1].message}; make room, then give the same command again")
                        failed += _noted(failures, progress)
                    saves.start(checkpoints, step, state)
                    saved_at = time.monotonic()
                    if (last or stop) and (failures := saves.failures(wait=True)):
                        raise InputError(f"{failures[-1].message}; make room, then give the same command again")
            if stop:
                again = shlex.join(["python", *sys.argv])
                raise Stopped(f"stopped at step {step} of {run.steps}, all saved; to go on: {again}", watch.code)
        profile(step)  # may end with the run

    _draw_curves(workdir)
    return state


def seconds_of_a_step(config: ConfigDict, run: Run, training: Source, count: int = 5) -> float:
    """The median over `count` steps from the start, whose results are dropped; compiles the step for them alone."""
    batches = batches_of(config, run, training, 0)
    state, vgg = run.initial_state(), jax.device_put(run.vgg(), mesh.replicated(run.mesh))
    train_step = _compiled(run, state, next(batches), vgg)
    lengths = []
    for _ in range(count):
        started = time.perf_counter()
        state, figures = train_step(state, next(batches), vgg, _requests(run))
        jax.block_until_ready(figures)
        lengths.append(time.perf_counter() - started)
    return statistics.median(lengths)


def _compiled(run: Run, state: TrainState, batch: dict[str, Array], vgg: Any) -> Callable:
    """The train step with one more argument, what processes ask for, whose sum is among the figures."""

    def train_step(
        state: TrainState, batch: dict[str, Array], vgg: Any, requests: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        state, figures = run.train_step(state, batch, vgg)
        return state, figures | {"requests": jnp.sum(requests, axis=0)}

    places = jax.tree.map(lambda array: array.sharding, run.abstract_state)
    compiled = jax.jit(train_step, donate_argnums=0, out_shardings=(places, mesh.replicated(run.mesh)))
    return compiled.lower(state, batch, vgg, _requests(run)).compile()


def _requests(run: Run, *, stop: bool = False, save: bool = False) -> Array:
    """What this process asks for: `[devices, 2]`, a row a device, over all processes."""
    mine = np.tile(np.asarray([stop, save], np.float32), (jax.local_device_count(), 1))
    return mesh.global_batch({"requests": mine}, run.mesh)["requests"]


def _noted(failures: list[checkpoint.Failure], progress: Progress) -> list[Path]:
    """The folders of saves that failed, which the log learns."""
    for failure in failures:
        progress.note(f"train: {failure.message}; trying again at the next")
    return [failure.folder for failure in failures]


def _gain_of_best(best: Path, rows: list[dict[str, Any]], step: int) -> float:
    """The validation gain of the parameters in BEST, by the rows of steps that the run still has."""
    gains = {row["step"]: gain for row in rows if row["step"] <= step and (gain := row.get("validation_gain_db")) is not None}
    saved = checkpoint.steps(best)
    return gains.get(saved[-1] if saved else 0, max(gains.values(), default=-math.inf) if saved else -math.inf)


def _say(line: str) -> None:
    if jax.process_index() == 0:
        say(f"train: {line}", sys.stdout)


def _draw_sample(path: Path, sample: tuple[np.ndarray, ...], progress: Progress) -> None:
    try:
        pictures.training_samples(path, *sample)
    except OSError as error:  # a picture is no reason to end a training
        progress.note(f"train: {path} was not drawn ({error})")


def _draw_curves(workdir: Path) -> None:
    if jax.process_index() == 0:
        pictures.curves(workdir / "curves.png", read_metrics(workdir / "metrics.jsonl"))


def _restore(checkpoints: Path, run: Run, clock: Clock) -> tuple[TrainState, int]:
    if not processes.of_first(len(checkpoint.steps(checkpoints))):
        with clock("compile"):  # which is all that it takes
            return run.initial_state(), 0
    with clock("checkpoint"):
        step, state, passed_over = checkpoint.restore(checkpoints, run.abstract_state)
    for line in (*passed_over, f"resumed at step {step} of {run.steps}"):
        _say(line)
    return state, step


def batches_of(config: ConfigDict, run: Run, source: Source, step: int) -> Iterator[dict[str, Array]]:
    """The batches of a run from `step` on, on its devices."""
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

    def evaluate(params: Any, batch: dict[str, Array]) -> tuple[Array, tuple[Array, ...]]:
        noisy, target, g_map, _ = noisy_pairs(batch, run.noise, config.seed, run.mesh, run.magnitude)
        output = run.evaluation_step(params, noisy, g_map)
        return gain_db(noisy, output, target).mean(), (noisy[0], output[0], target[0], g_map[0])

    on_devices = mesh.global_batch(batch, run.mesh)
    params = run.abstract_state.ema
    compiled = jax.jit(evaluate, out_shardings=mesh.replicated(run.mesh)).lower(params, on_devices).compile()

    def validate(params: Any) -> tuple[float, tuple[np.ndarray, ...]]:
        gain, sample = compiled(params, on_devices)
        return float(gain), tuple(np.asarray(image) for image in sample)

    return validate


def _stop_if_stuck(row: dict[str, Any], went_back_at: int) -> None:
    if row["step"] - row["skipped"] < went_back_at:  # begun before, so the same again
        raise InputError(
            f"step {row['step']}: gradients were not finite for {int(row['skipped'])} steps in a row, twice; parameters are unchanged "
            "since then. Lower --config.optimizer.lr_peak, or --config.optimizer.clip_norm"
        )
