"""The console program `snraware`: verbs on files, one function each.

Nothing heavy is imported before the verb is known, so that `snraware --help` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snraware_jax import __version__
from snraware_jax.errors import InputError, describe

if TYPE_CHECKING:
    from snraware_jax.formats.series import Series


MOST_ACCELERATION = 32  # no coil array encodes more along one axis


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, or 2 with one line on stderr when the input cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (InputError, OSError) as error:
        print(f"snraware: {describe(error)}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snraware", description="MRI in SNR units: reconstruct raw scans with their g-factor maps."
    )
    parser.add_argument("--version", action="version", version=f"snraware {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_reconstruct(verbs)
    return parser


def _add_reconstruct(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "reconstruct",
        help="raw MRD scans -> images in SNR units, native g-map, g-maps of other accelerations",
        description="Reconstruct raw MRD (ISMRMRD) scans in SNR units, with the g-map of the scan and of other accelerations. "
        "A PNG sheet is written beside every output.",
        epilog="example: snraware reconstruct meas.h5 -o scan.h5",
    )
    verb.add_argument("raw", nargs="+", type=Path, metavar="RAW", help="MRD file with its noise scan and calibration lines")
    verb.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="OUT.h5, or a folder (several files)")
    verb.add_argument("--accelerations", default="2-8", metavar="R", help="of the g-maps: 2-8 or 2,3,4 (default %(default)s)")
    verb.set_defaults(run=reconstruct)


def reconstruct(options: argparse.Namespace) -> None:
    """Every raw scan to a series and its preview; scans are independent, the first unusable one stops the run."""
    accelerations = parse_accelerations(options.accelerations)
    outputs = _outputs(options.raw, options.output)

    from snraware_jax.evaluation.preview import write_preview
    from snraware_jax.formats.hdf5 import write_series
    from snraware_jax.formats.mrd import read_scan
    from snraware_jax.recon import chain

    for raw, output in zip(options.raw, outputs, strict=True):
        series = chain.reconstruct(read_scan(raw), accelerations)
        write_series(output, series)
        write_preview(output.with_suffix(".png"), series)
        print(f"{output}: {_summary(series)}")


def parse_accelerations(text: str) -> tuple[int, ...]:
    """The numbers of '2-8', '2,4,6' or '2-4,8', ascending.

    Raises:
      InputError: if it is anything else.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--accelerations {text} is not a list of numbers: type 2-8 or 2,3,4.")
        if int(last if dash else first) > MOST_ACCELERATION:
            raise InputError(f"--accelerations {text} goes beyond {MOST_ACCELERATION}: type 2-8 or 2,3,4.")
        found.update(range(int(first), int(last if dash else first) + 1))
    if not found or min(found) < 1:
        raise InputError(f"--accelerations {text} holds no acceleration from 1 up: type 2-8 or 2,3,4.")
    return tuple(sorted(found))


def _outputs(raw: list[Path], output: Path) -> list[Path]:
    if output.suffix in (".h5", ".hdf5") and not output.is_dir():
        if len(raw) > 1:
            raise InputError(
                f"{len(raw)} scans cannot go into the one file {output}: give a folder, -o {output.with_suffix('')}"
            )
        outputs = [output]
    else:
        outputs = [output / f"{path.stem}.h5" for path in raw]
    twice = {path for path in outputs if outputs.count(path) > 1}
    if twice:
        raise InputError(f"several scans would be written to {min(twice)}: reconstruct them into separate folders.")
    sources = {path.resolve() for path in raw}
    same = [path for path in outputs if path.resolve() in sources]
    if same:
        raise InputError(f"{same[0]} is an input: give -o another name.")
    return outputs


def _summary(series: "Series") -> str:
    import numpy as np

    from snraware_jax.recon.checks import noise_beside_object

    frames, height, width = series.image.shape
    noise = noise_beside_object(series.image)
    facts = series.metadata
    beside = (
        f"noise SD beside the object {noise.real:.2f} real, {noise.imaginary:.2f} imaginary ({noise.count} pixels)"
        if noise.count
        else "no background to measure noise in"
    )
    return (
        f"{height} x {width}, {frames} frame{'s' if frames > 1 else ''}, {facts['coils']} coils, R = {series.acceleration}; "
        f"noise covariance of {facts['noise_samples']} samples, condition number {facts['noise_condition']:.1f}; "
        f"g median {np.median(series.g_map):.2f}; {beside}"
    )


if __name__ == "__main__":
    sys.exit(main())
