"""What an evaluation leaves behind, in one folder that programs write and `report` reads.

FOLDER/about.json            how it was made, warnings, tables, and the list of the series
FOLDER/series/000-NAME.npz   the arrays of one `Entry`, uncompressed
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.archive import BROKEN
from snraware_jax.formats.atomic import replacing

ABOUT, SERIES = "about.json", "series"
FORMAT = "snraware evaluation 1"
COMPLEX, OPTIONAL = ("noisy", "denoised", "reference"), ("reference", "noise_map")
AGAIN = "run the evaluation again"

Cell = str | int | float | None


class Entry(NamedTuple):
    """One series before and after denoising.

    Attributes:
      name: of the series, for titles.
      noisy: `[T, H, W]` complex64, noise SD `g_map` in real and imaginary part.
      denoised: `[T, H, W]` complex64, in the units of `noisy`.
      g_map: `[H, W]` or `[T, H, W]` float32, 0 where the coils see nothing.
      reference: `[T, H, W]` complex64, the truth in the units of `noisy`; None if it is not known.
      noise_map: `[T, H, W]` float32, noise SD of `denoised` per real component (`noise_maps`); None if it was not measured.
    """

    name: str
    noisy: np.ndarray
    denoised: np.ndarray
    g_map: np.ndarray
    reference: np.ndarray | None = None
    noise_map: np.ndarray | None = None


class Table(NamedTuple):
    """A table of figures; None is an empty cell."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class About(NamedTuple):
    """How the series were made.

    Attributes:
      title: of the report.
      command: as it was typed.
      configuration: digest of the configuration, or of the bundle.
      versions: of the packages, by name.
      seed: of the noise; None where none was drawn.
      device: in words.
      seconds: that the evaluation took.
      warnings: sentences for the reader, the gravest first.
      tables: figures over all series.
    """

    title: str
    command: str
    configuration: str
    versions: Mapping[str, str]
    seed: int | None
    device: str
    seconds: float
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()


def write(folder: Path, entries: Iterable[Entry], about: About) -> None:
    """Writes an evaluation, in the place of one that is there; series may come from a generator.

    `about.json` comes last: without it a folder is no evaluation, so that one that was cut off is not taken for a whole one.

    Raises:
      InputError: if there are no series, or the arrays of one do not fit together or are not finite.
    """
    (folder / ABOUT).unlink(missing_ok=True)
    names: list[str] = []
    for number, entry in enumerate(entries):
        names.append(f"{number:03d}-{slug(entry.name)}.npz")
        _write_entry(folder / SERIES / names[-1], entry)
    if not names:
        raise InputError(f"{folder}: no series to write; evaluate one or more")
    text = json.dumps({"format": FORMAT, **_as_json(about), "series": names}, indent=1, allow_nan=False)
    with replacing(folder / ABOUT) as temporary:
        temporary.write_text(text + "\n")
    remove_others(folder / SERIES, names)


def read(folder: Path) -> tuple[list[Entry], About]:
    """Reads what `write` has written, all of it at once.

    Raises:
      InputError: as `open_folder` and `read_entry`.
    """
    about, paths = open_folder(folder)
    return [read_entry(path) for path in paths], about


def open_folder(folder: Path) -> tuple[About, list[Path]]:
    """How the series of a folder were made, and their files, to be read one at a time.

    Raises:
      InputError: if the folder or its `about.json` is missing, damaged, or lists no series or one that is not there.
    """
    path = folder / ABOUT
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that launch/evaluate.py has written")
    if not path.is_file():
        raise InputError(
            f"{path}: not there, so {folder} is no evaluation or one that did not end; {AGAIN}, or give its folder"
        )
    try:
        stored = json.loads(path.read_text())
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        about, names = _from_json(stored)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not what an evaluation writes ({error}); {AGAIN}") from error
    paths = [folder / SERIES / name for name in names]
    if missing := [series for series in paths if not series.is_file()]:
        raise InputError(f"{missing[0]}: no such file, but {ABOUT} lists it; {AGAIN}")
    return about, paths


def read_entry(path: Path) -> Entry:
    """Reads one series.

    Raises:
      InputError: if the file is damaged, lacks an array, or its arrays do not fit together or are not finite.
    """
    try:
        with path.open("rb") as file, np.load(file) as stored:
            arrays = {name: stored[name] for name in Entry._fields if name in stored or name not in OPTIONAL}
    except (OSError, KeyError, TypeError, ValueError, AttributeError, *BROKEN) as error:
        raise InputError(f"{path}: not a series of an evaluation ({error}); {AGAIN}") from error
    entry = Entry(str(arrays.pop("name")), **arrays)
    _check(entry, str(path))
    return entry


def slug(text: str) -> str:
    """A title as part of a file name: letters, digits, dots, underscores and dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "series"


def remove_others(folder: Path, names: Iterable[str]) -> None:
    """Removes files of an earlier evaluation, whose names begin with a number and a dash, from a folder that now holds `names`."""
    for path in folder.glob("*"):
        if re.match(r"\d{3,}-", path.name) and path.name not in set(names) and path.is_file():
            path.unlink()


def _write_entry(path: Path, entry: Entry) -> None:
    given = {name: array for name, array in entry._asdict().items() if name != "name" and array is not None}
    with np.errstate(over="ignore"):  # what overflows is found below
        arrays: dict[str, Any] = {name: _narrow(np.asarray(array)) for name, array in given.items()}
    _check(Entry(entry.name, **arrays), entry.name)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, name=np.array(entry.name), **arrays)


def _narrow(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex64 if np.iscomplexobj(array) else np.float32)


def _check(entry: Entry, where: str) -> None:
    """Raises InputError unless the arrays of a series fit together."""
    shape = np.shape(entry.noisy)
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"{where}: the noisy series is {list(shape)}; it has to be [T, H, W], none of them 0")
    fitting = {"g_map": (shape, shape[1:])}
    for name, array in entry._asdict().items():
        if name == "name" or array is None:
            continue
        shapes = fitting.get(name, (shape,))
        if array.shape not in shapes:
            wanted = " or ".join(str(list(one)) for one in shapes)
            raise InputError(f"{where}: {name} is {list(array.shape)}, the noisy series {list(shape)}; give {wanted}")
        if np.iscomplexobj(array) != (name in COMPLEX) or array.dtype.kind not in "fc":
            wanted = "complex64" if name in COMPLEX else "float32"
            raise InputError(f"{where}: {name} is {array.dtype}; give {wanted}")
        if bad := np.count_nonzero(~np.isfinite(array)):
            raise InputError(f"{where}: {name} holds {bad} NaN or Inf of {array.size} values; {AGAIN} with what gives numbers")
        if name not in COMPLEX and (array < 0).any():
            raise InputError(f"{where}: {name} holds {np.count_nonzero(array < 0)} values below 0; an SD is 0 or more")
    if not np.any(entry.g_map):
        raise InputError(f"{where}: the g-map is 0 everywhere; give that of the series")


def _as_json(about: About) -> dict[str, Any]:
    tables = [
        {"title": t.title, "header": list(t.header), "rows": [[_cell(c) for c in row] for row in t.rows]} for t in about.tables
    ]
    seed = None if about.seed is None else int(about.seed)
    plain = {"versions": dict(about.versions), "seed": seed, "seconds": float(about.seconds), "warnings": list(about.warnings)}
    return {**about._asdict(), **plain, "tables": tables}


def _cell(value: Any) -> Cell:
    """A cell as JSON has it, which knows neither NumPy's numbers nor those that are not finite."""
    plain = value.item() if isinstance(value, np.generic) else value
    return str(plain) if isinstance(plain, float) and not np.isfinite(plain) else plain


def _from_json(stored: Mapping[str, Any]) -> tuple[About, list[str]]:
    """The values of `about.json`, each of its kind; ValueError names the one that is not."""
    texts = lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value)
    is_number = lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    rules = {
        **dict.fromkeys(("title", "command", "configuration", "device"), lambda value: isinstance(value, str)),
        "versions": lambda value: isinstance(value, dict) and texts(list(value.values())),
        "seed": lambda value: value is None or (is_number(value) and isinstance(value, int)),
        "seconds": is_number,
        "warnings": texts,
        "tables": lambda value: isinstance(value, list) and all(map(_is_table, value)),
        "series": lambda value: texts(value) and value and all(name == Path(name).name for name in value),
    }
    for name, rule in rules.items():
        if name not in stored or not rule(stored[name]):
            raise ValueError(f"{name!r} is {'missing' if name not in stored else 'of another kind'}")
    fields: dict[str, Any] = {name: stored[name] for name in About._fields}
    fields["tables"] = [Table(table["title"], table["header"], table["rows"]) for table in stored["tables"]]
    return About(**fields), stored["series"]


def _is_table(value: Any) -> bool:
    if not (isinstance(value, dict) and isinstance(value.get("title"), str) and isinstance(value.get("rows"), list)):
        return False
    lists = [value.get("header"), *value["rows"]]
    if not all(isinstance(row, list) for row in lists):
        return False
    cells = [cell for row in lists for cell in row]
    return len({len(row) for row in lists}) == 1 and all(cell is None or isinstance(cell, str | int | float) for cell in cells)
