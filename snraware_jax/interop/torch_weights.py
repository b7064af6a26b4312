"""Networks from the authors' PyTorch checkpoints.

    from snraware_jax.interop import torch_weights
    settings, network = torch_weights.load("model.pts", "model.yaml")

    python -m snraware_jax.interop.torch_weights --golden FILE.npz --output OUT.npz

runs the weights of a golden (weights, an input and a cotangent of the authors' code, see goldens.py) and writes `output` and
`grad_input` in its layout, channels first.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from snraware_jax.errors import InputError, describe
from snraware_jax.formats.atomic import replacing
from snraware_jax.interop import torch_config, torch_files, torch_names
from snraware_jax.models.building import build
from snraware_jax.models.settings import ModelSettings

CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


class Imported(NamedTuple):
    """What a checkpoint holds: the settings of a network, and the network with its parameters."""

    settings: ModelSettings
    network: nnx.Module


def load(weights: str | Path, config: str | Path | None = None) -> Imported:
    """A network from a checkpoint and its configuration.

    Args:
      weights: state dict (.pt, .pth), TorchScript (.pts) or safetensors; nothing in it is executed, and PyTorch is not needed.
      config: the YAML or JSON that the network was trained with; if not given, the file of the same name beside the weights.

    Raises:
      InputError: if a file is missing or broken, or the two do not belong together.
    """
    weights = Path(weights)
    tensors = named_as_network(torch_files.read(weights), weights)
    path = Path(config) if config else configuration_beside(weights)
    described = torch_config.read(path)
    try:
        settings = torch_config.settings(described, _patch(described, tensors))
        network = nnx.eval_shape(lambda: build(settings))  # no random parameters, which would take a while
        torch_names.load(network, tensors)
    except ValueError as error:
        raise InputError(f"{weights} with {path}: {error}") from error
    return Imported(settings, network)


def named_as_network(tensors: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """The tensors of the network, without what its names begin with in the file ("model.", "module.", ...).

    Raises:
      InputError: if there is no such network, or more than one.
    """
    first = "pre.conv.weight"
    prefixes = [name.removesuffix(first) for name in tensors if name == first or name.endswith(f".{first}")]
    if len(prefixes) != 1:
        some = ", ".join(sorted(tensors)[:3]) or "none"
        raise InputError(
            f"{path}: {len(prefixes)} tensors called {first}, where a network of the authors has one; names here are {some}"
        )
    return {name.removeprefix(prefixes[0]): tensor for name, tensor in tensors.items() if name.startswith(prefixes[0])}


def configuration_beside(weights: Path) -> Path:
    """The configuration of the same name.

    Raises:
      InputError: if there is none, or no checkpoint.
    """
    if not weights.is_file():
        raise InputError(f"{weights}: {'a folder, no checkpoint' if weights.is_dir() else 'no such file'}")
    found = [path for suffix in CONFIG_SUFFIXES if (path := weights.with_suffix(suffix)).is_file()]
    if not found:
        raise InputError(
            f"{weights}: no {weights.stem}.yaml beside it says what network these weights are of; give --config=FILE.yaml"
        )
    return found[0]


def _patch(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
    """T, H, W that the network was built for: from the configuration, H and W from a layer norm's map where there is one."""
    cutout = torch_config.find(config, "cutout_shape")
    if not isinstance(cutout, list) or len(cutout) != 3 or not all(isinstance(size, int) for size in cutout):
        raise InputError(
            f"cutout_shape is {cutout!r}: write the patch of the training, cutout_shape: [H, W, T] (the authors': [64, 64, 16])"
        )
    height, width, frames = cutout
    maps = [tensor.shape[1:] for name, tensor in tensors.items() if re.search(r"bk\.(B00|D0)\..*\.ln\.weight$", name)]
    if maps:
        height, width = maps[0]
    return frames, height, width


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a golden; returns the exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m snraware_jax.interop.torch_weights",
        description="Runs the weights of a golden: output, gradient of the input.",
    )
    parser.add_argument("--golden", type=Path, required=True, metavar="FILE.npz", help="weights, input and cotangent")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT.npz", help="gets output and grad_input")
    options = parser.parse_args(arguments)
    from snraware_jax.interop import goldens  # here, because those who load weights do not need it

    try:
        if options.output.resolve() == options.golden.resolve():
            raise InputError(f"{options.output}: is the golden; give another --output")
        golden = goldens.read(options.golden)
        output, grad_input = goldens.run(golden)
        with replacing(options.output) as temporary, temporary.open("wb") as file:
            np.savez(file, output=output, grad_input=grad_input)
    except (InputError, OSError) as error:
        print(f"torch_weights: {describe(error)}", file=sys.stderr)
        return 2
    for name, ours, theirs in (("output", output, golden.output), ("grad_input", grad_input, golden.grad_input)):
        theirs = np.moveaxis(theirs, -1, 1)
        print(f"{golden.name}: {name} differs by {np.linalg.norm(ours - theirs) / np.linalg.norm(theirs):.1e} of its norm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
