"""The number of devices and of processes changes the order of a few sums, nothing else (all fourteen: `python -m tests.scale`)."""

import pytest

from tests.scale.__main__ import difference, losses


@pytest.mark.xdist_group("train")
def test_eight_devices_and_two_processes_make_the_losses_of_one(tmp_path):
    found = losses(tmp_path, ["--networks=hrnet_cnnt"])
    on_one = found.pop("1 device")
    assert len(set(on_one["hrnet_cnnt float32"])) == 3
    for of_others in found.values():
        assert difference(of_others["hrnet_cnnt float32"], on_one["hrnet_cnnt float32"]) < 1e-6
        assert difference(of_others["hrnet_cnnt bfloat16"], on_one["hrnet_cnnt float32"]) < 1e-3
