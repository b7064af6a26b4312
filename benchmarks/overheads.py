"""What a training spends beside its steps: saves, digests, figures, and waiting for data where reads stall.

    python benchmarks/overheads.py --json OUT.json                 # hrnet_cnnt.py:quick on its simulated subjects

Trains three times for `--steps` steps: writing figures every step and a checkpoint every 25; without either; and so from a source of
which one read in twenty sleeps for `--stall` seconds. Shares are of the time of steps, data included; of a save's seconds those of
its digests. Prints a table; writes one JSON object of one line.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
from tables import number, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from data_pipeline.sources import Source

PACKAGES = ("jax", "jaxlib", "flax", "orbax-checkpoint", "grain", "numpy")
STALLED = 0.05  # of the reads


class Stalling:
    """A source of which every twentieth read takes `seconds` longer."""

    def __init__(self, source: "Source", seconds: float) -> None:
        self._source, self._seconds = source, seconds
        self._reads = itertools.count(1)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, position: int) -> Any:
        if next(self._reads) % round(1 / STALLED) == 0:
            time.sleep(self._seconds)
        return self._source[position]

    def __repr__(self) -> str:  # grain names the data set by it
        return f"stalling {self._source!r}"


def train(config: "ConfigDict", data: Path, stall: float) -> dict[str, Any]:
    """The last row of a training's timing.jsonl."""
    from data_pipeline.sources import open_source
    from launch.training import watched
    from snraware_jax.training import loop
    from snraware_jax.training.logging import read_metrics
    from snraware_jax.training.run import assemble

    training = open_source(data, "train")
    run = assemble(config, len(training))
    with tempfile.TemporaryDirectory() as folder, watched(config) as watch:
        source = Stalling(training, stall) if stall else training
        loop.train(config, run, source, open_source(data, "validation"), Path(folder), watch)
        row = read_metrics(Path(folder) / "timing.jsonl")[-1]
    print(f"overheads: {json.dumps(row)}", flush=True)  # so that one that is cut off leaves something
    return row


def saves(config: "ConfigDict", repeats: int) -> dict[str, float]:
    """Seconds of a save of the train state, of its digests, and of what the loop waits for."""
    import jax

    from snraware_jax.training import checkpoint
    from snraware_jax.training.run import assemble

    state = jax.block_until_ready(assemble(config, 8).initial_state())
    with tempfile.TemporaryDirectory() as folder, checkpoint.Saves() as background:
        written = [0.0] * repeats
        for step in range(repeats):
            started = time.perf_counter()
            path = checkpoint.save(Path(folder), step, state)
            written[step] = time.perf_counter() - started
        digests = machine.timed(lambda: checkpoint.digests(path), repeats)["wall_s"]
        background.start(Path(folder), repeats, state)  # compiles the copy
        background.failures(wait=True)
        waited = machine.timed(lambda: background.start(Path(folder), repeats + 1, state), 1)["wall_s"]
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {"save_s": sorted(written)[repeats // 2], "digests_s": digests, "loop_s": waited, "megabytes": size / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/hrnet_cnnt.py:quick")
    parser.add_argument("--steps", type=int, default=100, help="of each training [100]")
    parser.add_argument("--stall", type=float, default=0.5, help="seconds that a stalled read takes longer [0.5]")
    parser.add_argument("--json", help="file that the JSON line is written to")
    options = parser.parse_args()

    from launch import program, training

    config = program.load_config(options.config)
    every = {"evaluate_every": options.steps, "checkpoint_minutes": 60.0}
    with tempfile.TemporaryDirectory() as folder:
        training.simulate(config, Path(folder))
        config.train.update(steps=options.steps, log_every=1, checkpoint_every=25, **every)
        plain = train(config, Path(folder), 0.0)["seconds"]
        config.train.update(log_every=options.steps, checkpoint_every=options.steps)
        even = train(config, Path(folder), 0.0)
        stalled = train(config, Path(folder), options.stall)
    saved = saves(config, 5)
    working = plain["step"] + plain["data"] + plain["log"] + plain["checkpoint"]
    figures = {
        "step_s": (plain["step"] + plain["data"]) / options.steps,
        "log_share": plain["log"] / working,
        "checkpoint_share": plain["checkpoint"] / working,
        "data_share": plain["data"] / working,
        "data_share_stalled": stalled["seconds"]["data"] / (stalled["seconds"]["step"] + stalled["seconds"]["data"]),
        "p99_over_median": even["step_p99_s"] / even["step_s"],
        "p99_over_median_stalled": stalled["step_p99_s"] / stalled["step_s"],
        "digests_share_of_save": saved["digests_s"] / saved["save_s"],
        **saved,
    }
    print(table(f"{options.config}, {options.steps} steps", "what|figure", [[k, number(v)] for k, v in figures.items()]))
    report = {"benchmark": "overheads", "command": " ".join(sys.argv), "machine": machine.describe(PACKAGES), **figures}
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
