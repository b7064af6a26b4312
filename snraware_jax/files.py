"""Work on many files: which output belongs to which input, what is done already, and failures that do not stop the rest."""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from snraware_jax.errors import InputError, describe
from snraware_jax.formats.images import CONTAINERS, DICOM, files_of, is_series
from snraware_jax.progress import Progress

HDF5 = (".h5", ".hdf5", ".mrd")
OUTPUTS = (".h5", ".hdf5")
OUTPUTS_BESIDE = ("", "_phase", "_noise", "_report")  # endings of what is written for one input
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
    for parent in {job.output.parent for job in found}:
        there = next((place for place in (parent, *parent.parents) if place.exists()), parent)
        if there.is_file():
            raise InputError(f"{there} is a file, so that nothing can be written below it: give -o another name.")
    return found


def _below(path: Path, output: Path, suffixes: Sequence[str]) -> Iterator[Job]:
    if not path.is_dir():
        yield Job(path, output / f"{path.stem}.h5")
        return
    if output.resolve() == path.resolve():
        raise InputError(f"{path} is the folder of the inputs: give -o another one, for example {path / 'series'}.")
    files = sorted(file for _, found in _walk(path, output) for file in found if file.suffix.lower() in suffixes)
    if not files:
        raise InputError(f"{path}: no {' or '.join(suffixes)} file in this folder.")
    for file in files:
        yield Job(file, output / file.relative_to(path).with_suffix(".h5"))


def _walk(path: Path, output: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder from one on down with its files, in order of names; hidden ones, and what `output` names, are left out.

    Links are followed. A folder that cannot be read is an error, or its files would be missing in silence.
    """

    def refuse(error: OSError) -> None:
        raise error

    seen = {os.path.realpath(f"{output}{ending}") for ending in OUTPUTS_BESIDE}
    for folder, below, names in os.walk(path, onerror=refuse, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        place = os.path.realpath(folder)
        if place in seen:  # the output, or a link back up the tree
            below.clear()
            continue
        seen.add(place)
        yield Path(folder), [Path(folder, name) for name in sorted(names) if not name.startswith(".")]


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
    """SHA-256 of all that is read of images: a file's content, or names and contents of the files of a series.

    Raises:
      InputError: if there is nothing of that name, or no series in a folder.
    """
    found = files_of(path)
    if found == (path,):
        return digest(path)
    if not found:
        raise InputError(f"{path}: no DICOM file and no NAME_real.npy in this folder.")
    content = "".join(f"{file.name} {digest(file)}\n" for file in found)
    return hashlib.sha256(content.encode()).hexdigest()


def image_jobs(
    inputs: Sequence[Path],
    output: Path,
    is_series: Callable[[Path], bool] = is_series,
    suffixes: Sequence[str] = CONTAINERS,
) -> list[Job]:
    """Every image file, and folder that is one series, with its output.

    A lone input goes to `output` itself, or into it where that is a folder or has no suffix of a file; more of them, and those
    of a folder, to a tree of the same names below `output`. A series with other images in its folder, or below it, goes into a
    folder of its own name there, for the folder of a series holds nothing else. Hidden files, `output`, and what this package made by
    its sidecars are left out.

    Args:
      inputs: files, folders that are a series (DICOM, the authors' arrays), folders of such.
      output: file or folder.
      is_series: whether a folder is one.
      suffixes: of image files, other than those of DICOM, which folders hold.

    Raises:
      InputError: if a folder holds no input, or two outputs, or an input and an output, are the same.
      OSError: if a folder, or a file in it, cannot be read.
    """
    named = lambda path: path.name.lower().endswith(tuple(suffixes))
    one_file = named(output) or output.suffix.lower() in DICOM
    found = [job for path in inputs for job in _images_below(path, output, is_series, named)]
    first, lone = inputs[0], len(inputs) == 1
    if lone and not first.is_dir():
        if not output.is_dir() and not one_file and output.suffix.lower() in OTHER_FORMATS:
            raise InputError(
                f"{output}: no format of images: give a name that ends with {', '.join((*suffixes, *DICOM))}, or a folder."
            )
        into = output.is_dir() or (first.is_file() and not one_file)
        found = [Job(first, output / first.name if into else output)]
    # where one file is asked for of a folder that is one series, other images in it are not meant
    elif lone and is_series(first) and (one_file or [job.source for job in found] == [first]):
        found = [Job(first, output)]
    elif output.is_file() or one_file:
        raise InputError(f"{output}: several inputs go into a folder: give -o one, for example {output.parent / 'denoised'}.")
    outputs = Counter(job.output for job in found)
    folders = {job.output for job in found if job.source.is_dir()}
    twice = [name for name, count in outputs.items() if count > 1 or not folders.isdisjoint(name.parents)]
    if twice:
        raise InputError(f"several inputs would be written to {min(twice)}: denoise them into separate folders.")
    read = {job.source.resolve() for job in found}
    if same := [job.output for job in found if job.output.resolve() in read]:
        raise InputError(f"{same[0]} is an input: give -o another name.")
    return found


def _images_below(path: Path, output: Path, is_series: Callable[[Path], bool], named: Callable[[Path], bool]) -> Iterator[Job]:
    if not path.is_dir():
        yield Job(path, output / path.name)
        return
    if output.resolve() == path.resolve():
        raise InputError(f"{path} is the folder of the inputs: give -o another one, for example {path / 'denoised'}.")
    found: list[Path] = []
    of_ours: set[Path] = set()  # outputs of earlier commands that are folders
    for folder, files in _walk(path, output):
        made = made_here(folder)
        files = [file for file in files if file.name not in made]
        of_ours |= {folder / name for name in made}
        if not of_ours.isdisjoint((folder, *folder.parents)):
            continue
        series = is_series(folder)
        own = files_of(folder) if series else ()
        found += [folder] if series else []
        found += [file for file in files if named(file) and file not in own]
    if not found:
        raise InputError(f"{path}: no images in this folder.")
    shared = {parent for source in found for parent in source.parents} - {path}
    for source in found:
        name = path.name if source == path else source.relative_to(path)
        yield Job(source, output / name / source.name if source in shared else output / name)


def made_here(folder: Path) -> set[str]:
    """Names of the outputs of `snraware denoise` in a folder, by their sidecars: denoised again they would be no images of a scan."""
    made: set[str] = set()
    for sidecar in folder.glob("*.json"):
        try:
            about = json.loads(sidecar.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(about, dict) and {"bundle", "sources", "outputs"} <= about.keys():
            made |= set(about["outputs"])
    return made


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
