"""The console program `snraware`: verbs on files, one function each.

Nothing heavy is imported before the verb is known, so that `snraware --help` answers at once.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from snraware_jax import __version__
from snraware_jax.errors import InputError, describe

MOST_ACCELERATION = 32  # no coil array encodes more along one axis
MOST_PIXELS = 4096


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 where a check or some of many files failed, 2 for bad input, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    # LAPACK's own threads spin where cores are busy, which can take seven times as long (docs/decisions.md, 20)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        with warnings_as_notes():
            return options.run(options)
    except (InputError, OSError) as error:
        print(f"snraware: {describe(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("snraware: interrupted; the same command does what is missing", file=sys.stderr)
        return 130


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Warnings of the package as lines for a user, without the place in the code that gave them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: print(f"snraware: note: {message}", file=sys.stderr, flush=True)
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snraware", description="MRI in SNR units: reconstruct raw scans with their g-factor maps, check their noise."
    )
    parser.add_argument("--version", action="version", version=f"snraware {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_reconstruct(verbs)
    _add_denoise(verbs)
    _add_info(verbs)
    _add_check(verbs)
    _add_records(verbs)
    _add_import_weights(verbs)
    _add_report(verbs)
    return parser


def _add_reconstruct(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    verb.add_argument("--accelerations", metavar="R", help="of the g-maps: 2-8, or 2,3,4, of volumes also 2x2 (default 2-8)")
    verb.add_argument("--matrix", metavar="HxW", help="zero-fill to this matrix (default: the scan's own; DxHxW of volumes)")
    verb.add_argument("--phases", type=int, metavar="N", help="gate the frames to N phases of the heart's cycle")
    verb.add_argument("--overwrite", action="store_true", help="make again what is there already")
    verb.set_defaults(run=reconstruct)


def _add_denoise(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "denoise",
        help="images of any format -> the same, denoised, in their own units and geometry",
        description="Denoise images with a trained model: NIfTI, DICOM, MRD images, series of `snraware reconstruct`, NumPy, the "
        "authors' arrays. Their noise is measured first, since a model expects SNR units: noise of SD g. OUT.json beside every output "
        "says what it was made from. Given again, the command does what is missing.",
        epilog="examples: snraware denoise scan.h5 -m model.snr -o out.h5     snraware denoise study/ -m model.snr -o study_dn/",
    )
    verb.add_argument("images", nargs="+", type=Path, metavar="IN", help="file, folder of a DICOM series, or folder of such")
    verb.add_argument("-m", "--model", required=True, type=Path, metavar="MODEL.snr", help="the bundle of launch/export.py")
    verb.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="file, or a folder (several inputs)")
    verb.add_argument("--phase", type=Path, metavar="FILE", help="phase of a magnitude image (one input)")
    verb.add_argument("--gmap", type=Path, metavar="FILE", help="g-factor map (one input)")
    verb.add_argument("--series", metavar="NAME", help="which series, where IN holds several")
    how = "known: refused unless their noise SD is 1 (default); snr: they are; auto: divided by the noise SD of the background"
    verb.add_argument("--units", choices=("known", "snr", "auto"), default="known", help=how)
    verb.add_argument(
        "--noise-sd", type=float, metavar="SD", help="noise SD of the images where g is 1, by which they are divided"
    )
    verb.add_argument("--strength", type=float, default=1.0, metavar="S", help="from 0 (as it was) to 1 (default)")
    verb.add_argument("--integers", action="store_true", help="NIfTI in the integer type of IN instead of float32")
    verb.add_argument("--overwrite", action="store_true", help="make again what is there already")
    verb.set_defaults(run=denoise)


def _add_info(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "info",
        help="what a model is, how it was trained, what it reached",
        description="Print what a bundle holds: its network, its tiles, the run that it is of, its test results. --json prints all.",
        epilog="example: snraware info model.snr",
    )
    verb.add_argument("model", type=Path, metavar="MODEL.snr", help="the bundle")
    verb.add_argument("--json", action="store_true", help="the whole card as JSON")
    verb.set_defaults(run=info)


def _add_check(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "check",
        help="is a raw scan in SNR units after reconstruction? whitening, noise, g against replicas",
        description="Measure a raw scan's noise in ways that do not rely on the reconstruction: whiteness and SD of its whitened "
        "samples, noise beside the object, and the SD of noise replicas against the g-map. Writes nothing. Exit code 1 where a "
        "check fails.",
        epilog="example: snraware check meas.h5",
    )
    verb.add_argument("raw", type=Path, metavar="RAW", help="MRD file with its noise scan")
    verb.add_argument("--noise", type=Path, metavar="FILE", help="MRD file with the noise scan, where RAW has none")
    verb.set_defaults(run=check)


def _add_records(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser("records", help="training records: check every one of a folder")
    check_verb = verb.add_subparsers(title="verbs", metavar="VERB", required=True).add_parser(
        "check",
        help="read every record of every shard; name what is damaged, twice there, or of a subject in two splits",
        description="Read every record of a folder of HDF5 shards or of a TFDS data set, and name the shard and the record of every "
        "fault. Prints what the folder holds. Exit code 1 where there are faults.",
        epilog="example: snraware records check data/",
    )
    check_verb.add_argument("folder", type=Path, metavar="DIR", help="folder of launch/prepare_data.py, or WORKDIR/data")
    check_verb.set_defaults(run=check_records)


def _add_import_weights(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "import-weights",
        help="a PyTorch checkpoint of the authors -> a bundle of this project",
        description="Convert a checkpoint of the authors' code (state dict .pt or .pth, TorchScript .pts, .safetensors) with its YAML "
        "to a bundle. PyTorch is not needed, and nothing in the file is executed.",
        epilog="example: snraware import-weights small.pts -o model.snr     (with small.yaml beside it)",
    )
    verb.add_argument("weights", type=Path, metavar="FILE", help="the checkpoint")
    verb.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.snr", help="the bundle")
    verb.add_argument("--config", type=Path, metavar="YAML", help="its configuration (default: FILE's name with .yaml)")
    verb.set_defaults(run=import_weights)


def _add_report(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "report",
        help="an evaluation -> one HTML page of images, cines, noise and tables that works offline",
        description="Write DIR/report.html from what an evaluation left in DIR: warnings, images, cines, profiles, the noise that was "
        "removed and that was left, tables, and how it was made. One file that needs nothing else; PNG and CSV files of the same in "
        "DIR/figures and DIR/tables.",
        epilog="example: snraware report runs/hrnet_cnnt-quick/evaluation",
    )
    verb.add_argument("folder", type=Path, metavar="DIR", help="folder of an evaluation, with about.json in it")
    verb.set_defaults(run=report)


def report(options: argparse.Namespace) -> int:
    """Writes the report of an evaluation and prints where it is."""
    from snraware_jax.evaluation.report import render

    print(render(options.folder))
    return 0


def import_weights(options: argparse.Namespace) -> int:
    """Converts a PyTorch checkpoint to a bundle."""
    from snraware_jax import files
    from snraware_jax.inference import bundle
    from snraware_jax.interop import torch_weights
    from snraware_jax.models.table2 import parameters

    config = options.config or torch_weights.configuration_beside(options.weights)
    if options.output.resolve() in (options.weights.resolve(), config.resolve()):
        raise InputError(f"{options.output}: is the checkpoint or its configuration; give another --output")
    settings, network = torch_weights.load(options.weights, config)
    card = {"imported_from": options.weights.name, "sha256": files.digest(options.weights), "version": __version__}
    t, h, w = settings.patch
    tiling = bundle.Tiling((t, h, w), (t // 2, h // 4, w // 4))
    bundle.save(options.output, settings, network, card, tiling)
    print(f"import-weights: {settings.backbone} of {settings.cells}, {parameters(settings):,} parameters, in {options.output}")
    return 0


def denoise(options: argparse.Namespace) -> int:
    """Denoises every input; the failure of one of many does not stop the others."""
    if options.noise_sd is not None and not 0 < options.noise_sd < float("inf"):
        raise InputError(f"--noise-sd {options.noise_sd:g}: give a number above 0.")
    if not 0 < options.strength <= 1:
        raise InputError(f"--strength {options.strength:g}: give a number above 0, up to 1.")

    from snraware_jax import files
    from snraware_jax.denoising import Asked, denoise_file
    from snraware_jax.formats.images import CONTAINERS, kind_of
    from snraware_jax.inference import denoiser

    def is_series(path: Path) -> bool:
        try:
            return path.is_dir() and kind_of(path) in ("dicom", "authors")
        except InputError:
            return False

    todo = files.image_jobs(options.images, options.output, is_series, CONTAINERS)
    if len(todo) > 1 and (options.phase or options.gmap or options.series):
        raise InputError(f"--phase, --gmap and --series belong to one input, and there are {len(todo)}: give them one by one.")
    network = denoiser.load(options.model)
    fields = {name: getattr(options, name) for name in Asked._fields}
    return files.run(
        todo, lambda job: denoise_file(job.source, job.output, network, Asked(**fields), overwrite=options.overwrite), "denoise"
    )


def info(options: argparse.Namespace) -> int:
    """Prints what a bundle holds."""
    import dataclasses
    import json

    from snraware_jax.inference import bundle
    from snraware_jax.models.table2 import parameters

    found = bundle.load(options.model)
    settings, card = found.settings, found.card
    if options.json:
        print(
            json.dumps(
                {"settings": dataclasses.asdict(settings), **found.tiling._asdict(), "card": card, "sha256": found.sha256},
                indent=1,
            )
        )
        return 0
    times = lambda sizes: " x ".join(map(str, sizes))
    images = "magnitudes" if settings.magnitude else "complex images"
    print(f"{options.model}: {settings.backbone} of {settings.cells}, {parameters(settings):,} parameters")
    print(f"  for {images} ({settings.input})")
    print(f"  tiles {times(found.tiling.tile)} (T x H x W), overlap {times(found.tiling.overlap)}")
    trained = card.get("configuration")
    if trained is None:
        print(f"  imported from {card.get('imported_from', '?')}")
    else:
        data = trained["data.path"] or f"{trained['data.simulation.subjects'][0]} simulated subjects"
        print(f"  trained on {data}, step {card['step']} of {trained['train.steps']}, seed {trained['seed']}")
    for row in card.get("tested", []):
        print(f"  peak SNR {row['peak_snr']}: {row['method']} gains {float(row['gain_db']):.2f} dB")
    print(f"  sha256 {found.sha256}")
    return 0


def check_records(options: argparse.Namespace) -> int:
    """Prints what a folder of training records holds and what is wrong with it; 1 if there is anything."""
    from data_pipeline.checking import check_folder

    report = check_folder(options.folder)
    print("\n".join(report.lines()))
    return 1 if report.faults else 0


def check(options: argparse.Namespace) -> int:
    """Prints the checks of every slice of a raw scan; 1 if one of them fails."""
    from snraware_jax.evaluation.scan_checks import check_scan
    from snraware_jax.formats.mrd import read_scans

    passed = True
    for scan in read_scans(options.raw, options.noise):
        print(f"{scan.name}:")
        for result in check_scan(scan):
            print(f"  {result}")
            passed &= result.passed
    return 0 if passed else 1


def reconstruct(options: argparse.Namespace) -> int:
    """Every raw scan to a series and its preview; the failure of one of many does not stop the others."""
    accelerations = parse_accelerations(options.accelerations or "2-8")
    matrix = parse_matrix(options.matrix) if options.matrix else None
    if options.phases is not None and options.phases < 1:
        raise InputError(f"--phases {options.phases}: give 1 or more, for example 30.")

    from snraware_jax import files

    noise = options.noise and files.digest(options.noise)
    recipe = {"accelerations": str(accelerations), "matrix": str(matrix), "phases": options.phases, "noise": noise}

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
        elif first.isdecimal() and (not dash or last.isdecimal()):
            found.update(range(int(first), min(int(last or first), MOST_ACCELERATION + 1) + 1))
        else:
            raise InputError(f"--accelerations {text} is not a list of numbers: type 2-8 or 2,3,4.")
    values = [*found, *(r for pair in of_volumes for r in pair)]
    if values and max(values) > MOST_ACCELERATION:
        raise InputError(f"--accelerations {text} goes beyond {MOST_ACCELERATION}: type 2-8 or 2,3,4.")
    if not values or min(values) < 1:
        raise InputError(f"--accelerations {text} holds no acceleration from 1 up: type 2-8 or 2,3,4.")
    return (*sorted(found), *sorted(of_volumes))


if __name__ == "__main__":
    sys.exit(main())
