"""The one exception that programs turn into a message instead of a traceback."""


class InputError(ValueError):
    """What the user gave cannot be used: a file, a configuration field, a folder.

    The message is one sentence that names the thing, says what is wrong with it, and what to type instead.
    Programs print it to stderr and exit with code 2; anything else is a bug and keeps its traceback.
    """


def describe(error: InputError | OSError) -> str:
    """The line to print: an InputError's own message, or which file the system refused and why."""
    if isinstance(error, InputError) or error.filename is None:
        return str(error)
    return f"{error.filename}: {error.strerror}; give another path, or change this one's permissions"
