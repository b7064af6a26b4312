"""A save that the system refuses ends nothing: a message, the last checkpoint whole, and the next save is tried."""

import pytest

from tests.reliability import trials
from tests.reliability.faults import Failed


@pytest.mark.xdist_group("train")
def test_large_files_are_refused_for_a_while(bench):
    command = bench.command("refused", steps=96)
    with command.start() as training:
        trials.refused_saves(training, 0, most_bytes=60_000)
        assert training.wait() == [0], training.tails()
    trials.alike(command, bench.reference(command))


def test_damage_would_be_noticed(tmp_path):
    with pytest.raises(Failed, match="checkpoints"):
        trials.whole(tmp_path / "checkpoints")
