"""The one exception that programs turn into a message instead of a traceback."""


class InputError(ValueError):
    """What the user gave cannot be used: a file, a configuration field, a folder.

    The message is one sentence that names the thing, says what is wrong with it, and what to type instead.
    Programs print it to stderr and exit with code 2; anything else is a bug and keeps its traceback.
    """
