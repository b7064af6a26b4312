"""Outputs that exist whole or not at all."""

import csv
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snraware_jax.errors import InputError

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)  # what writing fails with, without a name


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the place of `path` on success and disappears on any exception.

    with replacing("out.h5") as temporary:
        write(temporary)

    Raises:
      OSError: naming `path`, if it is a folder or nothing can be written beside it.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:  # the user has not chosen the temporary name
        raise type(error)(error.errno, error.strerror, str(path)) from error
    os.close(handle)
    # mkstemp makes files of mode 0600; an output gets the permissions that any new file would
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    try:
        yield Path(name)
        flush(Path(name))
        os.replace(name, path)
        flush(path.parent)
    except OSError as error:
        if error.filename not in (None, name) or error.errno not in OF_THE_DISK:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path`; on success it takes the place of `path`, on any exception, Ctrl-C too, nothing does.

    A folder of files of the same names is replaced, so that a command given again gives the same folder.

    Raises:
      InputError: if `path` is a file, or holds other files, which would mix with these.
    """
    target = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    require_own_folder(Path(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    made, before = room / "made", room / "before"
    try:
        made.mkdir()
        yield made
        require_own_folder(Path(path), [file.name for file in made.iterdir()])
        for file in (*made.iterdir(), made):
            flush(file)
        if target.exists():
            shutil.copymode(target, made)
            os.rename(target, before)
        os.rename(made, target)
        flush(target.parent)
    finally:
        if before.exists() and not target.exists():  # interrupted between the two
            os.rename(before, target)
        shutil.rmtree(room)


def require_own_folder(path: Path, names: Iterable[str] | None = None) -> None:
    """Refuse a folder that an output cannot be.

    Args:
      path: the output.
      names: of all its files, where they are known yet.

    Raises:
      InputError: if `path` is a file, or a folder with files of other names.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, and the output a folder: give another name, or delete it.")
    if names is not None and path.is_dir() and (other := {file.name for file in path.iterdir()} - set(names)):
        raise InputError(f"{path} holds other files ({min(other)}): give an empty folder, or another name.")


def flush(path: Path) -> None:
    """Forces a file, or the names in a folder, to disk: after a power failure a renamed file must not be an empty one."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a CSV file, whole or not at all: a line a row, with a column for every name that any of them has."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
