"""Damages files: whatever is changed, they are read, or refused by name."""

from collections.abc import Callable
from pathlib import Path

from snraware_jax.errors import InputError
from snraware_jax.formats.images import Images, read


def assert_read_or_refused(path: Path, content: bytes | bytearray, write: Callable[[Path, Images, Images], None]) -> None:
    """Writes `content` to `path`, reads it, and writes again what could be read; nothing but an InputError may come of it."""
    path.write_bytes(content)
    refusal = _refusal(path, write)
    assert refusal is None or path.name in refusal


def _refusal(path: Path, write: Callable[[Path, Images, Images], None]) -> str | None:
    try:
        images = read(path)
        write(path.with_name(f"again-{path.name}"), images, images)
    except InputError as error:
        return str(error)
    return None
