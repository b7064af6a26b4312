"""The fourteen networks in small, in float32 and bfloat16, on one device, on eight, and in two processes: `python -m tests.scale`.

Takes some 20 minutes on two cores. Prints a Markdown table of the largest difference of a loss from that on one device; ends with
exit code 1 if one of them takes no step, or differs by more than 1e-6 in float32.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from snraware_jax.training.processes import ADDRESS, COUNT, NUMBER
from tests.conftest import REPOSITORY
from tests.reliability.faults import free_port

MOST = 1e-6  # in float32, relative


def start(module: str, output: Path, *options: str, devices: int = 1, **environment: str) -> subprocess.Popen:
    """`tests.scale.MODULE` in a process with some simulated devices."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    everything = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(REPOSITORY)} | environment
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.scale.{module}", str(output), *options], cwd=REPOSITORY, env=everything
    )


def losses(folder: Path, options: list[str]) -> dict[str, dict[str, list[float]]]:
    """Losses by how they were computed, network and dtype."""
    one, eight, two = (folder / f"{name}.json" for name in ("one", "eight", "two"))
    finish(start("steps", one, *options))
    finish(start("steps", eight, *options, "--devices=8", devices=8))
    meeting = {ADDRESS: f"127.0.0.1:{free_port()}", COUNT: "2"}
    finish(*(start("steps", two, *options, "--devices=2", **meeting, **{NUMBER: str(number)}) for number in range(2)))
    return {"1 device": read(one), "8 devices": read(eight), "2 processes": read(two)}


def finish(*processes: subprocess.Popen) -> None:
    """Waits for processes that have to succeed."""
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"exit codes {codes}")


def read(path: Path) -> dict[str, list[float]]:
    """Losses by network and dtype."""
    return json.loads(path.read_text())


def difference(found: list[float], expected: list[float]) -> float:
    """The largest, relative."""
    return max(abs(a / b - 1) for a, b in zip(found, expected, strict=True))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = losses(Path(folder), sys.argv[1:])
    expected = found.pop("1 device")
    print("| network | losses on one device | " + " | ".join(found) + " |\n|---|---|" + "---|" * len(found))
    wrong = []
    for case, on_one in expected.items():
        differences = [difference(losses[case], on_one) for losses in found.values()]
        print(
            f"| {case} | {', '.join(f'{loss:.4g}' for loss in on_one)} | " + " | ".join(f"{d:.1e}" for d in differences) + " |"
        )
        if case.endswith("float32") and max(differences) > MOST:
            wrong.append(case)
    print(f"over {MOST:g}: {', '.join(wrong)}" if wrong else f"all float32 losses within {MOST:g}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
