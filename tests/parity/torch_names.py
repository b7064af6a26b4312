"""PyTorch state-dict names of the goldens -> parameters of our modules, channels first -> last."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from snraware_jax.models.attention import TemporalAttention
from snraware_jax.models.backbones import HRNet
from snraware_jax.models.cells import Block, Cell, ConvolutionModule
from snraware_jax.models.layers import Conv, Downsample, LayerNorm, PReLU, Upsample

Weights = Mapping[str, np.ndarray]


class Golden(NamedTuple):
    """One golden: weights by name, and arrays `[B, T, H, W, C]`."""

    weights: dict[str, np.ndarray]
    config: dict
    input: np.ndarray
    output: np.ndarray
    cotangent: np.ndarray
    grad_input: np.ndarray


def read(path: Path) -> Golden:
    """Reads a golden of a model or layer; of several outputs the last."""
    with np.load(path) as file:
        last = sorted(name for name in file.files if re.fullmatch(r"output(_\d)?", name))[-1]
        arrays = [np.moveaxis(file[name], 1, -1) for name in ("input", last, "cotangent", "grad_input")]
        weights = {name.removeprefix("sd/"): file[name] for name in file.files if name.startswith("sd/")}
        return Golden(weights, json.loads(str(file["config"])), *arrays)


def load(module: nnx.Module, weights: Weights) -> None:
    """Sets every parameter of `module`; every weight is used exactly once."""
    unused = dict(weights)
    _load(module, "", unused)
    assert not unused, f"weights that belong to no parameter: {sorted(unused)}"


def _load(module: object, name: str, weights: dict[str, np.ndarray]) -> None:
    at = lambda child: f"{name}.{child}" if name else child
    match module:
        case Conv():
            # [O, I, *taps] -> [*taps, I, O]
            _set(module.kernel, np.moveaxis(weights.pop(at("conv.weight")), (0, 1), (-1, -2)))
            if module.bias is not None:
                _set(module.bias, weights.pop(at("conv.bias")))
        case LayerNorm():
            _set(module.weight, np.moveaxis(weights.pop(at("ln.weight")), 0, -1))
            _set(module.bias, np.moveaxis(weights.pop(at("ln.bias")), 0, -1))
        case PReLU():
            _set(module.slope, weights.pop(at("weight"))[0])
        case TemporalAttention():
            parts = [
                {part: weights.pop(at(f"{which}.conv.{part}")) for part in ("weight", "bias")}
                for which in ("query", "key", "value")
            ]
            fused = {f"conv.{part}": np.concatenate([p[part] for p in parts]) for part in ("weight", "bias")}
            _load(module.project_in, "", fused)
            _load(module.project_out, at("output_proj"), weights)
        case ConvolutionModule():
            _load(module.conv, at("conv"), weights)
            _load(module.norm, at("n1"), weights)
            _load(module.activation, at("act_func"), weights)
        case Cell():
            _load(module.layer_norm, at("n1"), weights)
            _load(module.layer, at("attn"), weights)
            _load(module.mixer_norm, at("n2"), weights)
            if module.mixer is not None:
                _load(module.mixer.widen, at("mlp.0"), weights)
                _load(module.mixer.activation, at("mlp.1"), weights)
                _load(module.mixer.narrow, at("mlp.2"), weights)
        case Block():
            for i, cell in enumerate(module.cells):
                _load(cell, at(f"block.cell_{i}"), weights)
        case Downsample() | Upsample():
            letter = "D" if isinstance(module, Downsample) else "U"
            for i, mix in enumerate(module.mix):
                _load(mix, at(f"block.{letter}2_{i}.conv"), weights)
        case HRNet():
            for group, name_of in _HRNET.items():
                for key, child in getattr(module, group).items():
                    _load(child, at(name_of(*(int(n) for n in re.findall(r"\d+", key)))), weights)
        case _:
            assert callable(module), f"{name}: no rule for {type(module)}"  # a norm without parameters


_HRNET = {
    "blocks": lambda level, stage: f"B{level}{stage}",
    "out_blocks": lambda level: f"output_B{level}",
    "downs": lambda source, level, stage: f"down_{source}{stage - 1}_{level}{stage}",
    "out_downs": lambda source, level: f"down_{source}_{level}",
    "out_ups": lambda source, level: f"up_{source}_{level}",
    "joins": lambda level: f"up_{level}",
}


def _set(parameter: nnx.Param, value: np.ndarray) -> None:
    assert parameter.shape == np.shape(value), f"parameter {parameter.shape}, weight {np.shape(value)}"
    parameter[...] = jnp.asarray(value)
