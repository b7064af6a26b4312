"""`snraware convert`: images of one format in another, with their geometry and g-map."""

import argparse
from pathlib import Path

from snraware_jax.errors import InputError


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "convert",
        help="images of any format -> NIfTI or NumPy, with their geometry and g-map",
        description="Write images in another format: any to .nii, .nii.gz, .npy and .npz; DICOM, MRD, the authors' to their own. "
        "Values keep the scale of the input; a series of `snraware reconstruct`, which is over its g-map, is multiplied by it. "
        "A g-map goes into .npz, or into a file of its own beside the output, OUT_gmap.",
        epilog="examples: snraware convert scan.h5 -o scan.nii.gz     snraware convert dicom/ -o t1.nii.gz",
    )
    verb.add_argument("images", type=Path, metavar="IN", help="file, or folder of a DICOM series")
    verb.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="file; its suffix says the format")
    verb.add_argument("--phase", type=Path, metavar="FILE", help="phase of magnitude images: OUT becomes complex")
    verb.add_argument("--gmap", type=Path, metavar="FILE", help="g-factor map")
    verb.add_argument("--gmap-resize", action="store_true", help="interpolate a g-map of another matrix, same field of view")
    verb.add_argument("--series", metavar="NAME", help="which series, where IN holds several")
    verb.add_argument("--overwrite", action="store_true", help="write over an output that is there")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Converts one file."""
    from dataclasses import replace

    from snraware_jax import denoising
    from snraware_jax.formats import images as images_of

    if options.gmap_resize and not options.gmap:
        raise InputError("--gmap-resize belongs to --gmap FILE.")
    g_map_output = images_of.beside(options.output, "_gmap")
    inputs = [path.resolve() for path in (options.images, options.phase, options.gmap) if path]
    for output in (options.output, g_map_output):
        if output.resolve() in inputs:
            raise InputError(f"{output} is an input: give -o another name.")
    images = images_of.read(
        options.images, phase=options.phase, gmap=options.gmap, series=options.series, resize_gmap=options.gmap_resize
    )
    images = replace(images, phase=None)  # one complex output, not two
    # a series and an archive hold their g-map themselves, and the other formats come from files that have it beside them
    g_map, suffix = images.g_map, images_of.suffix_of(options.output)
    apart = g_map is not None and suffix in (".nii", ".nii.gz", ".npy")
    there = [path for path in (options.output, *([g_map_output] if apart else [])) if path.exists()]
    if there and not options.overwrite:
        raise InputError(f"{there[0]} is there already: give -o another name, or --overwrite.")
    images_of.require_writable(options.output, images, role="unchanged")
    for remark in images_of.remarks(images, options.images.name):
        print(remark)
    converted = denoising.with_its_noise(images, options.output)
    if converted is not images:
        print("multiplied by the g-map, so that the noise has its SD")
    written = dict.fromkeys(images_of.write(options.output, converted, images, role="unchanged"), images)
    if g_map is not None and apart:
        one = replace(images, data=g_map[None])
        written |= dict.fromkeys(images_of.write(g_map_output, one, one, role="g-map"), one)
    print("\n".join(f"{path}: {images_of.size(of.data.shape)}" for path, of in written.items()))
    return 0
