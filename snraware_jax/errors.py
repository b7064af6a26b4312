"""How programs end: the exceptions that they turn into a message instead of a traceback, and their exit codes.

0 is done, 1 some of many files or checks failed. A restart loop (launch/pods/restart.sh) starts a training again after STOPPED and
STUCK, not after BAD_INPUT and INTERRUPTED.
"""

import errno

BAD_INPUT = 2
STOPPED = 75  # by SIGTERM, with everything saved
STUCK = 76  # a phase lasted longer than it may
INTERRUPTED = 130  # by Ctrl-C, with everything saved


class InputError(ValueError):
    """What the user gave cannot be used: a file, a configuration field, a folder.

    The message is one sentence that names the thing, says what is wrong with it, and what to type instead.
    Programs print it to stderr and exit with code 2; anything else is a bug and keeps its traceback.
    """


class Stopped(Exception):
    """A training was asked to stop, and has saved what it did.

    Attributes:
      code: the exit code, STOPPED or INTERRUPTED.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def describe(error: InputError | OSError) -> str:
    """The line to print: an InputError's own message, or which file the system refused and why."""
    if isinstance(error, InputError) or error.filename is None:
        return str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "make room, then give the same command again" if full else "give another path, or change this one's permissions"
    return f"{error.filename}: {error.strerror}; {fix}"
