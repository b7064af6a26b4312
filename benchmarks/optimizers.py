"""Steps that optimisers need to the same loss on `hrnet_cnnt.py:quick`, and what Sophia's estimate of the curvature costs.

    python benchmarks/optimizers.py --json OUT.json

Every optimiser sees the same batches with the same noise from the same start, at several learning rates, which rise over the first
tenth of the steps and stay. The loss is averaged over 10 steps; the mark is the lowest that the best AdamW reaches. Seconds of a step
are medians. Prints a table; writes one JSON object of one line.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
from tables import number, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data_pipeline import heap  # imports no JAX, which has to start behind it

if TYPE_CHECKING:
    from ml_collections import ConfigDict

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
# name: changes of the configuration, learning rates
CASES: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "adamw": ({"name": "adamw", "beta1": 0.9, "beta2": 0.99}, (1e-3, 3e-3, 1e-2)),
    "lion": ({"name": "lion", "beta1": 0.9, "beta2": 0.99}, (3e-4, 1e-3, 3e-3)),
    "sophia gnb": ({"name": "sophia", "beta1": 0.965, "beta2": 0.99, "estimator": "gnb"}, (3e-4, 1e-3, 3e-3)),
}
SMOOTHED = 10  # steps


def losses(config: "ConfigDict", data: Path, rates: tuple[float, ...], steps: int) -> tuple[dict[float, list[float]], float]:
    """Losses of every step by learning rate, and seconds of a step (the median); one compilation."""
    import jax

    from data_pipeline.sources import open_source
    from snraware_jax import losses, optim
    from snraware_jax.training import configuration, loop, step
    from snraware_jax.training.run import assemble

    source = open_source(data, "train")
    run, chosen = assemble(config, len(source)), config.optimizer
    options = optim.Options(**{field: chosen[field] for field in optim.Options._fields if field in chosen})

    @jax.jit
    def train_step(state, batch, rate):
        schedule = lambda count: rate * jax.numpy.minimum(1.0, (count + 1) / (0.1 * steps))
        return step.make_train_step(
            run.graphdef,
            run.noise,
            losses.weighted_sum(configuration.loss_weights(config)),
            optim.build(chosen.name, schedule, options, chosen.clip_norm),
            schedule,
            estimator=chosen.estimator,
            seed=config.seed,
            ema=config.train.ema,
            devices=run.mesh,
        )(state, batch)

    found, seconds = {}, []
    for rate in rates:
        state, batches, found[rate] = run.initial_state(), loop.batches_of(config, run, source, 0), []
        for _ in range(steps):
            batch = next(batches)
            started = time.perf_counter()
            state, figures = train_step(state, batch, rate)
            found[rate].append(float(figures["loss"]))
            seconds.append(time.perf_counter() - started)
    return found, statistics.median(seconds)


def smooth(values: list[float]) -> list[float]:
    """Means of `SMOOTHED` steps, at the last of them."""
    return [statistics.fmean(values[at - SMOOTHED : at]) for at in range(SMOOTHED, len(values) + 1)]


def steps_to(values: list[float], mark: float) -> int | None:
    """The first step at which the smoothed loss is at the mark or below."""
    return next((at + SMOOTHED for at, loss in enumerate(smooth(values)) if loss <= mark), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/hrnet_cnnt.py:quick")
    parser.add_argument("--steps", type=int, default=100, help="at each learning rate [100]")
    parser.add_argument("--json", help="file that the JSON line is written to")
    options = parser.parse_args()

    heap.one_heap_of_huge_pages()
    from launch import program, training

    runs: dict[str, dict[float, list[float]]] = {}
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        training.simulate(program.load_config(options.config), Path(folder))
        for name, (changes, rates) in CASES.items():
            config = program.load_config(options.config)
            config.optimizer.update(changes)
            runs[name], seconds[name] = losses(config, Path(folder), rates, options.steps)
            print(f"optimizers: {name} done", file=sys.stderr, flush=True)
        config.optimizer.refresh_every = 1  # of the last case: every step makes an estimate
        _, every = losses(config, Path(folder), (1e-3,), 10)
        config.optimizer.refresh_every = 10**6
        _, never = losses(config, Path(folder), (1e-3,), 11)
    mark = min(min(smooth(values)) for values in runs["adamw"].values())
    rows = []
    for name, by_rate in runs.items():
        for rate, values in by_rate.items():
            reached = steps_to(values, mark)
            rows.append([name, f"{rate:g}", number(min(smooth(values))), str(reached or "-"), number(seconds[name])])
    print(table(f"{options.config}, mark {mark:.4g}", "optimiser|rate|lowest loss|steps to the mark|s a step", rows))
    print(f"a step of Sophia with an estimate {every:.2f} s, without {never:.2f} s")
    report = {"benchmark": "optimizers", "command": " ".join(sys.argv), "machine": machine.describe(PACKAGES), "mark": mark}
    report |= {"losses": runs, "step_s": seconds, "estimate_step_s": every, "plain_step_s": never}
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
