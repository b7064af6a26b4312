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
    block = _of_kind(backbone, "block", Mapping)
    fields = {**_of_kind(block, "cell", Mapping), **block, **backbone}
    for name, allowed, what in REQUIRED:
        if name in fields and fields[name] not in allowed:
            raise InputError(f"{name} is {fields[name]!r}: networks here have {what} ({name}: {allowed[0]})")
    whole, truth = (lambda name: _of_kind(fields, name, int)), (lambda name: _of_kind(fields, name, bool))
    norm = _of_kind(fields, "norm_mode", str)
    if norm not in NORMS:
        raise InputError(f"norm_mode is {norm!r}: networks here have {' or '.join(NORMS)}")
    if not truth("cosine_att") and fields.get("normalize_Q_K"):
        raise InputError("normalize_Q_K without cosine_att: networks here compare tokens by cosine or by their plain product")
    for part, name, allowed in (("temporal", "stride_qk", [1, 1, 1]), ("spatial_global", "shuffle_in_window", False)):
        options = fields.get(part) or {}
        if isinstance(options, Mapping) and options.get(name, allowed) != allowed:
            raise InputError(f"{part}.{name} is {options[name]!r}: networks here have {allowed!r} alone")
    height, width, frames = _whole_numbers(fields, "window_size")
    rows, columns, _ = _whole_numbers(fields, "patch_size")
    kind = _backbone(str(backbone.get("name", backbone.get("_target_", ""))))
    levels = whole("num_resolution_levels")
    try:
        return ModelSettings(
            backbone=kind,
            cells=_cells(fields, levels, kind),
            channels=whole("num_of_channels"),
            levels=levels,
            heads=whole("n_head"),
            window=(frames, height, width),
            window_patch=(rows, columns),
            relative_bias=truth("att_with_relative_position_bias"),
            cosine=truth("cosine_att"),
            gates=kind == "unet" and fields.get("use_unet_attention", False),
            mixer_ratio=float(_of_kind(fields, "scale_ratio_in_mixer", (int, float))),
            norm=norm,
            patch=patch,
            stochastic_depth=float(_of_kind({"dropout_p": 0.1, **fields}, "dropout_p", (int, float))),
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
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(config, Mapping):
        raise InputError(f"{path}: not a configuration, which is a mapping of names to values")
    return config


def find(config: Mapping[str, Any], name: str) -> Any:
    """The value called `name` nearest to the surface, or None."""
    return next((part[name] for part in _mappings(config) if name in part), None)


def _mappings(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping inside `config`, itself first."""
    seen: set[int] = set()  # YAML may refer to what contains the reference
    waiting = [config]
    while waiting:
        part = waiting.pop(0)
        if id(part) in seen:
            continue
        if isinstance(part, Mapping):
            yield part
        if isinstance(part, (Mapping, list)):
            seen.add(id(part))
            waiting += part.values() if isinstance(part, Mapping) else part


def _of_kind(fields: Mapping[str, Any], name: str, kind: Any) -> Any:
    """A field, which has to be there and of this type."""
    if name not in fields:
        raise InputError(f"{name} is missing in the configuration")
    if not isinstance(fields[name], kind) or (kind is int and isinstance(fields[name], bool)):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise InputError(f"{name} is {fields[name]!r}: expected is {' or '.join(one.__name__ for one in kinds)}")
    return fields[name]


def _whole_numbers(fields: Mapping[str, Any], name: str) -> list[int]:
    """Three numbers, H, W, T."""
    value = _of_kind(fields, name, list)
    if len(value) != 3 or not all(type(number) is int for number in value):
        raise InputError(f"{name} is {value!r}: expected are three whole numbers, [H, W, T]")
    return value


def _backbone(name: str) -> str:
    for backbone in ("hrnet", "unet"):
        if backbone in name.lower():
            return backbone
    raise InputError(f"backbone {name!r}: networks here are an HRNet or a UNet")


def _cells(fields: Mapping[str, Any], levels: int, backbone: str) -> str:
    """Block strings as `ModelSettings.cells`: of every level, and for a UNet's bridge the last, however many there are.

    After T, L and G the authors' digits 0 and 1 mean the same.
    """
    given = _of_kind(fields, "block_str", list)
    strings = [re.sub(r"([TLG])[01]", r"\g<1>1", str(string).upper().replace("SH", "Sh")) for string in given]
    if not strings:
        raise InputError("block_str is empty: give a string for each level")
    bridge = [strings[-1]] if backbone == "unet" and len(strings) > levels else []
    return ",".join(strings[:levels] + bridge)
