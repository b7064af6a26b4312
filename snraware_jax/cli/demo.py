"""`snraware demo`: from a simulated raw scan to a report."""

import argparse
from pathlib import Path

from snraware_jax.errors import InputError


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "demo",
        help="simulated raw scan -> reconstruct -> denoise -> report, to see how it goes",
        description="Simulate a raw cine of a heart at R = 4, reconstruct it, denoise it with the model that ships, and "
        "make a page that compares both with the truth. Prints the commands that it gives. A minute or two.",
        epilog="example: snraware demo -o demo",
    )
    verb.add_argument("-o", "--output", type=Path, default=Path("snraware-demo"), metavar="DIR", help="[snraware-demo]")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs the demonstration and prints where its report is."""
    from snraware_jax import cli, demo

    if options.output.exists():
        raise InputError(f"{options.output} is there already: give -o another folder, or delete it.")
    page = demo.run(options.output, cli.main)
    print(f"demo: open {page}")
    return 0
