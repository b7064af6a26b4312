"""A batch lies over the devices in the order of its samples, whatever the torus of the chips."""

from dataclasses import dataclass

import pytest

from snraware_jax.training import mesh


@dataclass(frozen=True)
class Device:
    process_index: int
    id: int
    platform: str = "cpu"


# four processes of a torus of 4 x 4, each with a square of 2 x 2; numbered along the rows
TORUS = [Device(2 * (row // 2) + column // 2, 4 * row + column) for row in range(4) for column in range(4)]


@pytest.mark.parametrize("fsdp", [1, 2, 16])
def test_devices_of_a_process_lie_side_by_side(fsdp):
    made = mesh.make_mesh(fsdp, TORUS)
    assert dict(made.shape) == {"data": 16 // fsdp, "fsdp": fsdp}
    in_order = made.devices.ravel().tolist()
    assert [device.process_index for device in in_order] == sorted(device.process_index for device in TORUS)
    assert [device.id for device in in_order[:4]] == [0, 1, 4, 5]
