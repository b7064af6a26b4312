"""Acceptance of the server: `python -m tests.serve`, `--full` for all of it; prints its figures, exits with 1 where one is not met."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from snraware_jax.formats.mrd import write_scan
from tests.recon.phantom import make_scan
from tests.serve import acceptance

RATIO, GROWTH = 1.2, 1.1  # the most that the first image may take, in steady times; and memory grow from one round to the next


def main(full: bool, flags: list[str]) -> int:
    """Runs it."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    flags = ["--units", "snr", "--max-mb", "64", "--idle", "60", *flags]
    starts, each, streams, rounds = (5, 50, 1000, 3) if full else (1, 5, 100, 2)
    with tempfile.TemporaryDirectory() as folder:
        model, raw = acceptance.write_model(Path(folder)), Path(folder) / "raw data"
        write_scan(raw, make_scan())
        met = _first_images(model, starts, flags)
        server = acceptance.start(model, *flags)
        try:
            met &= _rounds(server, acceptance.cases(model), raw, each, streams, rounds)
        finally:
            code = acceptance.stop(server)
        log = server.log.read_text()
        print(f"exit code after SIGTERM: {code}; tracebacks in the log: {log.count('Traceback')}")
        if "Traceback" in log:
            print(log[log.index("Traceback") :][:8000], file=sys.stderr)
    return int(not met or code != 0 or "Traceback" in log)


def _first_images(model: Path, starts: int, flags: list[str]) -> bool:
    """The first image after connecting to a server that was just started, against the ten after it."""
    ratios = []
    for number in range(starts):
        server = acceptance.start(model, *flags)
        try:
            first, *others = acceptance.first_images(server, 11)
        finally:
            acceptance.stop(server)
        ratios.append(first / acceptance.median(others))
        print(
            f"start {number + 1}: first image {first:.2f} s after connecting, then {acceptance.median(others):.2f} s (median; "
            f"{min(others):.2f} to {max(others):.2f}): ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"ratio, median of {starts} starts: {acceptance.median(ratios):.2f} (at most {RATIO})")
    return acceptance.median(ratios) <= RATIO


def _rounds(server: acceptance.Server, cases: acceptance.Cases, raw: Path, each: int, streams: int, rounds: int) -> bool:
    """Series over 4 connections beside clients that are killed, then damaged streams; memory after every round."""
    lost, memory = 0, []
    for number in range(rounds):
        began = time.perf_counter()
        lost += acceptance.series_lost(server, cases, connections=4, each=each, killed=2)
        took = time.perf_counter() - began
        closed, lost_between = acceptance.damaged(server, cases, streams, raw)
        lost += lost_between
        memory.append(acceptance.resident(server))
        print(
            f"round {number + 1}: {4 * each} series over 4 connections beside 2 killed clients in {took:.1f} s; {streams} damaged "
            f"streams, {closed} of them answered with CLOSE; {lost} series lost; {memory[-1]:.0f} MiB",
            flush=True,
        )
    print(f"memory after the last round over that after the first: {memory[-1] / memory[0]:.3f} (at most {GROWTH})")
    return not lost and memory[-1] <= GROWTH * memory[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="200 series and 1,000 damaged streams a round, instead of 20 and 100"
    )
    options, others = parser.parse_known_args()
    sys.exit(main(options.full, others))
