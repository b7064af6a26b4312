"""The authors' model configuration (YAML or JSON) as settings of a network here."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snraware_jax.errors import InputError
from snraware_jax.models.settings import ModelSettings

# what networks here do in one way only: the field, the values that mean it, and what it is
REQUIRED = (
    ("attention_type", ("conv",), "queries, keys and values by convolution"),
    ("mixer_type", ("conv",), "mixers of convolutions"),
    ("activation_func", ("prelu",), "PReLU"),
    ("upsample_method", ("linear",), "bilinear upsampling"),
    ("window_sizing_method", ("mixed",), "the mixed rule for windows"),
    ("att_with_output_proj", (True,), "a projection behind the attention"),
    ("cell_type", ("sequential",), "sequential cells"),
    ("block_dense_connection", (False,), "blocks without dense connections"),
)
NORMS = ("layer", "instance2d")


def settings(config: Mapping[str, Any], patch: tuple[int, int, int]) -> ModelSettings:
    """A network from the authors' backbone configuration, at any depth inside `config`.

    Args:
      config: with a mapping that has `block_str` and `block`.
      patch: T, H, W that the network was built for.

    Raises:
      InputError: naming a field that is missing, or asks for something that networks here do not do.
    """
    backbone = next((part for part in _mappings(config) if {"block_str", "block"} <= part.keys()), None)
    if backbone is None:
        raise InputError("no mapping with block_str and block in the configuration: is it a model's?")
    fields = {**backbone["block"].get("cell", {}), **backbone["block"], **backbone}
    for name, allowed, what in REQUIRED:
        if name in fields and fields[name] not in allowed:
            raise InputError(f"{name} is {fields[name]!r}: networks here have {what} ({name}: {allowed[0]})")
    of = lambda name: _field(fields, name)
    norm, stride = of("norm_mode"), fields.get("temporal", {}).get("stride_qk", [1, 1, 1])
    if norm not in NORMS:
        raise InputError(f"norm_mode is {norm!r}: networks here have {' or '.join(NORMS)}")
    if not of("cosine_att") and fields.get("normalize_Q_K"):
        raise InputError("normalize_Q_K without cosine_att: networks here compare tokens by cosine or by their plain product")
    if set(stride) != {1}:
        raise InputError(f"stride_qk is {stride}: networks here have no stride in attention")
    height, width, frames = of("window_size")
    try:
        return ModelSettings(
            backbone=_backbone(str(backbone.get("name", backbone.get("_target_", "")))),
            cells=",".join(_cells(string) for string in of("block_str")),
            channels=of("num_of_channels"),
            levels=of("num_resolution_levels"),
            heads=of("n_head"),
            window=(frames, height, width),
            window_patch=tuple(of("patch_size")[:2]),
            relative_bias=of("att_with_relative_position_bias"),
            cosine=of("cosine_att"),
            gates=fields.get("use_unet_attention", False),
            mixer_ratio=float(of("scale_ratio_in_mixer")),
            norm=norm,
            patch=patch,
            stochastic_depth=float(fields.get("dropout_p", 0.0)),
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def read(path: Path) -> Mapping[str, Any]:
    """The authors' YAML (or JSON, which is YAML) as plain values.

    Raises:
      InputError: if the file is missing or no mapping.
    """
    import yaml  # here, because only imports of weights need it

    if not path.is_file():
        raise InputError(f"{path}: no such configuration")
    try:
        config = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(config, Mapping):
        raise InputError(f"{path}: not a configuration, which is a mapping of names to values")
    return config


def find(config: Mapping[str, Any], name: str) -> Any:
    """The first value called `name` at any depth, or None."""
    return next((part[name] for part in _mappings(config) if name in part), None)


def _mappings(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping inside `config`, itself first."""
    if isinstance(config, Mapping):
        yield config
    inside = config.values() if isinstance(config, Mapping) else config if isinstance(config, list) else ()
    for part in inside:
        yield from _mappings(part)


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise InputError(f"{name} is missing in the configuration")
    return fields[name]


def _backbone(name: str) -> str:
    for backbone in ("hrnet", "unet"):
        if backbone in name.lower():
            return backbone
    raise InputError(f"backbone {name!r}: networks here are an HRNet or a UNet")


def _cells(string: str) -> str:
    """A block string with the digits of this project: after T, L and G the authors' 0 and 1 mean the same."""
    return re.sub(r"([TLG])[01]", r"\g<1>1", string.upper().replace("SH", "Sh"))
