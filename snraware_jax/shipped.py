"""Models that come with the package, by name; `snraware info NAME` says how they were trained and what they reached."""

from pathlib import Path

from snraware_jax.errors import InputError

FOLDER = Path(__file__).with_name("bundles")
NAMES = ("complex", "magnitude")  # the first that takes an image is the better one for it


def file_of(name: str) -> Path:
    """Of one of `NAMES`."""
    return FOLDER / f"{name}.snr"


def find(model: str | Path) -> Path:
    """The file of a model: a shipped one by its name, or a path as it is.

    Raises:
      InputError: if there is neither.
    """
    if str(model) in NAMES and not Path(model).is_file():
        return file_of(str(model))
    if not Path(model).is_file():
        raise InputError(f"{model}: no such bundle; give a file NAME.snr, or one of the models that ship: {', '.join(NAMES)}")
    return Path(model)
