"""Checkpoints: written by Orbax, sealed with a digest of every file, and believed only if the digests agree.

A folder CHECKPOINTS/00000150 exists only complete: it is written under another name and renamed when sealed.
Orbax alone would restore flipped bits silently (design, decision 14). All processes of a run save and restore together, into a folder
that all of them see.
"""

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import flush
from snraware_jax.training import processes

SEAL = "digests.json"
BARRIER_SECONDS = 600  # that processes wait for one another in a save
MOST_AT_ONCE = 2  # saves, each with a copy of what it saves: of the best parameters and of the state, at one step
_numbers = itertools.count()  # of saves, which come in the same order in every process: names for barriers


class Failure(NamedTuple):
    """Of a save: its folder, and a line for the log."""

    folder: Path
    message: str


class Saves(AbstractContextManager):
    """Saves beside the training, one after another; `start` returns as soon as the arrays are copied on their devices.

    If saves come faster than they are done, `start` waits: copies do not pile up.

    A save that fails ends nothing: its message comes with the next look, and the checkpoint before it stays.
    """

    def __init__(self) -> None:
        # one thread: every process saves in the same order, so that barriers meet
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._going_on: list[tuple[Path, int, Future]] = []
        # the next step donates the arrays that it is given, and on a CPU Orbax would see them change
        self._copy = jax.jit(lambda state: jax.tree.map(jnp.copy, state))

    def start(self, folder: Path, step: int, state: Any, *, keep: int = 2) -> None:
        """Saves a copy of `state` as `save` does, later."""
        under_way = [save for _, _, save in self._going_on if not save.done()]
        wait(under_way[: len(under_way) + 1 - MOST_AT_ONCE])
        copied = self._copy(state)
        self._going_on.append((folder, step, self._thread.submit(save, folder, step, copied, keep=keep)))

    def failures(self, *, wait: bool = False) -> list[Failure]:
        """The saves that have failed since the last look; `wait` for those that are going on."""
        looked_at = [entry for entry in self._going_on if wait or entry[2].done()]
        self._going_on = [entry for entry in self._going_on if entry not in looked_at]
        return [
            Failure(folder, f"step {step} was not saved in {folder} ({error}); the checkpoint before it is whole")
            for folder, step, save in looked_at
            if (error := save.exception()) is not None
        ]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown(wait=True)


def save(folder: Path, step: int, state: Any, *, keep: int = 2) -> Path:
    """Writes FOLDER/STEP and removes all but the newest `keep` checkpoints.

    Checkpoints of later steps are removed too: a run that went back makes them again.

    Args:
      folder: of all checkpoints of a run, absolute or relative.
      step: steps taken, the checkpoint's name.
      state: any tree of arrays.
      keep: how many to leave.
    """
    final = folder.resolve() / f"{step:08d}"
    unfinished = final.with_name(f".{final.name}.unfinished")
    number = next(_numbers)

    def prepare() -> None:
        for old in final.parent.glob(".*.unfinished"):
            shutil.rmtree(old, ignore_errors=True)
        unfinished.mkdir(parents=True)

    def seal() -> None:
        (unfinished / SEAL).write_text(json.dumps(digests(unfinished), indent=1))
        # to disk before the rename says that it is there
        for path in (*unfinished.rglob("*"), unfinished):
            flush(path)
        if final.exists():  # of a run that went back
            shutil.rmtree(final)
        os.replace(unfinished, final)
        flush(final.parent)
        found = steps(folder)
        until = found.index(step) + 1
        for old in (*found[until:], *found[: max(0, until - keep)]):
            shutil.rmtree(folder / f"{old:08d}", ignore_errors=True)  # tried again at the next save

    # a save that fails in one process fails in all of them: otherwise the others would meet it in the barriers of its next
    processes.first_for_all(f"save/{number}", prepare)
    with processes.Meeting(f"save/{number}", BARRIER_SECONDS) as meeting:
        with _checkpointer(set(range(jax.process_count())), f"save{number}", meeting) as checkpointer:
            checkpointer.save(unfinished / "state", state)
            checkpointer.wait_until_finished()
        if jax.process_index() == 0:
            seal()
        meeting()
    return final


def steps(folder: Path) -> list[int]:
    """The steps of which FOLDER holds a finished checkpoint, oldest first."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal())


def restore(folder: Path, like: Any, *, together: bool = True) -> tuple[int, Any, list[str]]:
    """The newest checkpoint whose files are as they were written.

    Args:
      folder: of all checkpoints of a run.
      like: abstract arrays (`jax.ShapeDtypeStruct` with a sharding) of the state; nothing is initialised first. The devices may be
        others than those that saved it.
      together: by all processes, of the checkpoint that process 0 chooses; or by this one, for itself.

    Returns:
      its step, the state, and a line for every newer checkpoint that was passed over.

    Raises:
      InputError: if the folder has no usable checkpoint.
    """
    passed_over: list[str] = []
    if not together:
        step = _newest_usable(folder, passed_over)
    else:
        step = processes.of_first(_newest_usable(folder, passed_over) if jax.process_index() == 0 else 0)
    with _checkpointer(set(range(jax.process_count())) if together else {jax.process_index()}) as checkpointer:
        return step, checkpointer.restore(folder.resolve() / f"{step:08d}" / "state", like), passed_over


def _newest_usable(folder: Path, passed_over: list[str]) -> int:
    for step in reversed(steps(folder)):
        path = folder.resolve() / f"{step:08d}"
        damage = damaged(path)
        if damage is None:
            return step
        passed_over.append(f"checkpoint {path}: {damage}; falling back to the one before it")
    reasons = "; ".join(passed_over) or "it has none"
    raise InputError(f"{folder}: no usable checkpoint ({reasons}); train again in another --workdir")


def _checkpointer(members: set[int], name: str = "", meeting: Callable[..., None] | None = None) -> ocp.StandardCheckpointer:
    # with processes named, Orbax meets at barriers of the coordinator; otherwise in programs on the devices, which would get
    # between those of the training
    among = ocp.options.MultiprocessingOptions(
        primary_host=min(members), active_processes=members, barrier_sync_key_prefix=name or None
    )
    waiting = ocp.options.AsyncOptions(timeout_secs=BARRIER_SECONDS, barrier_sync_fn=meeting)
    return ocp.StandardCheckpointer(multiprocessing_options=among, async_options=waiting)


def damaged(path: Path) -> str | None:
    """What is wrong with a checkpoint's files, or None."""
    try:
        expected = dict(json.loads((path / SEAL).read_text()))
    except (OSError, ValueError, TypeError) as error:
        return f"{SEAL} is unreadable ({error})"
    found = digests(path)
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    return f"{wrong[0]} is not as it was written" if wrong else None


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of every file below `path` except the seal itself."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != SEAL)
    return {str(file.relative_to(path)): _digest(file) for file in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
