"""Work on many files: which output belongs to which input, what is done already, and failures that do not stop the rest."""

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from snraware_jax.errors import InputError, describe
from snraware_jax.progress import Progress

HDF5 = (".h5", ".hdf5", ".mrd")
OUTPUTS = (".h5", ".hdf5")
OTHER_FORMATS = (".mrd", ".nii", ".gz", ".dcm", ".npy", ".npz", ".mat", ".png", ".txt")  # of files, never of folders


@dataclass(frozen=True)
class Job:
    """One input file and the name of its output; several outputs of one input carry a suffix behind that name's stem."""

    source: Path
    output: Path


def jobs(inputs: Sequence[Path], output: Path, suffixes: Sequence[str] = HDF5, others: Sequence[Path] = ()) -> list[Job]:
    """Every input file with its output: the file `output` for a single one, else a file of the same name in the folder `output`.

    Folders are searched, their tree is repeated below `output`; hidden files, what lies in `output` itself and `others` (files
    that are read beside the inputs, a noise scan) are no inputs.

    Raises:
      InputError: if a folder holds no input, or two outputs, or something that is read and an output, are the same file.
    """
    single = output.suffix.lower() in OUTPUTS and not output.is_dir()
    if not single and not output.is_dir() and (output.exists() or output.suffix.lower() in OTHER_FORMATS):
        raise InputError(f"{output} is no folder and no .h5 file: give a folder, or -o {output.with_suffix('.h5')}")
    if single and (len(inputs) > 1 or inputs[0].is_dir()):
        what = f"{len(inputs)} scans" if len(inputs) > 1 else f"the scans of {inputs[0]}"
        raise InputError(f"{what} cannot go into the one file {output}: give a folder, -o {output.with_suffix('')}")
    found = [Job(inputs[0], output)] if single else [job for path in inputs for job in _below(path, output, suffixes)]
    read = {path.resolve() for path in others}
    found = [job for job in found if len(found) == 1 or job.source.resolve() not in read]
    twice = [name for name, count in Counter(job.output for job in found).items() if count > 1]
    if twice:
        raise InputError(f"several scans would be written to {min(twice)}: reconstruct them into separate folders.")
    read |= {job.source.resolve() for job in found}
    same = [job.output for job in found if job.output.resolve() in read]
    if same:
        raise InputError(f"{same[0]} is an input: give -o another name.")
    return found


def _below(path: Path, output: Path, suffixes: Sequence[str]) -> Iterator[Job]:
    if not path.is_dir():
        yield Job(path, output / f"{path.stem}.h5")
        return
    if output.resolve() == path.resolve():
        raise InputError(f"{path} is the folder of the inputs: give -o another one, for example {path / 'series'}.")
    files = sorted(_visible(path, suffixes))
    if path.resolve() in output.resolve().parents:
        files = [file for file in files if output.resolve() not in file.resolve().parents]
    if not files:
        raise InputError(f"{path}: no {' or '.join(suffixes)} file in this folder.")
    for file in files:
        yield Job(file, output / file.relative_to(path).with_suffix(".h5"))


def _visible(path: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Files below a folder; one that cannot be read is an error, or its scans would be missing in silence."""

    def refuse(error: OSError) -> None:
        raise error

    seen = set()
    for folder, below, names in os.walk(path, onerror=refuse, followlinks=True):
        below[:] = [name for name in below if not name.startswith(".")]
        place = os.path.realpath(folder)
        if place in seen:  # a link back up the tree
            below.clear()
            continue
        seen.add(place)
        yield from (Path(folder, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in suffixes)


def require_replaceable(path: Path, ours: Callable[[Path], bool]) -> None:
    """Refuse to write over what this package did not write from the same input. An empty folder may be filled.

    Raises:
      InputError: if `path` exists and is not `ours`.
    """
    empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not empty and not ours(path):
        raise InputError(f"{path} exists and was not made from this input: give -o another name, or delete it.")


def digest(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
      InputError: if there is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents of the files of a folder.

    Raises:
      InputError: if there is nothing of that name.
    """
    if not path.is_dir():
        return digest(path)
    content = "".join(f"{file.name} {digest(file)}\n" for file in sorted(path.iterdir()) if file.is_file())
    return hashlib.sha256(content.encode()).hexdigest()


def image_jobs(inputs: Sequence[Path], output: Path, is_series: Callable[[Path], bool], suffixes: Sequence[str]) -> list[Job]:
    """Every image file, and folder that is one series, with its output.

    A lone input goes to `output` itself, or into it where that is a folder or has no suffix of a file; more of them, and those
    of a folder, to a tree of the same names below `output`.

    Args:
      inputs: files, folders that are a series (DICOM, the authors' arrays), folders of such.
      output: file or folder.
      is_series: whether a folder is one.
      suffixes: of image files.

    Raises:
      InputError: if a folder holds no input, or two outputs, or an input and an output, are the same.
    """
    named = lambda path: path.name.lower().endswith(tuple(suffixes))
    lone = len(inputs) == 1 and (inputs[0].is_file() or not inputs[0].exists() or is_series(inputs[0]))
    if lone:
        into = output.is_dir() or (inputs[0].is_file() and not named(output))
        found = [Job(inputs[0], output / inputs[0].name if into and not is_series(inputs[0]) else output)]
    else:
        if output.is_file() or named(output):
            raise InputError(
                f"{output}: several inputs go into a folder: give -o one, for example {output.parent / 'denoised'}."
            )
        found = [job for path in inputs for job in _images_below(path, output, is_series, named)]
    twice = [name for name, count in Counter(job.output for job in found).items() if count > 1]
    if twice:
        raise InputError(f"several inputs would be written to {min(twice)}: denoise them into separate folders.")
    read = {job.source.resolve() for job in found}
    if same := [job.output for job in found if job.output.resolve() in read]:
        raise InputError(f"{same[0]} is an input: give -o another name.")
    return found


def _images_below(path: Path, output: Path, is_series: Callable[[Path], bool], named: Callable[[Path], bool]) -> Iterator[Job]:
    if not path.is_dir() or is_series(path):
        yield Job(path, output / path.name)
        return
    found = []
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        here = Path(folder)
        if output.resolve() == here.resolve():
            below.clear()
            continue
        if here != path and is_series(here):
            below.clear()
            found.append(here)
            continue
        found += sorted(here / name for name in names if not name.startswith(".") and named(here / name))
    if not found:
        raise InputError(f"{path}: no images in this folder.")
    for source in found:
        yield Job(source, output / source.relative_to(path))


def _naming(source: Path, text: str) -> str:
    """A message that holds the whole path of the file: names alone repeat themselves in a tree."""
    if str(source) in text:
        return text
    return f"{source.parent}/{text}" if text.startswith(source.name) else f"{source}: {text}"


def run(todo: Sequence[Job], work: Callable[[Job], str | None], label: str) -> int:
    """Does the work on every job, prints what it returns (None: done before), and lists the failures at the end.

    Returns:
      the exit code: 0, or 1 where some of several files failed. The failure of a lone file is raised.
    """
    failures, before = [], 0
    with Progress(len(todo), label, unit="files", enabled=len(todo) > 1) as progress:
        for i, job in enumerate(todo, 1):
            try:
                said = work(job)
            except (InputError, OSError) as error:
                if len(todo) == 1:
                    raise
                failures.append(_naming(job.source, describe(error)))
                said = f"{job.source}: failed"
            before += said is None
            if said:
                print(said, flush=True)
            progress.update(i, failed=len(failures))
    if len(todo) == 1 and before:
        print(f"{todo[0].output}: made from this input before, left as it is (--overwrite makes it again)")
    if len(todo) > 1:
        done = len(todo) - before - len(failures)
        print(f"{label}: {done} of {len(todo)} files done, {before} were there already, {len(failures)} failed")
    for text in failures:
        print(f"  {text}", file=sys.stderr)
    return 1 if failures else 0
