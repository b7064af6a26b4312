"""The table of faults in full: `python -m tests.reliability --full` (an hour or two on two cores), or some rows of it.

    python -m tests.reliability                            every row, a few times
    python -m tests.reliability --full --only=kills        one row, as often as docs/reliability.md says
    python -m tests.reliability --count=10 --only=kills

Every outcome is a line of OUTPUT/outcomes.jsonl as soon as it is there; the table is OUTPUT/table.md. Exit code 1 if a fault was not
survived. Each row runs in a process of its own, so that one that breaks does not end the others.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.conftest import REPOSITORY
from tests.reliability import rows
from tests.reliability.faults import Bench
from tests.tiny import write_records


class Planned(NamedTuple):
    """A row: its name in the table, what it does, how often in full and in short."""

    title: str
    row: rows.Row
    full: int
    short: int


PLAN = {
    "wrong_use": Planned("wrong use", rows.wrong_use, 5, 5),
    "damaged": Planned("files of the newest checkpoint deleted, cut off, one bit flipped", rows.damaged, 200, 20),
    "shards": Planned("shards damaged", rows.shards, 300, 300),
    "not_finite": Planned("gradients not finite", rows.not_finite, 4, 4),
    "sigterm": Planned("SIGTERM, 1 process", rows.told_to_stop, 20, 5),
    "sigterm_3": Planned("SIGTERM, 3 processes", partial(rows.told_to_stop, processes=3), 20, 2),
    "lost": Planned("one of 3 processes killed or stopped", rows.lost, 12, 4),
    "refused": Planned("a save refused by the system", rows.refused, 6, 2),
    "full_disk": Planned("disk full, or read-only", rows.full_disk, 6, 3),
    "bad_record": Planned("a damaged record, 3 processes", rows.bad_record, 3, 1),
    "meshes": Planned("goes on upon 8, 4, 1, 2 x 4 devices", rows.meshes, 3, 1),
    "long": Planned("2,000 steps", rows.long, 1, 1),
    "kills": Planned("SIGKILL at random instants", rows.kills, 100, 8),
}


def run_row(name: str, count: int, seed: int, output: Path) -> None:
    """Does one row, with a line for every outcome and an estimate of the time that is left."""
    bench = Bench(output / name, output / "records", seed)
    bench.folder.mkdir(exist_ok=True)
    others = [line for line in known(output) if json.loads(line)["row"] != name]
    (output / "outcomes.jsonl").write_text("".join(f"{line}\n" for line in others))  # a row done again counts once
    began, done, failed = time.monotonic(), 0, 0
    with (output / "outcomes.jsonl").open("a") as file:
        for outcome in PLAN[name].row(bench, count):
            done += outcome.count
            failed += outcome.count if outcome.fault else 0
            seconds = time.monotonic() - began
            fields = outcome._asdict() | {"figures": dict(outcome.figures), "at_seconds": round(seconds, 1)}
            file.write(json.dumps({"row": name, **fields}) + "\n")
            file.flush()
            left = seconds / done * max(0, count - done)
            print(f"{name} {done}/{count}, {failed} failed, {left / 60:.1f} min left: {outcome.case[:80]}", flush=True)
            if outcome.fault:
                print(f"  FAILED: {outcome.fault}", flush=True)


def known(output: Path) -> list[str]:
    """The lines of OUTPUT/outcomes.jsonl."""
    path = output / "outcomes.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def table(output: Path, seed: int) -> list[str]:
    """Markdown of what outcomes.jsonl says."""
    import jax

    outcomes = [json.loads(line) for line in known(output)]
    packages = f"Python {platform.python_version()}, jax {jax.__version__}"
    head = f"{datetime.date.today()}, {os.cpu_count()} cores of {platform.machine()}, {packages}, seed {seed}"
    text = [head, "", "| fault | survived | measured |", "|---|---|---|"]
    for name, planned in PLAN.items():
        mine = [outcome for outcome in outcomes if outcome["row"] == name]
        count = sum(outcome["count"] for outcome in mine)
        survived = sum(outcome["count"] for outcome in mine if not outcome["fault"])
        text.append(f"| {planned.title} | {f'{survived} of {count}' if mine else ''} | {measured(mine)} |")
    return text


def measured(outcomes: list[dict]) -> str:
    """The largest of every figure."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome["figures"])
    most = {name: max(outcome["figures"][name] for outcome in outcomes if name in outcome["figures"]) for name in names}
    return ", ".join(f"{name} {value:.3g}" for name, value in most.items())


def main() -> int:
    """Runs what is asked for; the exit code says whether all faults were survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="as often as docs/reliability.md says")
    parser.add_argument("--only", default="", help=f"rows, with commas: {', '.join(PLAN)}")
    parser.add_argument("--count", type=int, default=0, help="how often instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "runs" / "reliability")
    parser.add_argument("--row", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    output = options.output.resolve()
    if options.row:
        run_row(options.row, options.count, options.seed, output)
        return 0
    names = options.only.split(",") if options.only else list(PLAN)
    if unknown := [name for name in names if name not in PLAN]:
        parser.error(f"no row {unknown[0]}; there are {', '.join(PLAN)}")
    output.mkdir(parents=True, exist_ok=True)
    (output / "records").mkdir(exist_ok=True)
    write_records(output / "records")
    broken = [name for name in names if not finished(name, options, output)]
    text = table(output, options.seed)
    (output / "table.md").write_text("\n".join(text) + "\n")
    print("\n".join(text), *[f"row {name} broke" for name in broken], sep="\n")
    failed = [line for line in known(output) if json.loads(line)["fault"]]
    return 1 if broken or failed else 0


def finished(name: str, options: argparse.Namespace, output: Path) -> bool:
    """Runs a row in a process of its own; whether it came to its end."""
    count = options.count or (PLAN[name].full if options.full else PLAN[name].short)
    command = [sys.executable, "-m", "tests.reliability", f"--row={name}", f"--count={count}", f"--seed={options.seed}"]
    return subprocess.run([*command, f"--output={output}"], cwd=REPOSITORY).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
