"""Many series of one shape at once: one batched program, its batch shared among the devices of this machine."""

import math
import os
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, PartitionSpec

SHARE_OF_MEMORY = 0.5  # of a device's memory that a batch may take: what XLA plans is not all that it takes
MOST = 64  # series a device; by then every device is busy


def over_devices(function: Callable) -> Callable:
    """`function` of one series as a compiled function of a batch: every argument and result gains a leading axis.

    The batch has to be a multiple of the number of devices, see `together`. Devices do not communicate.
    """
    mesh = jax.make_mesh((jax.local_device_count(),), ("series",), axis_types=(AxisType.Auto,), devices=jax.local_devices())
    spec = PartitionSpec("series")
    return jax.jit(jax.shard_map(jax.vmap(function), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False))


def together(items: Sequence[np.ndarray | jax.Array], size: int) -> np.ndarray:
    """Items of one shape as one array of `size`, the last of them repeated: a short batch needs no program of its own."""
    return np.stack([np.asarray(item) for item in items] + [np.asarray(items[-1])] * (size - len(items)))


def padded(count: int) -> int:
    """The size of a batch for `count` series: a power of two for each device, so that few programs serve all counts."""
    devices = jax.local_device_count()
    return devices * 2 ** max(0, math.ceil(math.log2(count / devices)))


def size_that_fits(bytes_of_one: Callable[[], int], bytes_on_host: int, memory: int | None = None) -> int:
    """Series in a batch: one for each CPU device, which gains nothing from more; else what fits the devices and this computer.

    Args:
      bytes_of_one: what one series takes on a device; asked for on GPU and TPU alone.
      bytes_on_host: its raw data, which wait in the memory of this computer.
      memory: of a device in bytes; by default what the device says.
    """
    devices = jax.local_devices()
    if memory is None:
        statistics = None if devices[0].platform == "cpu" else devices[0].memory_stats()
        memory = statistics["bytes_limit"] if statistics else None
    if memory is None:
        return len(devices)
    of_host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // len(devices)
    fitting = min(memory // max(bytes_of_one(), 1), of_host // max(bytes_on_host, 1))
    return len(devices) * int(np.clip(SHARE_OF_MEMORY * fitting, 1, MOST))
