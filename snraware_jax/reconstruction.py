"""One raw file to its series files and their pictures."""

import glob
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.evaluation.preview import is_preview, write_preview
from snraware_jax.files import require_replaceable
from snraware_jax.formats.hdf5 import read_metadata, read_series, write_series
from snraware_jax.formats.mrd import read_scans
from snraware_jax.formats.scan import RawScan
from snraware_jax.formats.series import Series
from snraware_jax.progress import Progress
from snraware_jax.recon import chain, edges, grappa
from snraware_jax.recon.checks import noise_beside_object
from snraware_jax.recon.grappa import Acceleration


def reconstruct_file(
    source: Path,
    output: Path,
    noise: Path | None,
    accelerations: Sequence[Acceleration],
    *,
    matrix: Sequence[int] | None,
    phases: int | None,
    noise_from_edges: bool = False,
    made_from: dict,
    progress: bool = True,
) -> str:
    """Reconstruct every slice of a raw file and write what belongs together; returns a line on each output.

    Slices of one frame each become one series (its T counts slices). Slices with several frames, and other parts of a file, become
    a series each, named behind the stem of `output`: `scan-slice-3.h5`.

    Raises:
      InputError: if the input cannot be used, or an output exists that was not made from it; nothing is written then.
    """
    scans = read_scans(source, noise, without_noise=noise_from_edges)
    if noise_from_edges and scans[0].noise.size:
        warnings.warn(f"{source.name} has a noise scan, which is used instead of its edges", stacklevel=2)
    elif noise_from_edges:
        warnings.warn(f"{source.name}: noise from beside the field of view; SNR units are approximate", stacklevel=2)
        scans = edges.with_noise_from_edges(scans)
    names = [scan.name for scan in scans]
    made = []
    with Progress(len(scans), source.name, unit="slices", enabled=progress and len(scans) > 1) as shown:
        for series in chain.reconstruct_all(_handed_over(scans), accelerations, matrix=matrix, phases=phases):
            made.append(series)
            shown.update(len(made))
    made = joined(source, names, made)
    outputs = [output] if len(made) == 1 else [output.with_stem(output.stem + _suffix(source, name)) for name in names]
    of_this = {**made_from, "source": str(source.resolve()), "outputs": [path.name for path in outputs]}
    # the same file with other content, or the same content under another name: a study that was moved
    ours = lambda file: any(_made_from(file).get(fact) == of_this[fact] for fact in ("source", "sha256"))
    for path in outputs:
        require_replaceable(path, ours)
        require_replaceable(path.with_suffix(".png"), is_preview)
    for path, series in zip(outputs, made, strict=True):
        series.metadata["made_from"] = of_this
        write_preview(path.with_suffix(".png"), series)
        write_series(path, series)  # last: an output that is there is complete
    return "\n".join(f"{path}: {summary(series)}" for path, series in zip(outputs, made, strict=True))


def joined(source: Path, names: Sequence[str], made: list[Series]) -> list[Series]:
    """The series of a measurement: slices of one frame each as one, whose T counts slices; others as they are.

    Args:
      source: of the measurement.
      names: of its scans.
      made: the series of each.
    """
    slices = all(re.fullmatch(r"-slice-\d+", _suffix(source, name)) for name in names)
    if not slices or len({one.image.shape for one in made}) > 1 or not made[0].image.shape[0] == 1 == made[0].g_map.ndim - 1:
        return made
    whole = chain.stack(made)
    return [replace(whole, metadata=whole.metadata | {"name": source.name})]


def _handed_over(scans: list[RawScan]) -> Iterator[RawScan]:
    """The scans one by one, each forgotten once it was taken: k-space is large."""
    while scans:
        yield scans.pop(0)


def _suffix(source: Path, name: str) -> str:
    """ "meas.h5 slice 3 set 1" -> "-slice-3-set-1" """
    return name.removeprefix(source.name).replace(" ", "-")


def is_done(output: Path, made_from: dict) -> bool:
    """Whether all outputs of an input are there with their pictures, whole, and made from the same content with the same options."""
    for file in (output, *sorted(output.parent.glob(f"{glob.escape(output.stem)}-*{output.suffix}"))):
        facts = _made_from(file)
        names = facts.get("outputs", [])
        own = [output.name] if len(names) == 1 else names  # another input's output of a like name is not ours
        if file.name in names == own and made_from.items() <= facts.items():
            return all(_is_whole(output.with_name(name)) for name in names)
    return False


def _is_whole(file: Path) -> bool:
    try:
        read_series(file)
    except (InputError, OSError):
        return False
    return file.with_suffix(".png").is_file()


def _made_from(file: Path) -> dict:
    try:
        return read_metadata(file).get("made_from", {})
    except (InputError, OSError):
        return {}


def summary(series: Series) -> str:
    """Sizes, noise scan, g and noise of a series in one line."""
    frames, height, width = series.image.shape
    of = "slice" if series.g_map.ndim == 3 else "frame"
    facts, noise = series.metadata, noise_beside_object(series.image)
    if facts.get("readout_interpolated"):
        beside = "noise beside the object not measured (readout interpolated)"
    elif noise.count:
        beside = f"noise SD beside the object {noise.real:.2f} real, {noise.imaginary:.2f} imaginary ({noise.count} pixels)"
    else:
        beside = "no background to measure noise in"
    return (
        f"{height} x {width}, {frames} {of}{'s' * (frames > 1)}, {facts['coils']} coils, R = {grappa.label(series.acceleration)}; "
        f"noise covariance of {facts['noise_samples']} samples, condition number {facts['noise_condition']:.4g}; "
        f"g median {np.median(series.g_map):.2f}; {beside}"
    )
