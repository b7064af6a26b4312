"""What records are made of: raw scans, series in SNR units and magnitude anatomy; found, looked at, and turned into records."""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import ismrmrd
import numpy as np

from data_pipeline import records, simulator
from data_pipeline.records import Record
from snraware_jax.errors import InputError
from snraware_jax.files import HDF5
from snraware_jax.formats import mrd, series
from snraware_jax.formats.hdf5 import KIND, read_metadata, read_series
from snraware_jax.formats.mrd_lines import flagged
from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import chain, grappa

SUFFIXES = (*HDF5, ".npz")
EXPECTED = "give raw ISMRMRD or series in SNR units (.h5), or anatomy (.npz) with `images[slice, frame, y, x]`"

Kind = Literal["anatomy", "raw", "series", "records"]
Maker = Callable[..., Record]  # of keywords sample_id, subject, split


class Input(NamedTuple):
    """One file to prepare; `count` series are in it, 0 while nobody has looked."""

    path: str
    subject: str
    size: int
    mtime_ns: int
    count: int = 0


def find(inputs: Sequence[Path], without: Path | None = None) -> list[Input]:
    """Every file to prepare, and the subject that it is of: its folder below the folder that was given, or its own name.

    Hidden files, the truth that the simulator writes beside its scans, and what lies in the folder `without` are left out.

    Raises:
      InputError: for what does not exist, a folder that holds no input, two subjects of one name, or one file of two subjects.
    """
    subjects: dict[str, Path] = {}
    found: dict[str, Input] = {}
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        files = sorted(_below(path, without)) if path.is_dir() else [path]
        if not files:
            raise InputError(f"{path}: no raw scans, series (.h5) or anatomy (.npz) in this folder")
        for file in files:
            within = file.relative_to(path).parts
            subject = within[0] if len(within) > 1 else file.stem
            place = path / within[0] if len(within) > 1 else file
            if subjects.setdefault(subject, place).resolve() != place.resolve():
                raise InputError(f"{place} and {subjects[subject]}: two subjects of one name; rename one of them")
            name, facts = str(file.resolve()), file.stat()
            if found.setdefault(name, Input(name, subject, facts.st_size, facts.st_mtime_ns)).subject != subject:
                raise InputError(f"{file}: given as of {subject} and of {found[name].subject}; give it once")
    return list(found.values())


def _below(path: Path, without: Path | None) -> Iterator[Path]:
    """Files below a folder; one that cannot be read is an error, or its scans would be missing in silence."""

    def refuse(error: OSError) -> None:
        raise error

    left_out = {without.resolve()} if without else set()
    for folder, below, names in os.walk(path, onerror=refuse, followlinks=True):
        place = Path(folder).resolve()
        if place in left_out:  # the output, or a link back up the tree
            below.clear()
            continue
        left_out.add(place)
        below[:] = [name for name in below if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if _is_input(name))


def _is_input(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES and not name.endswith(".truth.npz")


def kind(path: Path) -> Kind:
    """What a file is.

    Raises:
      InputError: if it is none of the four, or cannot be read.
    """
    if path.suffix.lower() == ".npz":
        return "anatomy"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: not an HDF5 file; {EXPECTED}")
    try:
        with h5py.File(path, "r") as file:
            if "dataset/data" in file:
                return "raw"
            if file.attrs.get("kind") == KIND:
                return "series"
            first = str(next(iter(file), ""))
            if first.isdigit() and "card" in records.node(file, first):
                return "records"
            raise InputError(f"{path}: HDF5 that holds {sorted(file)[:5]}; {EXPECTED}")
    except records.DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read as HDF5 ({error}); copy or convert it again") from error


def count_series(path: Path) -> int:
    """How many series, each to be a record, a file holds; reads no samples.

    Raises:
      InputError: if it cannot be read or is not an input.
    """
    match kind(path):
        case "anatomy":
            return len(_anatomy(path))
        case "raw":
            return _count_scans(path)
        case "series":
            return int(read_metadata(path).get("slices", 1))
        case "records":
            raise InputError(f"{path}: a shard of records; give folders of records alone, with --format=tfds")


def _count_scans(path: Path) -> int:
    """The number of scans that `mrd.read_scans` makes of a file, from the headers of its readouts alone."""
    try:
        with h5py.File(path, "r") as file:
            head = file["dataset/data"].fields("head")[:]  # pyright: ignore[reportAttributeAccessIssue]
        imaging = head[~flagged(head, ismrmrd.ACQ_IS_NOISE_MEASUREMENT, *mrd.NEITHER_NOISE_NOR_IMAGE)]
        labels = np.stack([imaging["idx"][axis] for axis in mrd.SCAN_AXES], axis=1)
    except records.DAMAGE as error:
        raise InputError(f"{path}: its readouts cannot be read ({error}); copy or convert it again") from error
    if not len(labels):
        raise InputError(f"{path} has no imaging readouts: convert the measurement itself, not its noise scan.")
    return len(np.unique(labels, axis=0))


def _anatomy(path: Path) -> np.ndarray:
    try:
        with np.load(path) as arrays:
            images = arrays["images"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a readable .npz with `images[slice, frame, y, x]` ({error})") from error
    if images.ndim != 4 or 0 in images.shape or not np.isfinite(images).all():
        raise InputError(f"{path}: `images` is {images.shape}; need finite magnitudes [slice, frame, y, x]")
    return images


# ---------------------------------------------------------------- records


def makers(path: Path, seed: int, acquisition: simulator.Settings) -> list[Maker]:
    """One function for every series of a file: (sample_id, subject, split) -> its record.

    The file is read here, once; a series is reconstructed when its function is called.

    Args:
      path: of the file.
      seed, acquisition: of the scan that anatomy is given.

    Raises:
      InputError: if the file cannot be used.
    """
    match kind(path):
        case "anatomy":
            images = _anatomy(path)
            name = lambda number: f"{path.name} [{number}]"
            return [partial(record_of_anatomy, one, seed, acquisition, name(i)) for i, one in enumerate(images)]
        case "raw":
            return [partial(record_of_scan, scan) for scan in mrd.read_scans(path)]
        case "series":
            return [partial(record_of_series, one, f"{path.name}{where}") for one, where in _slices(path)]
        case "records":
            raise InputError(f"{path}: a shard of records; give folders of records alone, with --format=tfds")


def record_of_scan(scan: RawScan, *, sample_id: int, subject: str, split: str) -> Record:
    """A measured scan as a record: its SNR-unit reconstruction, whose own noise is 1."""
    if scan.kspace.ndim == 5:
        raise InputError(f"{scan.name} is a volume; training records of volumes are not supported yet: leave it out.")
    made = chain.reconstruct(scan, grappa.ACCELERATIONS)
    return record_of_series(made, scan.name, sample_id=sample_id, subject=subject, split=split)


def record_of_series(made: series.Series, name: str, *, sample_id: int, subject: str, split: str) -> Record:
    """A series in SNR units as a record; its own noise is 1.

    Raises:
      InputError: for a volume, whose g-maps differ from partition to partition.
    """
    if made.g_maps.ndim != 3:
        raise InputError(f"{name} is a volume; training records of volumes are not supported yet: leave it out.")
    metadata = {"source": name, "accelerations": list(made.accelerations), **made.metadata}
    return Record(sample_id, made.image, made.g_maps, 1.0, subject, split, metadata)


def _slices(path: Path) -> Iterable[tuple[series.Series, str]]:
    """The series of a file; stacked slices (`chain.stack`), which have a g-map each, become series of one frame."""
    whole = read_series(path)
    count = whole.metadata.get("slices", 1)
    if count == 1:
        return [(whole, "")]
    if not len(whole.image) == count == whole.g_maps.shape[1] or whole.g_maps.ndim != 4:
        raise InputError(f"{path}: says {count} slices, but its image is {whole.image.shape}; reconstruct it again")
    facts = {name: value for name, value in whole.metadata.items() if name != "slices"}
    alone = lambda i: series.Series(
        whole.image[i : i + 1], whole.g_map[i], whole.g_maps[:, i], whole.accelerations, whole.acceleration, facts
    )
    return [(alone(i), f" slice {i}") for i in range(count)]


def record_of_anatomy(
    images: np.ndarray, seed: int, acquisition: simulator.Settings, name: str, *, sample_id: int, subject: str, split: str
) -> Record:
    """Magnitudes `[T, H, W]` as a record: given phase, coils and noise by the simulator's acquisition, then reconstructed."""
    rng = np.random.default_rng([seed, sample_id])
    made = simulator.from_magnitude(images.astype(np.float32), acquisition, rng, name)
    of = {"sample_id": sample_id, "subject": subject, "split": split}
    return record_of_simulation(made.scan, made.noise_free, metadata={"signal_snr": made.signal_snr}, **of)


def record_of_simulation(
    scan: RawScan, noise_free: np.ndarray, *, sample_id: int, subject: str, split: str, metadata: dict
) -> Record:
    """A simulated scan as a record: its noise-free k-space through the chain that the noisy scan calibrates, noise 0.

    Whitening, coil maps and unmixing are estimated from the noisy scan, as for a measured one.
    """
    plan = chain.calibrate(scan, grappa.ACCELERATIONS)
    image = np.asarray(chain.apply(plan, noise_free, scan.acquired))
    return Record(sample_id, image, np.asarray(plan.g_maps), 0.0, subject, split, {"source": scan.name, **metadata})
