"""Compiles noise and train step of a configuration for chips that need not be there, and says whether they fit.

    pip install libtpu                                             # the compiler, on any Linux machine
    python launch/compile_check.py --config=configs/hrnet_cnnt.py --config.batch_size=512 --topology=v5e:16x8
    python launch/compile_check.py --config=configs/hrnet_cnnt.py:quick --topology=host:8      # neither libtpu nor chips

Prints, for each program, the time of compilation, memory of a chip beside its HBM, its arithmetic (that of products and convolutions,
what is computed again in the gradient included), its collective operations, and how many images (patches) a second it can make at
most. Nothing is run. What takes more than 90 % of the HBM ends with exit code 1 and what to change.

host:N compiles for N simulated CPU devices, a stand-in for N GPUs: the mesh and what lies where are those of a GPU machine; memory is
that of the CPU backend, so that whether it fits a GPU is not said.

Two programs are compiled in two processes, since the compiler can abort; a message of its own says why. `benchmarks/compile.py` does
this for the networks of Table 2.
"""

import json
import sys
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from launch import compilation, program
from snraware_jax.errors import BAD_INPUT, InputError

CONFIG = config_flags.DEFINE_config_file("config", None, "FILE.py or FILE.py:quick; --config.FIELD=value changes a field")
TOPOLOGY = flags.DEFINE_string("topology", "v5e:2x2", "chips: v5e:16x8, v5p:4x4x8, v6e:16x8, ...; host:8 simulates devices")
PROGRAMS = flags.DEFINE_list("programs", [*compilation.PROGRAMS], "which of noise, train_step")
JSON = flags.DEFINE_string("json", "", "file that the figures are written to, as one line")


def main() -> int:
    if CONFIG.value is None:
        raise InputError("which configuration? --config=configs/hrnet_cnnt.py:quick, for example")
    unknown = set(PROGRAMS.value) - set(compilation.PROGRAMS)
    if unknown:
        raise InputError(f"--programs: {sorted(unknown)[0]} is unknown; choose noise, train_step or both")
    compilation.chip_of(TOPOLOGY.value)
    compilation.count_of(TOPOLOGY.value)
    reports = []
    for name in PROGRAMS.value:
        report = attempt(name) if len(PROGRAMS.value) == 1 else apart(name)
        if report is None:
            return BAD_INPUT
        reports.append(report)
    if JSON.value:
        figures = {"config": program.config_text(), "topology": TOPOLOGY.value, **compilation.versions(), "programs": reports}
        Path(JSON.value).write_text(json.dumps(figures) + "\n")
    return int(any(report["problem"] for report in reports))


def attempt(name: str) -> dict[str, Any]:
    """Compiles one program and says what was found: its figures, and as `problem` why it does not fit (None if it does)."""
    title, chip = f"compile_check: {name} for {TOPOLOGY.value}", compilation.chip_of(TOPOLOGY.value)
    try:
        figures = compilation.check(CONFIG.value, TOPOLOGY.value, name)
    except compilation.OutOfMemory as error:
        figures, problem = {}, f"the compiler found no way to fit it: {error}"
    else:
        print(f"{title}: {compilation.describe(figures, chip)}", flush=True)
        problem = compilation.excess(figures, chip)
    if problem:
        ways = compilation.remedies(CONFIG.value, compilation.count_of(TOPOLOGY.value), name)
        print(f"{title}: does not fit, {problem}; try {', or '.join(ways)}", file=sys.stderr, flush=True)
    return {"program": name, **figures, "problem": problem}


def apart(name: str) -> dict[str, Any] | None:
    """The same in a process of its own, which may abort; None for bad input, which that process has named."""
    report, code = compilation.run_apart([sys.executable, *sys.orig_argv[1:], f"--programs={name}"])
    if report or code == BAD_INPUT:
        return report
    problem = f"its process ended by {compilation.ending(code)} and left no figures; what the compiler says is above"
    print(f"compile_check: {name} for {TOPOLOGY.value}: {problem}", file=sys.stderr, flush=True)
    return {"program": name, "problem": problem}


if __name__ == "__main__":
    program.run(main)
