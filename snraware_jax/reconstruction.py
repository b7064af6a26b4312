"""One raw file to its series files and their pictures."""

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.evaluation.preview import write_preview
from snraware_jax.formats.hdf5 import read_metadata, write_series
from snraware_jax.formats.mrd import read_scans
from snraware_jax.formats.scan import RawScan
from snraware_jax.formats.series import Series
from snraware_jax.progress import Progress
from snraware_jax.recon import chain, grappa
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
    made_from: dict,
) -> str:
    """Reconstruct every slice of a raw file and write what belongs together; returns a line on each output.

    Slices of one frame each become one series (its T counts slices). Slices with several frames, and other parts of a file, become
    a series each, named behind the stem of `output`: `scan-slice-3.h5`.

    Raises:
      InputError: if the input cannot be used; nothing is written then.
    """
    scans = read_scans(source, noise)
    names = [scan.name for scan in scans]
    with Progress(len(scans), source.name, unit="slices", enabled=len(scans) > 1) as progress:
        made = []
        for series in chain.reconstruct_all(_handed_over(scans), accelerations, matrix=matrix, phases=phases):
            made.append(series)
            progress.update(len(made))
    slices = all(re.fullmatch(r"-slice-\d+", _suffix(source, name)) for name in names)
    if slices and len({one.image.shape for one in made}) == 1 and made[0].image.shape[0] == 1 == made[0].g_map.ndim - 1:
        made = [chain.stack(made)]
    outputs = [output] if len(made) == 1 else [output.with_stem(output.stem + _suffix(source, name)) for name in names]
    for part, (path, series) in enumerate(zip(outputs, made, strict=True)):
        series.metadata["made_from"] = {**made_from, "part": part, "parts": len(made)}
        write_preview(path.with_suffix(".png"), series)
        write_series(path, series)  # last: an output that is there is complete
    return "\n".join(f"{path}: {summary(series)}" for path, series in zip(outputs, made, strict=True))


def _handed_over(scans: list[RawScan]) -> Iterator[RawScan]:
    """The scans one by one, each forgotten once it was taken: k-space is large."""
    while scans:
        yield scans.pop(0)


def _suffix(source: Path, name: str) -> str:
    """ "meas.h5 slice 3 set 1" -> "-slice-3-set-1" """
    return name.removeprefix(source.name).replace(" ", "-")


def is_done(output: Path, made_from: dict) -> bool:
    """Whether all outputs of an input are there, whole, and made from the same content with the same options."""
    found = [file for file in (output, *output.parent.glob(f"{glob.escape(output.stem)}-*{output.suffix}")) if file.is_file()]
    facts = [facts for facts in map(_made_from, found) if made_from.items() <= facts.items()]
    return bool(facts) and len({fact["part"] for fact in facts}) == facts[0]["parts"]


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
    beside = (
        f"noise SD beside the object {noise.real:.2f} real, {noise.imaginary:.2f} imaginary ({noise.count} pixels)"
        if noise.count
        else "no background to measure noise in"
    )
    return (
        f"{height} x {width}, {frames} {of}{'s' * (frames > 1)}, {facts['coils']} coils, R = {grappa.label(series.acceleration)}; "
        f"noise covariance of {facts['noise_samples']} samples, condition number {facts['noise_condition']:.4g}; "
        f"g median {np.median(series.g_map):.2f}; {beside}"
    )
