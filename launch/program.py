"""What every program of this folder does before its work: read flags, refuse misspelt ones, turn bad input into one line."""

import difflib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict

from snraware_jax.errors import BAD_INPUT, INTERRUPTED, InputError, Stopped, describe
from snraware_jax.progress import say

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # LAPACK's threads spin where XLA's are at work (docs/decisions.md, 20)


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags and runs `main`; bad input ends with one line on stderr and exit code 2."""

    def guarded(argv: Sequence[str]) -> int | None:
        logging.set_verbosity(logging.WARNING)  # the libraries report every file that they write
        if len(argv) > 1:
            return _refuse(f"{argv[1]} is not a flag; flags are written --name=value (try --help)")
        try:
            return main()
        except (InputError, OSError) as error:
            return _refuse(describe(error))
        except Stopped as stopped:
            _refuse(str(stopped))
            return stopped.code
        except KeyboardInterrupt:
            _refuse(
                "interrupted; the same command goes on, a training from its newest checkpoint, an evaluation from its start"
            )
            return INTERRUPTED

    app.run(guarded, flags_parser=_parse)


def keep_compiled_programs(folder: Path) -> None:
    """Lets a restart find what was compiled before, in `folder` unless the user has set a place (JAX_COMPILATION_CACHE_DIR)."""
    import jax

    if not jax.config.values["jax_compilation_cache_dir"]:
        jax.config.update("jax_compilation_cache_dir", str(folder.resolve()))


def _refuse(message: str) -> int:
    say(f"{Path(sys.argv[0]).name}: {message}", sys.stderr)
    return BAD_INPUT


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        check_overrides(argv)
        return flags.FLAGS(tuple(argv))
    except (flags.Error, InputError) as error:
        sys.exit(_refuse(str(error).replace("flag --config.", "--config.")))


def check_overrides(argv: Sequence[str]) -> None:
    """Refuses `--config.FIELD=...` for a field that the configuration does not have, with the nearest one that it has.

    Raises:
      InputError: for an unknown field, or a configuration that cannot be loaded.
    """
    text = config_text(argv)
    if not text:
        return
    fields = set(_leaves(load_config(text)))
    given = [argument.lstrip("-").split("=", 1) for argument in argv[1:] if argument.startswith("-")]
    for words in given:
        name = words[0].removeprefix("config.")
        if words[0].startswith("config.") and name not in fields:
            raise InputError(f"unknown key {name}; {_nearest(name, fields)}")


def config_text(argv: Sequence[str] | None = None) -> str:
    """What --config says on the command line, "configs/hrnet_cnnt.py:quick"; empty if it is not given."""
    words = " ".join((argv or sys.argv)[1:]).replace("--config ", "--config=").split()
    given = [word.partition("=")[2] for word in words if word.startswith(("--config=", "-config="))]
    return given[-1] if given else ""


def _nearest(name: str, fields: set[str]) -> str:
    """The field that was meant: of the same last word in any section, or of a similar whole name."""
    last_words = {field.rpartition(".")[2]: field for field in sorted(fields)}
    near = difflib.get_close_matches(name.rpartition(".")[2], last_words, n=1, cutoff=0.8)
    beside = sorted(field for field in fields if field.startswith(f"{name.rpartition('.')[0]}."))
    meant = [last_words[word] for word in near] or ([] if beside else difflib.get_close_matches(name, sorted(fields), n=1))
    return f"did you mean {meant[0]}?" if meant else f"fields are {', '.join(beside or sorted(fields))}"


def load_config(text: str) -> ConfigDict:
    """The configuration that `FILE.py` or `FILE.py:ARGUMENT` describes.

    Raises:
      InputError: if there is no such file, or it refuses the argument.
    """
    name, colon, argument = text.partition(":")
    path = Path(name)
    if colon and not argument:
        raise InputError(f"{text}: nothing behind the colon; write {name}, or {name}:quick")
    if not path.is_file():
        known = ", ".join(sorted(str(file) for file in path.parent.glob("[a-z]*.py") if file.stem != "base"))
        raise InputError(f"{name}: no such configuration" + (f"; there are {known}" if known else ""))
    if path.suffix != ".py":
        raise InputError(f"{name}: not a configuration, which is a .py file; see configs/hrnet_cnnt.py for one")
    specification = importlib.util.spec_from_file_location("config_file", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except (SyntaxError, ImportError, NameError) as error:
        raise InputError(f"{name}: not a configuration ({error}); see configs/hrnet_cnnt.py for one") from error
    try:
        return module.get_config(argument) if argument else module.get_config()
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{text}: {error}") from error


def _leaves(config: Any, prefix: str = "") -> list[str]:
    """The names of all fields, with dots."""
    names = []
    for key, value in config.items():
        names += _leaves(value, f"{prefix}{key}.") if isinstance(value, ConfigDict) else [f"{prefix}{key}"]
    return names
