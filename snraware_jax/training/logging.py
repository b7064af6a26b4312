"""Figures of a run: one JSON line a step in WORKDIR/metrics.jsonl, and the same for TensorBoard."""

import json
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows of a metrics file; a last line cut off by a crash is left out.

    Raises:
      InputError: if the file holds anything else.
    """
    if not path.exists():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        if not all(isinstance(row["step"], int) for row in rows):
            raise ValueError("a step is not a number")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it to go on without the figures of earlier steps") from error
    return rows


class MetricsWriter:
    """Appends rows to WORKDIR/metrics.jsonl and to WORKDIR/tensorboard; on a restart drops the rows after `step`."""

    def __init__(self, workdir: Path, step: int) -> None:
        self.path = workdir / "metrics.jsonl"
        kept = [row for row in read_metrics(self.path) if row["step"] <= step]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self._file = self.path.open("a")
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def write(self, row: dict[str, Any]) -> None:
        """One row; it must have `step`."""
        self._file.write(json.dumps(row) + "\n")
        for name, value in row.items():
            if name != "step" and isinstance(value, (int, float)):
                self._board.add_scalar(name, value, row["step"])

    def flush(self) -> None:
        """Makes what was written visible to other programs."""
        self._file.flush()
        self._board.flush()

    def close(self) -> None:
        """Closes both files."""
        self._file.close()
        self._board.close()
