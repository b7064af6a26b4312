"""The paper's tables and figures, one command each: training runs, test suites, evaluation, and what is made of them.

    python -m snraware_jax.evaluation.reproduce table2 --preset=small              # 44 trainings; killed, the same command goes on
    python -m snraware_jax.evaluation.reproduce table2 --models=hrnet_cnnt,unet_conv3d --modes=proposed
    python -m snraware_jax.evaluation.reproduce table3 --preset=small
    python -m snraware_jax.evaluation.reproduce figures --preset=small

To be run in the checkout, whose programs it starts. Every run has a folder OUTPUT/runs/MODEL-MODE of launch/train.py, every finished
row of Table 2 a file OUTPUT/rows/MODEL-MODE.json, which alone is enough to go on from. Tables are written anew after every run.
Commands for other networks or modes may run in one OUTPUT at a time, each on an accelerator of its own, say.
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snraware_jax.errors import INTERRUPTED, STOPPED, InputError, describe
from snraware_jax.evaluation.reproduce import figures, runs, tables
from snraware_jax.evaluation.reproduce.runs import PRESETS, Asked
from snraware_jax.evaluation.reproduce.table2 import MODES

WHAT = {"table2": tables.table_2, "table3": tables.table_3, "figures": figures.figures}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    try:
        if not Path("launch/train.py").is_file():
            raise InputError("no launch/train.py here; give the command in the checkout of the project")
        asked = _asked(options)
        runs.keep(asked)
        return WHAT[options.what](asked)
    except (InputError, OSError) as error:
        print(f"reproduce: {describe(error)}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"reproduce: {' '.join(map(str, error.cmd[1:]))} failed with exit code {error.returncode}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reproduce: interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    from configs import table2

    description = "Makes the paper's tables and figures."
    parser = argparse.ArgumentParser(prog="python -m snraware_jax.evaluation.reproduce", description=description)
    parser.add_argument("what", choices=list(WHAT))
    parser.add_argument("--preset", choices=PRESETS, default="small", help="sizes of networks, data and budgets [small]")
    parser.add_argument("--output", type=Path, help="folder of everything [runs/reproduction-PRESET]")
    parser.add_argument("--models", type=_names(table2.MODELS), default=list(table2.MODELS), help="of table2 [all 14]")
    parser.add_argument("--modes", type=_names(MODES), default=list(MODES), help="[all 4; of networks in 2-D proposed]")
    parser.add_argument("--model", choices=table2.MODELS, default="hrnet_cnnt_large", help="of the others [hrnet_cnnt_large]")
    parser.add_argument("--data", type=Path, help="records to train on [simulated]")
    return parser


def _names(known: Sequence[str] | Mapping[str, str]) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none; choose from {', '.join(known)}")
        return names

    return parse


def _asked(options: argparse.Namespace) -> Asked:
    output = options.output or Path("runs") / f"reproduction-{options.preset}"
    return Asked(options.preset, output, options.data, options.models, options.modes, options.model)


if __name__ == "__main__":
    sys.exit(main())
