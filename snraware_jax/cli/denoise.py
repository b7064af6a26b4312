"""`snraware denoise`: images of any format, denoised with a model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from snraware_jax.errors import InputError

if TYPE_CHECKING:
    from snraware_jax.inference.tiles import Told


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "denoise",
        help="images of any format -> the same, denoised, in their own units and geometry",
        description="Denoise images with a trained model: NIfTI, DICOM, MRD images, series of `snraware reconstruct`, NumPy, the "
        "authors' arrays. Their noise is measured first, since a model expects SNR units: noise of SD g. OUT.json beside every output "
        "says what it was made from. Given again, the command does what is missing.",
        epilog="examples: snraware denoise scan.h5 -m model.snr -o out.h5     snraware denoise study/ -m model.snr -o study_dn/",
    )
    verb.add_argument("images", nargs="+", type=Path, metavar="IN", help="file, folder of a DICOM series, or folder of such")
    verb.add_argument(
        "-m", "--model", metavar="MODEL", help="a bundle, NAME.snr, or complex or magnitude, which ship [that of the images]"
    )
    verb.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="file, or a folder (several inputs)")
    verb.add_argument("--phase", type=Path, metavar="FILE", help="phase of a magnitude image (one input)")
    verb.add_argument("--gmap", type=Path, metavar="FILE", help="g-factor map (one input)")
    verb.add_argument("--gmap-resize", action="store_true", help="interpolate a g-map of another matrix, same field of view")
    verb.add_argument("--series", metavar="NAME", help="which series, where IN holds several")
    how = "known: refused unless their noise SD is 1 (default); snr: they are; auto: divided by the noise SD of the background"
    verb.add_argument("--units", choices=("known", "snr", "auto"), default="known", help=how)
    verb.add_argument(
        "--noise-sd", type=float, metavar="SD", help="noise SD of the images where g is 1, by which they are divided"
    )
    verb.add_argument(
        "--noise-scan", type=Path, metavar="FILE", help="images of noise alone, to measure that SD on (one input)"
    )
    verb.add_argument(
        "--strength",
        type=_strength,
        default=1.0,
        metavar="S",
        help="how much of it, above 0 to 1 (default); sure: the best by Stein's estimate",
    )
    verb.add_argument(
        "--noise-map", action="store_true", help="also the noise SD of the output, OUT_noise (16 derivatives of the model)"
    )
    verb.add_argument(
        "--mask", type=Path, metavar="FILE", help="labels of regions, a number each: their SNR before and after (one input)"
    )
    verb.add_argument("--report", action="store_true", help="also a page of images and noise, OUT_report/report.html")
    verb.add_argument("--integers", action="store_true", help="NIfTI in the integer type of IN instead of float32")
    verb.add_argument("--overwrite", action="store_true", help="make again what is there already")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Denoises every input; the failure of one of many does not stop the others."""
    if options.noise_sd is not None and not 0 < options.noise_sd < float("inf"):
        raise InputError(f"--noise-sd {options.noise_sd:g}: give a number above 0.")
    if options.strength is not None and not 0 < options.strength <= 1:
        raise InputError(f"--strength {options.strength:g}: give a number above 0, up to 1, or sure.")
    if options.noise_sd is not None and options.noise_scan:
        raise InputError("--noise-sd and --noise-scan both give the noise SD: leave one out.")
    if options.gmap_resize and not options.gmap:
        raise InputError("--gmap-resize belongs to --gmap FILE.")

    from snraware_jax import compiled, files, shipped
    from snraware_jax.denoising import Asked, denoise_file
    from snraware_jax.inference import denoiser

    todo = files.image_jobs(options.images, options.output)
    if len(todo) > 1 and (options.phase or options.gmap or options.mask or options.series or options.noise_scan):
        raise InputError(
            f"--phase, --gmap, --mask, --noise-scan and --series belong to one input, and there are {len(todo)}: "
            "give them one by one."
        )
    if options.model is None:
        print(f"denoise: no --model, so with a small one that comes with the package: {' or '.join(shipped.NAMES)}", flush=True)
        models = [shipped.file_of(name) for name in shipped.NAMES]
    else:
        models = [shipped.find(options.model)]
    compiled.keep()
    networks = [denoiser.load(model, told=_tiles_told() if len(todo) == 1 else None) for model in models]
    tile = " x ".join(map(str, networks[0].bundle.tiling.tile))
    print(f"denoise: compiling once, for tiles of {tile} (T x H x W), unless it was compiled before", flush=True)
    fields = {name: getattr(options, name) for name in Asked._fields}
    return files.run(
        todo,
        lambda job: denoise_file(job.source, job.output, networks, Asked(**fields), overwrite=options.overwrite),
        "denoise",
    )


def _tiles_told() -> "Told":
    """Shows the tiles of every series of a lone file."""
    from snraware_jax.progress import Progress

    running: list[Progress] = []

    def told(done: int, total: int) -> None:
        if not running:
            running.append(Progress(total, "denoise", unit="tiles", enabled=total > done).__enter__())
        running[0].update(done)
        if done == total:
            running.pop().__exit__(None, None, None)

    return told


def _strength(text: str) -> float | None:
    """A number; None of "sure"."""
    try:
        return None if text == "sure" else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: give a number above 0, up to 1, or sure") from error
