"""`snraware import-weights`: a checkpoint of the authors to a bundle."""

import argparse
from pathlib import Path

from snraware_jax import __version__
from snraware_jax.errors import InputError


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
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
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
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
