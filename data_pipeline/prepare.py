"""From scans to training records: reconstruct, take the g-maps, assign a split, write shards."""

import hashlib
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data_pipeline import records, simulator
from data_pipeline.records import Record
from snraware_jax.errors import InputError
from snraware_jax.formats import mrd
from snraware_jax.formats.scan import RawScan
from snraware_jax.progress import Progress
from snraware_jax.recon import chain, grappa

RECORDS_PER_SHARD = 16
# simulated subjects of the three splits are numbered apart, so that no setting of one can reach into another
FIRST_SUBJECT = {"train": 0, "validation": 10_000_000, "test": 20_000_000}


def record_of_scan(scan: RawScan, *, sample_id: int, subject: str, split: str) -> Record:
    """A measured scan as a record: its SNR-unit reconstruction, whose own noise is 1."""
    if scan.kspace.ndim == 5:
        raise InputError(f"{scan.name} is a volume; training records of volumes are not supported yet: leave it out.")
    series = chain.reconstruct(scan, grappa.ACCELERATIONS)
    return Record(sample_id, series.image, series.g_maps, 1.0, subject, split, {"source": scan.name, **series.metadata})


def record_of_simulation(
    scan: RawScan, noise_free: np.ndarray, *, sample_id: int, subject: str, split: str, metadata: dict
) -> Record:
    """A simulated scan as a record: its noise-free k-space through the chain that the noisy scan calibrates, noise 0.

    Whitening, coil maps and unmixing are estimated from the noisy scan, as for a measured one.
    """
    plan = chain.calibrate(scan, grappa.ACCELERATIONS)
    image = np.asarray(chain.apply(plan, noise_free, scan.acquired))
    return Record(sample_id, image, np.asarray(plan.g_maps), 0.0, subject, split, {"source": scan.name, **metadata})


def simulate(folder: Path, *, seed: int, subjects: Sequence[int], settings: simulator.Settings, processes: int = 2) -> None:
    """Fills FOLDER with simulated records; shards that are there already are kept, so it can be called again after a crash.

    Args:
      folder: of the shards.
      seed: of the simulator.
      subjects: how many for train, validation and test.
      settings: of the simulator.
      processes: that simulate beside this one, which reconstructs.
    """
    shards = [
        (split, path, numbers)
        for split, count in zip(records.SPLITS, subjects, strict=True)
        for path, numbers in _shards(folder, split, count)
        if not path.exists()
    ]
    total = sum(len(numbers) for _, _, numbers in shards)
    if not total:
        return
    with Progress(total, "simulate") as progress, ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        done = 0
        for split, path, numbers in shards:
            made = []
            start = lambda number: pool.submit(simulator.simulate, seed, number, settings)
            for number, simulated in zip(numbers, _results(start, numbers, ahead=2 * processes), strict=True):
                of = {"sample_id": number, "subject": f"simulated-{number:08d}", "split": split}
                made.append(record_of_simulation(simulated.scan, simulated.noise_free, metadata={"card": simulated.card}, **of))
                done += 1
                progress.update(done)
            records.write_shard(path, made)


def _results(start: Callable[[int], Future], numbers: Iterable[int], ahead: int) -> Iterable[Any]:
    """Starts a job for every number and gives the results in order, at most `ahead` started and not yet given: scans are large."""
    running: deque[Future] = deque()
    for number in numbers:
        running.append(start(number))
        if len(running) == ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _shards(folder: Path, split: str, count: int) -> Iterable[tuple[Path, list[int]]]:
    first = FIRST_SUBJECT[split]
    for start in range(0, count, RECORDS_PER_SHARD):
        numbers = list(range(first + start, first + min(start + RECORDS_PER_SHARD, count)))
        yield folder / f"{split}-{start // RECORDS_PER_SHARD:05d}.h5", numbers


def prepare(inputs: Sequence[Path], output: Path, *, split_by: str, seed: int, settings: simulator.Settings) -> int:
    """Turns raw MRD scans (.h5) and magnitude anatomy (.npz with `images[slice, frame, y, x]`) into shards in OUTPUT.

    Anatomy is given phase, coils and noise by the simulator's acquisition and is then reconstructed like a scan.

    Args:
      inputs: files, or folders that are searched for them.
      output: folder of the shards; must not have any yet.
      split_by: "subject" (in a folder of folders each of these is one subject, otherwise each file), or "series" (every
        slice apart: only where one subject is all there is).
      seed: of the acquisition given to anatomy.
      settings: of that acquisition.

    Returns:
      the number of records.

    Raises:
      InputError: naming the file, for input that cannot be used; OUTPUT is then left as it was.
    """
    if output.exists() and any(output.iterdir()):
        raise InputError(f"{output}: not empty; give another --output, or delete it")
    series = [(file, subject, part) for file, subject in _files(inputs) for part in _parts(file)]
    names = [subject if split_by == "subject" else f"{file}-{part}" for file, subject, part in series]
    splits = assign_splits(names)
    made: dict[str, list[Record]] = {split: [] for split in records.SPLITS}
    with Progress(len(series), "prepare") as progress:
        for sample_id, ((file, subject, part), name) in enumerate(zip(series, names, strict=True)):
            made[splits[name]].append(_record(file, part, sample_id, subject, splits[name], seed, settings))
            progress.update(sample_id + 1)
    for split, of_split in made.items():
        for start in range(0, len(of_split), RECORDS_PER_SHARD):
            path = output / f"{split}-{start // RECORDS_PER_SHARD:05d}.h5"
            records.write_shard(path, of_split[start : start + RECORDS_PER_SHARD])
    return len(series)


def assign_splits(names: Sequence[str]) -> dict[str, str]:
    """Each name's split, a tenth (at least one) for validation and for test, in the order of a hash of the names.

    Raises:
      InputError: for fewer than three different names.
    """
    unique = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    if len(unique) < 3:
        raise InputError(
            f"{len(unique)} subject(s) cannot be split into train, validation and test; give more files, or --split_by=series "
            "(which puts slices of one subject on both sides: a test that it runs, not that it generalises)"
        )
    held_out = max(1, len(unique) // 10)
    split_of = lambda i: "test" if i < held_out else "validation" if i < 2 * held_out else "train"
    return {name: split_of(i) for i, name in enumerate(unique)}


def _files(inputs: Sequence[Path]) -> Iterable[tuple[Path, str]]:
    """Every file to prepare, and the subject that it is of: its folder below the folder that was given, or its own name."""
    subjects: dict[str, Path] = {}
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        found = sorted(file for file in path.rglob("*") if _is_input(file)) if path.is_dir() else [path]
        if not found:
            raise InputError(f"{path}: no raw scans (.h5) or anatomy (.npz) in this folder")
        for file in found:
            within = file.relative_to(path).parts
            subject = within[0] if len(within) > 1 else file.stem
            place = path / within[0] if len(within) > 1 else file
            if subjects.setdefault(subject, place) != place:
                raise InputError(f"{place} and {subjects[subject]}: two subjects of one name; rename one of them")
            yield file, subject


def _is_input(file: Path) -> bool:
    """Whether a file of a searched folder is a scan or anatomy, not a truth that the simulator wrote beside its scan."""
    return file.suffix in (".h5", ".npz") and not file.name.endswith(".truth.npz")


def _parts(file: Path) -> Iterable[int]:
    """The series of a file; looks at every file before the work on the first one begins."""
    if file.suffix == ".npz":
        return range(len(_anatomy(file)))
    if not h5py.is_hdf5(file):
        raise InputError(
            f"{file}: not an HDF5 file; give raw ISMRMRD (.h5), or anatomy (.npz) with `images[slice, frame, y, x]`"
        )
    return (0,)


def _anatomy(file: Path) -> np.ndarray:
    try:
        with np.load(file) as arrays:
            images = arrays["images"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file}: not a readable .npz with `images[slice, frame, y, x]` ({error})") from error
    if images.ndim != 4 or 0 in images.shape or not np.isfinite(images).all():
        raise InputError(f"{file}: `images` is {images.shape}; need finite magnitudes [slice, frame, y, x]")
    return images


def _record(file: Path, part: int, sample_id: int, subject: str, split: str, seed: int, settings: simulator.Settings) -> Record:
    if file.suffix == ".npz":
        rng = np.random.default_rng([seed, sample_id])
        made = simulator.from_magnitude(_anatomy(file)[part].astype(np.float32), settings, rng, f"{file.name} [{part}]")
        of = {"sample_id": sample_id, "subject": subject, "split": split}
        return record_of_simulation(made.scan, made.noise_free, metadata={"signal_snr": made.signal_snr}, **of)
    return record_of_scan(mrd.read_scan(file), sample_id=sample_id, subject=subject, split=split)
