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


def profiler(text: str, folder: Path, total: int) -> Callable[[int], None]:
    """A function of the number of steps done, to be called before each step and behind the last; process 0 alone writes one.

    Args:
      text: as of `window`.
      folder: that profiles are written to.
      total: steps of the run.
    """
    steps, running = window(text) if jax.process_index() == 0 else None, False

    def between_steps(done: int) -> None:
        nonlocal running
        if steps is None:
            return
        first, last = steps
        if running and done >= min(last, total):
            jax.profiler.stop_trace()
            running = False
            print(f"train: profile of steps {first} to {done} in {folder}", flush=True)
        elif not running and done + 1 == first <= total:
            jax.profiler.start_trace(str(folder))
            running = True

    return between_steps
