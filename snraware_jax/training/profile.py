"""A profile of a few steps, to be opened in Perfetto or TensorBoard."""

from collections.abc import Callable
from pathlib import Path

import jax


def window(text: str) -> tuple[int, int] | None:
    """The first and the last step of "10:13"; None of "".

    Raises:
      ValueError: for anything else.
    """
    if not text:
        return None
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ValueError("give the first and the last step, --config.profile.steps=10:13")
    return int(first), int(last)


def profiler(text: str, folder: Path) -> Callable[[int], bool]:
    """A function of the number of steps done, to be called before each step and behind the last; True where a profile ends.

    Args:
      text: as of `window`.
      folder: that profiles are written to.
    """
    steps, running = window(text), False

    def between_steps(done: int) -> bool:
        nonlocal running
        if steps is None:
            return False
        first, last = steps
        if running and done >= last:
            jax.profiler.stop_trace()
            running = False
            return True
        if done + 1 == first:
            jax.profiler.start_trace(str(folder))
            running = True
        return False

    return between_steps
