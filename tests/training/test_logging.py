"""Figures that cannot be written are an error with a fix, also where only TensorBoard's own thread meets it."""

import pytest

from snraware_jax.errors import InputError
from snraware_jax.training.clock import Clock
from snraware_jax.training.logging import MetricsWriter, Timing, read_metrics


def test_rows_are_for_programs_and_for_tensorboard(tmp_path):
    metrics = MetricsWriter(tmp_path, 0)
    metrics.write({"step": 1, "loss": float("nan")})
    metrics.write_timing({"step": 1, "seconds": {"step": 2.0}})
    metrics.flush(to_disk=True)
    metrics.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": None}]
    assert [path.name.startswith("events") for path in (tmp_path / "tensorboard").iterdir()] == [True]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_tensorboard_whose_thread_has_ended_is_not_waited_for(tmp_path, monkeypatch):
    metrics = MetricsWriter(tmp_path, 0)
    thread = metrics._board.file_writer.event_writer._worker

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(thread._record_writer, "write_event", full)
    metrics.write({"step": 1, "loss": 2.0})
    metrics.flush()
    thread.join(10)
    metrics.write({"step": 2, "loss": 1.0})
    with pytest.raises(InputError, match="figures cannot be written .*TensorBoard.*make room"):
        metrics.flush()
    metrics.close()
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2


def test_a_run_may_go_back_behind_where_it_was_started():
    timing = Timing([], 1000, images=8, flops=1.0, clock=Clock())
    timing.went_back(500)
    assert timing.row(501)["productive_s"] >= 0
