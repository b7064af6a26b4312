"""Another program for another platform: chosen when a network is compiled, or not at all, for formats that know one program."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jax import lax

_ONE_PROGRAM = ContextVar("one_program", default=False)


def by_platform(*operands: Any, default: Callable, alone: Callable | None = None, **others: Callable) -> Any:
    """`lax.platform_dependent`; within `one_program` what is `alone`, or the default."""
    if _ONE_PROGRAM.get():
        return (alone or default)(*operands)
    return lax.platform_dependent(*operands, default=default, **others)


@contextmanager
def one_program() -> Iterator[None]:
    """What is traced within has no choice of platforms in it."""
    token = _ONE_PROGRAM.set(True)
    try:
        yield
    finally:
        _ONE_PROGRAM.reset(token)
