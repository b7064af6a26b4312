"""What the train steps of the networks of Table 2 take on TPUs that need not be there: memory, arithmetic and collectives of a chip.

    pip install libtpu
    python benchmarks/compile.py --json OUT.json                    # all fourteen for v5e:4x4, 4 patches a chip, minutes each
    python benchmarks/compile.py --json OUT.json --configs=configs/hrnet_cnnt.py --topology=v5p:4x4x8 --batch_size=512

bfloat16, cells computed again in the gradient. Every network is compiled in a process of its own by `launch/compilation.py`'s
`check`; OUT.json is written after each, and what it holds from the same compiler is not compiled again. Prints a table.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import machine
import networks
from tables import number, table

COMPILER = ("jax", "libtpu")  # whose other versions give other figures
LIMIT_S = 2 * 3600  # for one network


def step(config: str, topology: str, batch_size: int) -> dict[str, Any]:
    """Figures of one train step."""
    from launch import compilation

    loaded = networks.load(config, "bfloat16", remat=True, batch_size=batch_size)
    return compilation.check(loaded, topology, "train_step") | {
        "jax": machine.version("jax"),
        "libtpu": machine.version("libtpu"),
    }


def show(report: dict[str, Any]) -> str:
    """The report as a table."""
    rows = [
        [
            Path(case["config"]).name,
            case["topology"],
            str(case["batch_size"]),
            *(number(case[name] / 2**30) for name in ("arguments", "temporary")),
            number(case["flops"] / 1e12),
            ", ".join(f"{count} {name}" for name, count in case["collectives"].items()),
            number(case["seconds"]),
        ]
        for case in report["steps"]
    ]
    header = "configuration|topology|batch|arguments, GiB|temporary, GiB|TFLOP|collectives|compile s"
    return table("Train steps, bfloat16 with remat, of one chip", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--configs", default=",".join(networks.CONFIGS), help="configurations, with commas between [the fourteen]"
    )
    parser.add_argument("--topology", default="v5e:4x4", help="chips [v5e:4x4]")
    parser.add_argument("--batch_size", type=int, default=64, help="patches of a step over all chips [64]")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="processors [all]")
    parser.add_argument("--json", type=Path, help="file that figures are added to")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        networks.answer(options, {"step": step})
        return
    report: dict[str, Any] = {"benchmark": "compile", "steps": []}
    if options.json and options.json.exists():
        report = json.loads(options.json.read_text())
    versions = {name: machine.version(name) for name in COMPILER}
    for config in options.configs.split(","):
        case = {"config": config, "topology": options.topology, "batch_size": options.batch_size}
        if any((case | versions).items() <= done.items() for done in report["steps"]):
            continue
        print(f"{config} ...", file=sys.stderr, flush=True)
        report["steps"].append(machine.run_apart(__file__, {"task": "step", **case}, options.threads, LIMIT_S))
        if options.json:
            options.json.write_text(json.dumps(report) + "\n")
    print(show(report))


if __name__ == "__main__":
    main()
