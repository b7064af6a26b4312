"""Checkpoints: written by Orbax, sealed with a digest of every file, and believed only if the digests agree.

A folder CHECKPOINTS/00000150 exists only complete: it is written under another name and renamed when sealed.
Orbax alone would restore flipped bits silently (design, decision 14).
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import flush

SEAL = "digests.json"


def save(folder: Path, step: int, state: Any, *, keep: int = 2) -> Path:
    """Writes FOLDER/STEP and removes all but the newest `keep` checkpoints.

    Checkpoints of later steps are removed first: a run that went back makes them again.

    Args:
      folder: of all checkpoints of a run, absolute or relative.
      step: steps taken, the checkpoint's name.
      state: any tree of arrays.
      keep: how many to leave.
    """
    final = folder.resolve() / f"{step:08d}"
    unfinished = final.with_name(f".{final.name}.unfinished")
    later = [final.with_name(f"{other:08d}") for other in steps(folder) if other >= step]
    for old in (unfinished, *later):
        shutil.rmtree(old, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(unfinished / "state", state)
        checkpointer.wait_until_finished()
    (unfinished / SEAL).write_text(json.dumps(digests(unfinished), indent=1))
    # to disk before the rename says that it is there
    for path in (*unfinished.rglob("*"), unfinished):
        flush(path)
    os.replace(unfinished, final)
    flush(final.parent)
    for old in steps(folder)[:-keep]:
        shutil.rmtree(folder / f"{old:08d}")
    return final


def steps(folder: Path) -> list[int]:
    """The steps of which FOLDER holds a finished checkpoint, oldest first."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal())


def restore(folder: Path, like: Any) -> tuple[int, Any, list[str]]:
    """The newest checkpoint whose files are as they were written.

    Args:
      folder: of all checkpoints of a run.
      like: abstract arrays (`jax.ShapeDtypeStruct` with a sharding) of the state; nothing is initialised first.

    Returns:
      its step, the state, and a line for every newer checkpoint that was passed over.

    Raises:
      InputError: if the folder has no usable checkpoint.
    """
    passed_over = []
    for step in reversed(steps(folder)):
        path = folder.resolve() / f"{step:08d}"
        damage = damaged(path)
        if damage is None:
            with ocp.StandardCheckpointer() as checkpointer:
                return step, checkpointer.restore(path / "state", like), passed_over
        passed_over.append(f"checkpoint {path}: {damage}; falling back to the one before it")
    reasons = "; ".join(passed_over) or "it has none"
    raise InputError(f"{folder}: no usable checkpoint ({reasons}); train again in another --workdir")


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
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
