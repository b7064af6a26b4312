"""Goldens: weights, an input, and what the authors' code made of them (output and gradient of the input).

Files have `sd/NAME` (weights), `input`, `output` (or `output_0`, `output_1`, ..., of which the last counts), `cotangent`,
`grad_input`, all channels first, and `config` and `meta` (JSON).
"""

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.interop import torch_config, torch_names
from snraware_jax.models import attention, backbones, cells, layers
from snraware_jax.models.denoiser import Denoiser
from snraware_jax.models.settings import ModelSettings
from snraware_jax.models.windows import Grid

# what the authors call the kinds of cells, and their classes of attention
MODES = {
    "temporal": "T1",
    "local": "L1",
    "global": "G1",
    "vit_2d": "V2",
    "vit_3d": "V3",
    "conv2d": "C2",
    "conv3d": "C3",
}
CLASSES = {
    "TemporalChannelCnnAttention": "T1",
    "SpatialLocalAttention": "L1",
    "SpatialGlobalAttention": "G1",
    "SpatialViTAttention": "V2",
    "ViT3DAttention": "V3",
}


class Golden(NamedTuple):
    """One golden: its name, configuration and weights, and arrays `[B, T, H, W, C]`."""

    name: str
    config: dict[str, Any]
    weights: dict[str, np.ndarray]
    input: np.ndarray
    output: np.ndarray
    cotangent: np.ndarray
    grad_input: np.ndarray


def read(path: Path) -> Golden:
    """Reads a golden.

    Raises:
      InputError: if the file is not one, or its arrays do not fit together.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: {'not an .npz file' if path.exists() else 'no such file'}")
    try:
        with np.load(path) as file:
            outputs = sorted((n for n in file.files if re.fullmatch(r"output(_\d+)?", n)), key=lambda n: (len(n), n))
            arrays = [np.moveaxis(file[name], 1, -1) for name in ("input", outputs[-1], "cotangent", "grad_input")]
            weights = {name.removeprefix("sd/").removeprefix("g."): file[name] for name in file.files if name.startswith("sd/")}
            golden = Golden(json.loads(str(file["meta"]))["name"], json.loads(str(file["config"])), weights, *arrays)
    except (OSError, EOFError, zipfile.BadZipFile, KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"{path}: not a golden ({error}); its arrays are sd/NAME, input, output, cotangent, grad_input, config, meta"
        ) from error
    _check(golden, path)
    return golden


def _check(golden: Golden, path: Path) -> None:
    if not isinstance(golden.config, dict):
        raise InputError(f"{path}: config is {golden.config!r}: a golden's is a mapping")
    partners = {"input": "input", "output": "output", "cotangent": "output", "grad_input": "input"}
    for name, partner in partners.items():
        array, shape = getattr(golden, name), getattr(golden, partner).shape
        if not np.issubdtype(array.dtype, np.floating) or array.ndim != 5 or 0 in array.shape:
            raise InputError(
                f"{path}: {name} is {array.dtype} {array.shape} (channels last): give real numbers [B, C, T, H, W]"
            )
        if array.shape != shape:
            raise InputError(f"{path}: {name} is {array.shape} where {partner} is {shape} (channels last): they are alike")
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name} has values that are not finite")


def run(golden: Golden) -> tuple[np.ndarray, np.ndarray]:
    """Output and gradient of the input by the network here, channels first.

    Raises:
      InputError: for a part or an option that networks here do not have, or weights that do not fit.
    """
    try:
        module = build(golden)
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:  # damaged in one of many ways
        raise InputError(f"{golden.name}: no network by its configuration ({type(error).__name__}: {error})") from error
    torch_names.load(module, golden.weights)
    call = module
    if isinstance(module, backbones.Gate):  # its two inputs are channels of one in the golden
        last = golden.output.shape[-1]
        call = lambda x: module(x[..., :-last], x[..., -last:])

    @jax.jit
    def forward_and_back(x: Array, cotangent: Array) -> tuple[Array, Array]:
        output, pull = jax.vjp(call, x)
        return output, pull(cotangent)[0]

    try:
        results = forward_and_back(*(jnp.asarray(array, jnp.float32) for array in (golden.input, golden.cotangent)))
    except ValueError as error:
        raise InputError(f"{golden.name}: its input does not fit its network: {error}") from error
    output, grad_input = (np.moveaxis(np.asarray(result), -1, 1) for result in results)
    return output, grad_input


def build(golden: Golden) -> Any:
    """The network or part of one that a golden is of, with random parameters."""
    config = golden.config
    if "kind" in config:
        return _network(config, golden.input.shape)
    if "cls" in config:
        return _part(config["cls"], config["kwargs"])
    return _layer(golden)


def _network(config: Mapping[str, Any], shape: tuple[int, ...]) -> Callable[[Array], Array]:
    settings = torch_config.settings(config["config"], (config["D"], config["H"], config["W"]))
    if config["full"]:
        return Denoiser(settings, inputs=shape[-1], rngs=nnx.Rngs(0))
    backbone = backbones.HRNet if settings.backbone == "hrnet" else backbones.UNet
    return backbone(settings, inputs=shape[-1], rngs=nnx.Rngs(0))


def _part(name: str, options: Mapping[str, Any]) -> Callable[[Array], Array]:
    """A cell, or the layer of one."""
    inputs, outputs, height, width = (options[field] for field in ("C_in", "C_out", "H", "W"))
    size = (options.get("D", 1), height, width)
    norm = options.get("norm_mode", "layer")
    if name == "ConvolutionModule":
        taps = cells.CONVOLUTIONS[_mode(options["conv_type"])]
        return cells.ConvolutionModule(inputs, outputs, taps, norm, size, rngs=nnx.Rngs(0))
    tall, wide, window_frames = (*options.get("window_size", (height, width)), 1)[:3]
    rows, columns = options.get("patch_size", (tall, wide))[:2]
    heads = options["n_head"]
    is_cell = name == "Cell"
    settings = ModelSettings(
        channels=outputs,
        cells="C3",  # these settings are of a part: the cell is said below
        heads=heads,
        window_heads=8 if is_cell else heads,  # the authors' cells do not pass their number on to ViT
        window=(window_frames, tall, wide),
        relative_bias=options.get("att_with_relative_position_bias", True),
        cosine=options.get("cosine_att", is_cell),
        mixer_ratio=options.get("scale_ratio_in_mixer", 4.0) if options.get("with_mixer", True) else 0.0,
        norm=norm,
    )
    if not settings.cosine and options.get("normalize_Q_K"):
        raise InputError("normalize_Q_K without cosine_att: networks here compare tokens by cosine or by their plain product")
    if is_cell:
        grid = Grid((tall, wide), (rows, columns))
        return cells.Cell(_mode(options["att_mode"]), inputs, outputs, size, grid, settings, rngs=nnx.Rngs(0))
    if name not in CLASSES:
        raise InputError(f"{name} is not a part of the networks here")
    kind = CLASSES[name]
    # cells give global attention windows half as large, which `make_attention` does
    times = 2 if kind == "G1" else 1
    grid = Grid((times * tall, times * wide), (rows, columns))
    return attention.make_attention(kind, inputs, outputs, size, grid, settings, rngs=nnx.Rngs(0))


def _mode(name: str) -> str:
    if name not in MODES:
        raise InputError(f"{name} cells have no golden here: there are {', '.join(MODES)}")
    return MODES[name]


def _layer(golden: Golden) -> Any:
    """A layer, told by its options and the names of its weights."""
    options = golden.config
    if "norm_mode" in options:
        return layers.make_norm(options["norm_mode"], (options["H"], options["W"], options["C"]))
    first = next(iter(golden.weights), "")
    if first.startswith("block."):
        kind = layers.Downsample if first.startswith("block.D") else layers.Upsample
        return kind(options["C_in"], options["C_out"], options["N"], rngs=nnx.Rngs(0))
    if first.startswith("conv_query"):
        outputs = golden.output.shape[-1]
        return backbones.Gate(outputs, query_channels=golden.input.shape[-1] - outputs, rngs=nnx.Rngs(0))
    raise InputError(f"{golden.name}: the golden does not say what part it is of")
