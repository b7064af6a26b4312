"""`snraware report`: an evaluation as one HTML page."""

import argparse
from pathlib import Path


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "report",
        help="an evaluation -> one HTML page of images, cines, noise and tables that works offline",
        description="Write DIR/report.html from what an evaluation left in DIR: warnings, images, cines, profiles, the noise that was "
        "removed and that was left, tables, and how it was made. One file that needs nothing else; PNG and CSV files of the same in "
        "DIR/figures and DIR/tables.",
        epilog="example: snraware report runs/hrnet_cnnt-quick/evaluation",
    )
    verb.add_argument("folder", type=Path, metavar="DIR", help="folder of an evaluation, with about.json in it")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Writes the report of an evaluation and prints where it is."""
    from snraware_jax.evaluation.report import render

    print(render(options.folder))
    return 0
