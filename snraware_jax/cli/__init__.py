"""The console program `snraware`: verbs on files, a module each, with `add` (its arguments) and `run`.

Nothing heavy is imported before the verb is known, so that `snraware --help` answers at once.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from snraware_jax import __version__
from snraware_jax.cli import check, convert, demo, denoise, doctor, import_weights, info, reconstruct, records, report, serve
from snraware_jax.errors import InputError, describe

VERBS = (reconstruct, denoise, serve, check, convert, report, info, import_weights, records, doctor, demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 where a check or some of many files failed, 2 for bad input, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    # LAPACK's own threads spin where cores are busy, which can take seven times as long (docs/decisions.md, 20)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        with warnings_as_notes():
            return options.run(options)
    except (InputError, OSError) as error:
        print(f"snraware: {describe(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        more = "; the same command does what is missing" if options.run in (reconstruct.run, denoise.run) else ""
        print(f"snraware: interrupted{more}", file=sys.stderr)
        return 130


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Warnings of the package as lines for a user, without the place in the code that gave them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: print(f"snraware: note: {message}", file=sys.stderr, flush=True)
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snraware", description="MRI in SNR units: reconstruct raw scans with their g-factor maps, denoise, check, report."
    )
    parser.add_argument("--version", action="version", version=f"snraware {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    return parser
