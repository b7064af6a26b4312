"""Which device holds what: one mesh of two axes, batches split over both, large tensors over the second if asked."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

# below this a tensor is kept whole on every device: gathering it would cost more than it saves
LEAST_BYTES_TO_SPLIT = 4 * 2**20


def make_mesh(fsdp: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """The devices [all of them] as ('data', 'fsdp'), those of a process side by side, so that a batch lies in the order of its samples.

    Not `jax.make_mesh`, which orders them by the torus of a TPU slice: a process's devices are then apart, and a second axis is
    refused where it does not divide the torus. Gradients are exchanged over all devices at once, to which their order does not matter.
    """
    devices = sorted(jax.devices() if devices is None else devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices).reshape(-1, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis over every device."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(state: Any, mesh: Mesh) -> Any:
    """Per array of `state` (abstract arrays will do): the largest axis that divides over 'fsdp', for large arrays; else whole."""
    parts = mesh.shape["fsdp"]

    def of(array: jax.ShapeDtypeStruct) -> NamedSharding:
        axes = [axis for axis, size in enumerate(array.shape) if size % parts == 0]
        if parts == 1 or not axes or array.size * array.dtype.itemsize < LEAST_BYTES_TO_SPLIT:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: array.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, "fsdp"))

    return jax.tree.map(of, state)


def global_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This host's share of a batch -> arrays over all devices of all hosts."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}
