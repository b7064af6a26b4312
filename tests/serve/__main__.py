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
    """The first image after connecting to a server that was just started, against the ten after it.

    Where other programs keep the cores busy, seconds of the clock vary from one image to the next; those of CPU say whether more was
    computed, and count.
    """
    ratios = []
    for number in range(starts):
        server = acceptance.start(model, *flags)
        try:
            first, *others = acceptance.first_images(server, 11)
        finally:
            acceptance.stop(server)
        steady = [acceptance.median(values) for values in zip(*others, strict=True)]
        least, most = min(others)[0], max(others)[0]
        ratios.append([one / usual for one, usual in zip(first, steady, strict=True)])
        print(
            f"start {number + 1}: first image {first[0]:.2f} s after connecting ({first[1]:.2f} s of CPU), then {steady[0]:.2f} s "
            f"({steady[1]:.2f}; medians of 10, {least:.2f} to {most:.2f} s)",
            flush=True,
        )
    clock, cpu = (acceptance.median(values) for values in zip(*ratios, strict=True))
    print(f"first over steady, median of {starts} starts: {clock:.2f} by the clock, {cpu:.2f} of CPU (at most {RATIO})")
    return cpu <= RATIO


def _rounds(server: acceptance.Server, cases: acceptance.Cases, raw: Path, each: int, streams: int, rounds: int) -> bool:
    """Series over 4 connections beside clients that are killed, then damaged streams; memory after every round."""
    lost, memory = 0, []
    for number in range(rounds):
        began = time.perf_counter()
        lost += acceptance.series_lost(server, cases, connections=4, each=each, killed=2)
        took = time.perf_counter() - began
        closed, lost_between = acceptance.damaged(server, cases, streams, raw, seed=number * streams)
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
