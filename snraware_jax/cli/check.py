"""`snraware check`: what we think of a scan or of images; writes nothing."""

import argparse
from pathlib import Path

from snraware_jax.errors import InputError


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "check",
        help="what we think of a scan's or an image's units and noise; writes nothing",
        description="Of a raw scan, measure the noise in ways that do not rely on the reconstruction: whiteness and SD of its whitened "
        "samples, noise beside the object, and the SD of noise replicas against the g-map. Of images, say their size, units, noise, "
        "g-map and k-space, and what to type to denoise them. Writes nothing. Exit code 1 where a check fails, or where images cannot "
        "be denoised as they are.",
        epilog="examples: snraware check meas.h5     snraware check t1.nii.gz --gmap g.nii.gz",
    )
    verb.add_argument("file", type=Path, metavar="IN", help="raw MRD file with its noise scan, or images of any format")
    verb.add_argument("--noise", type=Path, metavar="FILE", help="MRD file with the noise scan, where a raw scan has none")
    verb.add_argument("--phase", type=Path, metavar="FILE", help="phase of magnitude images")
    verb.add_argument("--gmap", type=Path, metavar="FILE", help="g-factor map of images")
    verb.add_argument("--gmap-resize", action="store_true", help="interpolate a g-map of another matrix, same field of view")
    verb.add_argument("--series", metavar="NAME", help="which series, where images hold several")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints what is found; 1 if a check fails, or images cannot be denoised as they are."""
    from snraware_jax.formats.images import kind_of

    if kind_of(options.file) != "raw":
        return _check_images(options)
    if options.phase or options.gmap or options.gmap_resize or options.series:
        raise InputError(f"{options.file} is a raw scan: --phase, --gmap, --gmap-resize and --series are for images.")
    from snraware_jax.evaluation.scan_checks import check_scan
    from snraware_jax.formats.mrd import read_scans

    passed = True
    for scan in read_scans(options.file, options.noise):
        print(f"{scan.name}:")
        for result in check_scan(scan):
            print(f"  {result}")
            passed &= result.passed
    return 0 if passed else 1


def _check_images(options: argparse.Namespace) -> int:
    from snraware_jax.formats.images import read
    from snraware_jax.image_check import check

    if options.noise:
        raise InputError(f"{options.file} holds images: --noise is for raw scans.")
    if options.gmap_resize and not options.gmap:
        raise InputError("--gmap-resize belongs to --gmap FILE.")
    images = read(options.file, phase=options.phase, gmap=options.gmap, series=options.series, resize_gmap=options.gmap_resize)
    found = check(images, options.file.name)
    print("\n  ".join(found.lines))
    return 0 if found.ready else 1
