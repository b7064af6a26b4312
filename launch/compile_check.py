"""Compiles noise and train step of a configuration for TPUs that need not be there, and says what they would take.

    pip install libtpu                                             # the compiler, on any Linux machine
    python launch/compile_check.py --config=configs/hrnet_cnnt.py:quick --topology=v5e:2x2

Prints, for each program, the time of compilation, memory of a chip, and how many collective operations it has. Nothing is run. The
compiler can abort the process; a message of its own says why.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags
from ml_collections import config_flags

from launch import program

CONFIG = config_flags.DEFINE_config_file("config", None, "FILE.py or FILE.py:quick; --config.FIELD=value changes a field")
TOPOLOGY = flags.DEFINE_string("topology", "v5e:2x2", "chips: v5e:16x8, v5p:4x4x8, v6e:16x8, ...")
PROGRAMS = flags.DEFINE_list("programs", ["noise", "train_step"], "which of noise, train_step")
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def main() -> None:
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}  # there is no TPU to ask
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    from jax.experimental import topologies

    from snraware_jax.errors import InputError
    from snraware_jax.training import configuration, mesh
    from snraware_jax.training.run import assemble
    from snraware_jax.training.step import abstract_batch, noisy_pairs

    if CONFIG.value is None:
        raise InputError("which configuration? --config=configs/hrnet_cnnt.py:quick, for example")
    unknown = set(PROGRAMS.value) - {"noise", "train_step"}
    if unknown:
        raise InputError(f"--programs: {sorted(unknown)[0]} is unknown; choose noise, train_step or both")
    config = CONFIG.value
    try:
        devices = topologies.get_topology_desc(TOPOLOGY.value, "tpu").devices
    except RuntimeError as error:  # JAX without libtpu, and libtpu for chips that it does not know
        raise InputError(f"--topology={TOPOLOGY.value}: no such chips, or no libtpu (pip install libtpu): {error}") from error
    configuration.validate(config, len(devices))
    run = assemble(config, samples=config.batch_size, devices=devices)
    over_all = mesh.batch_sharding(run.mesh)
    batch = {
        name: jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=over_all)
        for name, one in abstract_batch(config.batch_size, config.data.patch, run.noise.g_margin).items()
    }
    programs: Mapping[str, Callable[[], Any]] = {
        "noise": lambda: jax.jit(lambda batch: noisy_pairs(batch, run.noise, config.seed, run.mesh, run.magnitude)).lower(
            batch
        ),
        "train_step": lambda: jax.jit(run.train_step, donate_argnums=0).lower(run.abstract_state, batch),
    }
    for name in PROGRAMS.value:
        started = time.perf_counter()
        compiled = programs[name]().compile()
        print(f"compile_check: {name} for {TOPOLOGY.value}: {describe(compiled, time.perf_counter() - started)}", flush=True)


def describe(compiled: Any, seconds: float) -> str:
    """Time, memory of a chip and collectives of a compiled program, as one line."""
    memory, text = compiled.memory_analysis(), compiled.as_text()
    sizes = {
        "arguments": memory.argument_size_in_bytes,
        "output": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
    }
    counts = {name: text.count(f" {name}(") + text.count(f" {name}-start(") for name in COLLECTIVES}
    collectives = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no collectives"
    return (
        f"{seconds:.0f} s, " + ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in sizes.items()) + f", {collectives}"
    )


if __name__ == "__main__":
    program.run(main)
