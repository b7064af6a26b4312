"""`snraware check`: what we think of a scan's noise; writes nothing."""

import argparse
from pathlib import Path


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
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
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
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
