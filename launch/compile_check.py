"""Compiles noise and train step of a configuration for TPUs that need not be there, and says what they would take.

    pip install libtpu                                             # the compiler, on any Linux machine
    python launch/compile_check.py --config=configs/hrnet_cnnt.py:quick --topology=v5e:2x2

Prints, for each program, the time of compilation, memory of a chip, its arithmetic (that of products and convolutions, what is computed
again in the gradient included), and how many collective operations it has. Nothing is run. The compiler can abort the process; a
message of its own says why. `benchmarks/compile.py` does this for the networks of Table 2.
"""

import os
import time
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from launch import program
from snraware_jax.errors import InputError

CONFIG = config_flags.DEFINE_config_file("config", None, "FILE.py or FILE.py:quick; --config.FIELD=value changes a field")
TOPOLOGY = flags.DEFINE_string("topology", "v5e:2x2", "chips: v5e:16x8, v5p:4x4x8, v6e:16x8, ...")
PROGRAMS = flags.DEFINE_list("programs", ["noise", "train_step"], "which of noise, train_step")
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def main() -> None:
    if CONFIG.value is None:
        raise InputError("which configuration? --config=configs/hrnet_cnnt.py:quick, for example")
    unknown = set(PROGRAMS.value) - {"noise", "train_step"}
    if unknown:
        raise InputError(f"--programs: {sorted(unknown)[0]} is unknown; choose noise, train_step or both")
    for name in PROGRAMS.value:
        print(f"compile_check: {name} for {TOPOLOGY.value}: {describe(check(CONFIG.value, TOPOLOGY.value, name))}", flush=True)


def check(config: ConfigDict, topology: str, name: str) -> dict[str, Any]:
    """Compiles "noise" or "train_step" of a configuration for a topology.

    Returns:
      `seconds` of compilation; of a chip `arguments`, `output` and `temporary` memory in bytes and `flops`, floating-point
      operations of products and convolutions; `collectives`, how many there are of each kind in the program.

    Raises:
      InputError: for a topology that the compiler does not know, or a configuration that does not fit it.
    """
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}  # there is no TPU to ask
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    from jax.experimental import topologies

    from snraware_jax import flops
    from snraware_jax.training import configuration, mesh
    from snraware_jax.training.run import assemble
    from snraware_jax.training.step import abstract_batch, noisy_pairs

    try:
        devices = topologies.get_topology_desc(topology, "tpu").devices
    except RuntimeError as error:  # JAX without libtpu, and libtpu for chips that it does not know
        raise InputError(f"--topology={topology}: no such chips, or no libtpu (pip install libtpu): {error}") from error
    configuration.validate(config, len(devices))
    run = assemble(config, samples=config.batch_size, devices=devices)
    over_all = mesh.batch_sharding(run.mesh)
    batch = {
        name: jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=over_all)
        for name, one in abstract_batch(config.batch_size, config.data.patch, run.noise.g_margin).items()
    }
    everywhere = mesh.replicated(run.mesh)
    vgg = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=everywhere), run.vgg())
    steps = {
        "noise": (jax.jit(lambda batch: noisy_pairs(batch, run.noise, config.seed, run.mesh, run.magnitude)), (batch,)),
        "train_step": (jax.jit(run.train_step, donate_argnums=0), (run.abstract_state, batch, vgg)),
    }
    step, arguments = steps[name]
    started = time.perf_counter()
    compiled: Any = step.lower(*arguments).compile()
    seconds = time.perf_counter() - started
    memory, text = compiled.memory_analysis(), compiled.as_text()
    counts = {name: text.count(f" {name}(") + text.count(f" {name}-start(") for name in COLLECTIVES}
    return {
        "seconds": seconds,
        "arguments": memory.argument_size_in_bytes,
        "output": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
        "flops": flops.products(step, *arguments) / len(devices),
        "collectives": {name: count for name, count in counts.items() if count},
    }


def describe(figures: dict[str, Any]) -> str:
    """What `check` found, as one line."""
    sizes = ", ".join(f"{name} {figures[name] / 2**20:.1f} MiB" for name in ("arguments", "output", "temporary"))
    collectives = ", ".join(f"{count} {name}" for name, count in figures["collectives"].items()) or "no collectives"
    return f"{figures['seconds']:.0f} s, {sizes}, {figures['flops'] / 1e12:.3g} TFLOP in products, {collectives}"


if __name__ == "__main__":
    program.run(main)
