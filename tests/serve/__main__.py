"""Acceptance of the server: `python -m tests.serve`, `--full` for all of it; prints its figures, exits with 1 where one is not met."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from snraware_jax.formats.mrd import write_scan
from tests.recon.phantom import make_scan
from tests.serve import acceptance

RATIO, GROWTH = 1.2, 1.1  # the most that the first image may take, in steady times; and memory grow from one round to the next


def main(full: bool, flags: list[str]) -> int:
    """Runs it."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    steady, each, streams, rounds = (40, 50, 1000, 3) if full else (10, 5, 100, 2)
    with tempfile.TemporaryDirectory() as folder:
        model, raw = acceptance.write_model(Path(folder)), Path(folder) / "raw data"
        write_scan(raw, make_scan())
        cases = acceptance.cases(model)
        server = acceptance.start(model, "--units", "snr", "--max-mb", "64", "--idle", "60", *flags)
        try:
            met = _measure(server, cases, raw, steady, each, streams, rounds)
        finally:
            code = acceptance.stop(server)
        print(f"exit code after SIGTERM: {code}")
        tracebacks = server.log.read_text().count("Traceback")
        print(f"tracebacks in the log: {tracebacks}")
        if tracebacks:
            print(server.log.read_text()[-8000:], file=sys.stderr)
    return int(not (met and code == 0 and not tracebacks))


def _measure(server, cases, raw, steady, each, streams, rounds) -> bool:
    first, *others = acceptance.first_images(server, cases, steady + 1)
    ratio = first / acceptance.median(others)
    print(
        f"first image after connect: {1000 * first:.1f} ms, median of {steady} more {1000 * acceptance.median(others):.1f} ms"
    )
    print(f"ratio: {ratio:.2f} (at most {RATIO})")
    lost, memory = 0, []
    for number in range(rounds):
        lost += acceptance.series_lost(server, cases, connections=4, each=each, killed=2)
        closed, lost_between = acceptance.damaged(server, cases, streams, raw)
        lost += lost_between
        memory.append(acceptance.resident(server))
        print(
            f"round {number + 1}: {4 * each} series over 4 connections and 2 killed clients, {streams} damaged streams ({closed} ended "
            f"with CLOSE): {lost} lost, {memory[-1]:.0f} MiB",
            flush=True,
        )
    print(f"memory of the last round to that of the first: {memory[-1] / memory[0]:.3f} (at most {GROWTH})")
    return ratio <= RATIO and not lost and memory[-1] <= GROWTH * memory[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="200 series and 1,000 damaged streams a round, instead of 20 and 100"
    )
    options, others = parser.parse_known_args()
    sys.exit(main(options.full, others))
