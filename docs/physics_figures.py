"""Draws the figures of docs/physics.md: one for each identity of the reconstruction, measured by the code that is shipped.

    python docs/physics_figures.py                                    # all of them into docs/images/physics, some minutes
    python docs/physics_figures.py --only replicas --only g_factor    # --output DIR puts them elsewhere

Prints a line of measured numbers for each figure. Seeds are fixed. Figures of goldens and measured data need ../shared beside the
checkout, and are skipped with a line where it is absent.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # docs.figures, as the tests import it

from docs.figures.style import FIGURES, REPOSITORY, NotHere, save


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draws the figures of docs/physics.md.")
    parser.add_argument(
        "--only", action="append", choices=list(FIGURES), metavar="NAME", help=f"one of {', '.join(FIGURES)}; may be repeated"
    )
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "docs" / "images" / "physics", help="folder for the pictures"
    )
    options = parser.parse_args(arguments)
    for name in options.only or FIGURES:
        try:
            figure, measured = FIGURES[name]()
        except NotHere as reason:
            print(f"{name}: skipped, {reason}")
            continue
        save(figure, options.output / f"{name}.png")
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in measured.items()), flush=True)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")  # the same pictures everywhere
    main()
