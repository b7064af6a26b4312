"""Outputs that exist whole or not at all."""

import csv
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
    """A temporary folder beside `path`; on success its files move to `path`, on any exception nothing does.

    Files of the same names are replaced, so that a command given again gives the same folder.

    Raises:
      InputError: if `path` holds other files, which would mix with these.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
        made = sorted(temporary.iterdir())
        path.mkdir(exist_ok=True)
        if other := {file.name for file in path.iterdir()} - {file.name for file in made}:
            raise InputError(f"{path} holds other files ({min(other)}): give an empty folder, or another name.")
        for file in made:
            flush(file)
            os.replace(file, path / file.name)
        flush(path)
    finally:
        shutil.rmtree(temporary)


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
