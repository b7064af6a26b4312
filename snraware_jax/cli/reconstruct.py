"""`snraware reconstruct`: raw MRD scans to images in SNR units and g-maps."""

import argparse
from pathlib import Path

from snraware_jax import __version__
from snraware_jax.errors import InputError

MOST_ACCELERATION = 32  # no coil array encodes more along one axis
MOST_PIXELS = 4096


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "reconstruct",
        help="raw MRD scans -> images in SNR units, native g-map, g-maps of other accelerations",
        description="Reconstruct raw MRD (ISMRMRD) scans in SNR units, with the g-map of the scan and of other accelerations: cine, "
        "perfusion, slices, volumes. A PNG sheet is written beside every output. Given again, the command does what is missing.",
        epilog="examples: snraware reconstruct meas.h5 -o scan.h5     snraware reconstruct study/ -o series/",
    )
    verb.add_argument("raw", nargs="+", type=Path, metavar="RAW", help="MRD file with its noise scan, or a folder of them")
    verb.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="OUT.h5, or a folder (several files)")
    verb.add_argument("--noise", type=Path, metavar="FILE", help="MRD file with the noise scan, where RAW has none")
    verb.add_argument(
        "--noise-from-edges",
        action="store_true",
        help="take what lies beside the field of view for noise, where RAW has no noise scan: SNR units are then approximate",
    )
    verb.add_argument("--accelerations", metavar="R", help="of the g-maps: 2-8, or 2,3,4, of volumes also 2x2 (default 2-8)")
    verb.add_argument("--matrix", metavar="HxW", help="zero-fill to this matrix (default: the scan's own; DxHxW of volumes)")
    verb.add_argument("--phases", type=int, metavar="N", help="gate the frames to N phases of the heart's cycle")
    verb.add_argument("--overwrite", action="store_true", help="make again what is there already")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Every raw scan to a series and its preview; the failure of one of many does not stop the others."""
    accelerations = parse_accelerations(options.accelerations or "2-8")
    matrix = parse_matrix(options.matrix) if options.matrix else None
    if options.phases is not None and options.phases < 1:
        raise InputError(f"--phases {options.phases}: give 1 or more, for example 30.")
    if options.noise and options.noise_from_edges:
        raise InputError("--noise-from-edges is for scans without a noise scan: leave it out beside --noise FILE.")

    from snraware_jax import files

    noise = options.noise and files.digest(options.noise)
    recipe = {"accelerations": str(accelerations), "matrix": str(matrix), "phases": options.phases, "noise": noise}
    if options.noise_from_edges:  # of which older outputs know nothing
        recipe["noise_from_edges"] = True

    def work(job: "files.Job") -> str | None:
        from snraware_jax.reconstruction import is_done, reconstruct_file

        made_from = {"sha256": files.digest(job.source), "options": recipe, "version": __version__}
        if not options.overwrite and is_done(job.output, made_from):
            return None
        return reconstruct_file(
            job.source,
            job.output,
            options.noise,
            accelerations,
            matrix=matrix,
            phases=options.phases,
            noise_from_edges=options.noise_from_edges,
            made_from=made_from,
            progress=len(todo) == 1,
        )

    todo = files.jobs(options.raw, options.output, others=[options.noise] if options.noise else [])
    return files.run(todo, work, "reconstruct")


def parse_matrix(text: str) -> tuple[int, ...]:
    """The numbers of '192x256' or '32x192x256'.

    Raises:
      InputError: if it is anything else.
    """
    parts = text.split("x")
    if len(parts) not in (2, 3) or not all(part.isdecimal() and 0 < int(part) <= MOST_PIXELS for part in parts):
        raise InputError(f"--matrix {text} is not a matrix: type 192x256 (ky x kx), or 32x192x256 (kz x ky x kx).")
    return tuple(map(int, parts))


def parse_accelerations(text: str) -> "tuple[int | tuple[int, int], ...]":
    """The numbers of '2-8', '2,4,6', '2-4,8' or '2x2,4', ascending; AxB is A along ky and B along kz.

    Raises:
      InputError: if it is anything else.
    """
    found: set[int] = set()
    of_volumes: set[tuple[int, int]] = set()
    for part in text.split(","):
        along_ky, times, along_kz = part.strip().partition("x")
        first, dash, last = part.strip().partition("-")
        if times and along_ky.isdecimal() and along_kz.isdecimal():
            of_volumes.add((int(along_ky), int(along_kz)))
        elif first.isdecimal() and (not dash or (last.isdecimal() and int(last) >= int(first))):
            found |= {int(first), int(last or first)}  # as they are, however large
            found.update(range(int(first), min(int(last or first), MOST_ACCELERATION)))
        else:
            raise InputError(f"--accelerations {text} is not a list of numbers: type 2-8 or 2,3,4.")
    values = [*found, *(r for pair in of_volumes for r in pair)]
    if values and max(values) > MOST_ACCELERATION:
        raise InputError(f"--accelerations {text} goes beyond {MOST_ACCELERATION}: type 2-8 or 2,3,4.")
    if not values or min(values) < 1:
        raise InputError(f"--accelerations {text} holds no acceleration from 1 up: type 2-8 or 2,3,4.")
    return (*sorted(found), *sorted(of_volumes))
