"""Programs of a configuration, compiled for chips that need not be there: what they take of a chip, and whether that is too much."""

import json
import math
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from snraware_jax.errors import InputError

PROGRAMS = ("noise", "train_step")
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
MEMORY = ("arguments", "output", "temporary", "code")
MOST_OF_HBM = 0.9
SIMULATED = "host"


class Chip(NamedTuple):
    """Published memory (bytes) and bfloat16 peak (floating-point operations a second) of one chip, and its clock (Hz)."""

    hbm: int
    peak: float
    clock: float


# https://cloud.google.com/tpu/docs/v4, /v5e, /v5p, /v6e; the clock is the peak over what the matrix units do in a cycle: eight, four
# and eight of 128 x 128, and four of 256 x 256
CHIPS = {
    "v4": Chip(32 * 2**30, 275e12, 1.05e9),
    "v5e": Chip(16 * 2**30, 197e12, 1.5e9),
    "v5p": Chip(95 * 2**30, 459e12, 1.75e9),
    "v6e": Chip(32 * 2**30, 918e12, 1.75e9),
}
OPTIONS = {"v4": {"chip_config_name": "megacore"}}  # its two cores as one device, as Cloud TPU machines have it


class Collective(NamedTuple):
    """A collective operation: its kind, the bytes of its result on one device by their type, and whether a loop repeats it."""

    kind: str
    sizes: Counter[str]
    in_loop: bool


class OutOfMemory(Exception):
    """The compiler found no way to fit a program into the memory of a chip; the message is its own."""


def check(config: ConfigDict, topology: str, name: str) -> dict[str, Any]:
    """Compiles "noise" or "train_step" of a configuration for a topology, "v5e:16x8" or "host:8".

    Returns:
      `seconds` of compilation, `devices`, `batch` (images of a step, over all devices); of a chip `arguments`, `output` (what does not
      take the place of arguments), `temporary` and `code` in bytes, `flops`, floating-point operations of products and convolutions,
      and `cycles`, the compiler's estimate of all that is no collective (0 for simulated devices); `collectives`, how many there are of
      each kind in the program, `in_loops`, how many of those every microbatch repeats, and `all_reduces`, the bytes that all-reduces of
      one step sum on each chip, by their type ("f32").

    Raises:
      InputError: for a topology that the compiler does not know, or a configuration that does not fit it.
      OutOfMemory: if the compiler finds no way to fit the program into a chip.
    """
    # there is no TPU to ask, nor one that a second compilation would take away
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    from snraware_jax import flops
    from snraware_jax.training import configuration

    devices = devices_of(topology)
    configuration.validate(config, len(devices))
    step, arguments = program_of(config, devices, name)
    # simulated devices get a GPU's program: on a CPU convolutions are loops over frames, which sum gradients over devices in each turn
    platforms = None if chip_of(topology) else ("cuda",)
    started = time.perf_counter()
    try:
        compiled: Any = step.trace(*arguments).lower(lowering_platforms=platforms).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise OutOfMemory(used_of_limit(str(error))) from error
    seconds = time.perf_counter() - started
    memory, text = compiled.memory_analysis(), compiled.as_text()
    microbatches = config.train.accumulate if name == "train_step" else 1
    found = collectives(text)
    return {
        "seconds": seconds,
        "devices": len(devices),
        "batch": config.batch_size,
        "arguments": memory.argument_size_in_bytes,
        "output": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "flops": flops.products(step, *arguments) / len(devices),
        "cycles": estimated_cycles(text, microbatches),
        "collectives": dict(Counter(one.kind for one in found)),
        "in_loops": sum(one.in_loop for one in found),
        "all_reduces": dict(summed(found, microbatches)),
    }


def chip_of(topology: str) -> Chip | None:
    """The chip of a topology; None for simulated devices.

    Raises:
      InputError: for a chip whose memory is not known here.
    """
    name = topology.partition(":")[0]
    if name != SIMULATED and name not in CHIPS:
        raise InputError(f"--topology={topology}: no such chips; choose {', '.join(CHIPS)} (v5e:16x8), or {SIMULATED}:8")
    return CHIPS.get(name)


def count_of(topology: str) -> int:
    """How many chips a topology has: 128 of v5e:16x8.

    Raises:
      InputError: if it does not say.
    """
    sizes = topology.partition(":")[2].split("x")
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise InputError(f"--topology={topology}: give the chips along each axis, v5e:16x8 or v5p:4x4x8, or {SIMULATED}:8")
    return math.prod(int(size) for size in sizes)


def devices_of(topology: str) -> Sequence[Any]:
    """The devices to compile for; to be called before JAX starts its own.

    Raises:
      InputError: for a topology that the compiler does not know, or no compiler.
    """
    import jax
    from jax.experimental import topologies

    if chip_of(topology) is None:
        jax.config.update("jax_num_cpu_devices", count_of(topology))
        return jax.devices("cpu")
    try:
        return topologies.get_topology_desc(topology, "tpu", **OPTIONS.get(topology.partition(":")[0], {})).devices
    except RuntimeError as error:  # JAX without libtpu, and libtpu for chips that it does not know
        raise InputError(f"--topology={topology}: no such chips, or no libtpu (pip install libtpu): {error}") from error


def program_of(config: ConfigDict, devices: Sequence[Any], name: str) -> tuple[Any, tuple[Any, ...]]:
    """ "noise" or "train_step" with the shapes of its arguments: the trainer's but for what its processes ask one another."""
    import jax

    from snraware_jax.training import mesh
    from snraware_jax.training.run import assemble
    from snraware_jax.training.step import abstract_batch, noisy_pairs

    run = assemble(config, samples=config.batch_size, devices=devices)
    placed = lambda array, sharding: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
    shapes = abstract_batch(config.batch_size, config.data.patch, run.noise.g_margin)
    batch = {field: placed(array, mesh.batch_sharding(run.mesh)) for field, array in shapes.items()}
    if name == "noise":
        return jax.jit(lambda batch: noisy_pairs(batch, run.noise, config.seed, run.mesh, run.magnitude)), (batch,)
    vgg = jax.tree.map(lambda array: placed(array, mesh.replicated(run.mesh)), run.vgg())
    places = jax.tree.map(lambda array: array.sharding, run.abstract_state)
    return jax.jit(run.train_step, donate_argnums=0, out_shardings=(places, None)), (run.abstract_state, batch, vgg)


def collectives(text: str) -> list[Collective]:
    """The collective operations in the text (HLO) of a compiled program; one that has a start and an end counts once."""
    operation = re.compile(rf" ({'|'.join(COLLECTIVES)})(?:-start)?\(")
    found = []
    for line, in_loop in _instructions(text):
        right = line.partition(", metadata=")[0].partition(" = ")[2]
        if match := operation.search(right):
            found.append(Collective(match[1], _bytes_of(right[: match.start()]), in_loop))
    return found


def summed(found: list[Collective], turns: int) -> Counter[str]:
    """The bytes, by their type, that all-reduces sum on each device, if loops have so many turns."""
    total: Counter[str] = Counter()
    for one in found:
        if one.kind == "all-reduce":
            total.update({kind: size * (turns if one.in_loop else 1) for kind, size in one.sizes.items()})
    return total


def estimated_cycles(text: str, turns: int) -> int:
    """The sum of the compiler's estimates for all instructions, those of loops `turns` times; collectives have none."""
    total = 0
    for line, in_loop in _instructions(text):
        if match := re.search(r'"estimated_cycles":"(\d+)"', line):
            total += int(match[1]) * (turns if in_loop else 1)
    return total


def _instructions(text: str) -> Iterator[tuple[str, bool]]:
    """The instructions of a program's text (HLO), a line each, and whether they are in the body of a loop."""
    bodies, computation = set(re.findall(r"\bbody=%?([\w.-]+)", text)), ""
    for line in text.splitlines():
        if " = " in line.partition(", metadata=")[0]:
            yield line, computation in bodies
        elif line.endswith("{"):  # "%body.7 (parameter: (s32[], f32[8])) -> (s32[], f32[8]) {"
            computation = line.removeprefix("ENTRY ").split()[0].lstrip("%")


def _bytes_of(types: str) -> Counter[str]:
    """Bytes of an HLO type, `f32[8,4]{1,0}`, or of a tuple of such, by the type of their elements."""
    total: Counter[str] = Counter()
    for kind, bits, shape in re.findall(r"\b([a-z]+(\d*)\w*)\[([\d,]*)\]", types):  # pred[] has no digits, and takes a byte
        total[kind] += int(bits or 8) * math.prod(int(size) for size in shape.split(",") if size) // 8
    return total


def used_of_limit(message: str) -> str:
    """The sentence of the compiler's error that says what there is and what was needed; its first line if it does not say."""
    match = re.search(r"Ran out of memory.*?(?=\. (?:HLO module|Exceeded)|$)", message, re.MULTILINE)
    return match[0] if match else message.splitlines()[0]


def excess(figures: dict[str, Any], chip: Chip | None) -> str | None:
    """What a program takes of a chip's memory if that is too much; None if it fits, or if nothing is known of the chip."""
    if chip is None or sum(figures[kind] for kind in MEMORY) <= MOST_OF_HBM * chip.hbm:
        return None
    return f"it takes {memory_of(figures, chip)}, and may take {MOST_OF_HBM:.0%}"


def remedies(config: ConfigDict, devices: int, name: str) -> list[str]:
    """What makes a program smaller, first what leaves the training's numbers as they are."""
    each, parts, fsdp = config.batch_size // devices, config.train.accumulate, config.mesh.fsdp
    ways = []
    if name == "train_step":
        if not config.model.remat:
            ways.append("--config.model.remat=True (cells computed again in the gradient)")
        if more := next((n for n in range(parts + 1, each + 1) if each % n == 0), None):
            ways.append(f"--config.train.accumulate={more} (microbatches an update, of {each // more} images a chip)")
        if wider := next((n for n in range(fsdp + 1, devices + 1) if devices % n == 0), None):
            ways.append(f"--config.mesh.fsdp={wider} (parameters split over {wider} chips, if arguments are much of it)")
    if fewer := each // 2 // parts * parts:
        ways.append(f"--config.batch_size={fewer * devices} ({fewer} images a chip instead of {each})")
    return [*ways, "chips with more memory"]


def describe(figures: dict[str, Any], chip: Chip | None) -> str:
    """What `check` found, a line a subject."""
    collective = ", ".join(f"{count} {name}" for name, count in figures["collectives"].items()) or "no collectives"
    if figures["in_loops"]:
        collective += f", {figures['in_loops']} of them for every microbatch"
    if figures["all_reduces"]:
        sizes = " and ".join(f"{size / 1e6:.4g} MB of {kind}" for kind, size in sorted(figures["all_reduces"].items()))
        collective += f"; all-reduces sum {sizes} on each chip"
    lines = [
        f"compiled in {figures['seconds']:.0f} s",
        f"{figures['batch']} images a step on {figures['devices']} chips, {figures['batch'] // figures['devices']} a chip",
        memory_of(figures, chip),
        f"{figures['flops'] / 1e12:.3g} TFLOP a chip in products",
        collective,
    ]
    if chip:
        estimate = f"by the compiler's estimate of cycles, at {chip.clock / 1e9:.2f} GHz and without collectives"
        lines.append(f"{estimated_images(figures, chip):,.0f} images/s {estimate}")
    if chip and figures["flops"]:
        bound = f"were there nothing but products at the published bfloat16 peak of {chip.peak / 1e12:.0f} TFLOP/s a chip"
        lines.append(f"upper bound: {most_images(figures, chip):,.0f} images/s, {bound}")
    return "\n  ".join(lines)


def memory_of(figures: dict[str, Any], chip: Chip | None) -> str:
    """What a program takes of a chip's memory, in all and by kinds."""
    gib = {kind: figures[kind] / 2**30 for kind in MEMORY}
    total, kinds = sum(gib.values()), ", ".join(f"{kind} {size:.3g}" for kind, size in gib.items())
    if chip is None:
        return f"{total:.3g} GiB on a CPU device, not what a GPU would need: {kinds}"
    return f"{total:.3g} of {chip.hbm / 2**30:.0f} GiB HBM ({total * 2**30 / chip.hbm:.1%}): {kinds}"


def estimated_images(figures: dict[str, Any], chip: Chip) -> float:
    """Images a second by the compiler's estimate of cycles: without collectives, and without waiting for data."""
    return figures["batch"] * chip.clock / figures["cycles"]


def most_images(figures: dict[str, Any], chip: Chip) -> float:
    """Images a second if nothing but products took time, and those ran at the chip's bfloat16 peak: an upper bound."""
    return figures["batch"] * chip.peak / figures["flops"]


def versions() -> dict[str, str | None]:
    """Of JAX and of the compiler, None if there is none."""
    return {package: _version(package) for package in ("jax", "libtpu")}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def run_apart(command: list[str]) -> tuple[dict[str, Any] | None, int]:
    """Runs launch/compile_check.py for one program as a process of its own: its report, None if it left none, and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        code = subprocess.run([*command, f"--json={file}"]).returncode
        return (json.loads(file.read_text())["programs"][0] if file.exists() else None), code


def ending(code: int) -> str:
    """How a process ended, from its exit code as `subprocess` gives it."""
    return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
