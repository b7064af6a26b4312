"""A training that is killed goes on by the same command, and makes the numbers of an undisturbed one (100 kills: the sweep)."""

import pytest

from tests.reliability import trials

KILLS = 8


@pytest.mark.xdist_group("train")
def test_kills_at_random_instants_change_no_bit(bench):
    command = bench.command("killed", steps=96)
    moments = trials.killed_again_and_again(command, bench.reference(command), bench.random(1), KILLS)
    assert len(moments) == KILLS, "over before the last kill: give it more steps"
    assert len(set(moments)) == 3
