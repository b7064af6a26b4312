"""The configuration at the border: checked as a whole before anything compiles, kept in the workdir, turned into settings."""

import difflib
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing
from snraware_jax.models import ModelSettings
from snraware_jax.noise import NoiseSettings
from snraware_jax.optim.builder import OPTIMIZERS

# fields that a run may change when it is continued: how often and on what, never what is computed
MAY_CHANGE = (
    "data.threads",
    "train.log_every",
    "train.evaluate_every",
    "train.checkpoint_every",
    "evaluation.",
    "mesh.",
)
DTYPES = ("float32", "bfloat16")
VERSIONED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "snraware-jax")


def noise_settings(config: ConfigDict) -> NoiseSettings:
    """`config.noise` as settings."""
    return NoiseSettings(**config.noise)


def model_settings(config: ConfigDict) -> ModelSettings:
    """`config.model` and the patch size as settings."""
    fields = {name: value for name, value in config.model.items() if name != "dtype"}
    return ModelSettings(**fields, patch=config.data.patch)


def validate(config: ConfigDict, devices: int) -> None:
    """Refuses a configuration that cannot be run on `devices`, naming the field and the fix.

    Raises:
      InputError: with one sentence.
    """
    require = _require
    require(config.batch_size > 0, f"batch_size is {config.batch_size}", "give a number above 0: --config.batch_size=8")
    require(config.batch_size % devices == 0, f"batch {config.batch_size} does not divide over {devices} devices",
            f"--config.batch_size={-(-config.batch_size // devices) * devices}")  # fmt: skip
    require(devices % config.mesh.fsdp == 0, f"mesh.fsdp {config.mesh.fsdp} does not divide {devices} devices",
            "--config.mesh.fsdp=1")  # fmt: skip
    for name in ("data.patch", "evaluation.tile", "evaluation.overlap"):
        value = _field(config, name)
        require(len(value) == 3, f"{name} is {value}", f"give T, H, W: --config.{name}=16,64,64")
    require(min(config.data.patch) > 0, f"data.patch is {config.data.patch}", "give sizes above 0")
    require(
        config.train.steps > 0 or config.train.epochs > 0,
        "there is no budget",
        "--config.train.steps=600 or --config.train.epochs=80",
    )
    for name in ("train.log_every", "train.evaluate_every", "train.checkpoint_every", "evaluation.series", "data.threads"):
        require(_field(config, name) > 0, f"{name} is {_field(config, name)}", f"give a number above 0: --config.{name}=1")
    for name in ("optimizer.lr_peak", "optimizer.clip_norm"):
        require(_field(config, name) > 0, f"{name} is {_field(config, name)}", f"give a number above 0: --config.{name}=1e-3")
    for name in ("optimizer.beta1", "optimizer.beta2", "train.ema"):
        require(
            0 <= _field(config, name) < 1, f"{name} is {_field(config, name)}", f"give a number in [0, 1): --config.{name}=0.9"
        )
    require(0 < config.optimizer.warmup < 1, f"optimizer.warmup is {config.optimizer.warmup}", "give a share in (0, 1)")
    require(min(config.evaluation.peak_snr) > 0, f"evaluation.peak_snr is {config.evaluation.peak_snr}", "give levels above 0")
    for size, overlap in zip(config.evaluation.tile, config.evaluation.overlap, strict=True):
        require(overlap == 0 or 0 < overlap < size, f"evaluation.overlap {config.evaluation.overlap} does not fit in tiles of "
                f"{config.evaluation.tile}", "give each axis less overlap than tile")  # fmt: skip
    require(len(config.data.simulation.subjects) == 3 and min(config.data.simulation.subjects) > 0, "data.simulation.subjects is "
            f"{config.data.simulation.subjects}", "give train, validation, test: --config.data.simulation.subjects=40,4,6")  # fmt: skip
    weights = config.loss.to_dict()
    require(
        min(weights.values()) >= 0 < max(weights.values()),
        f"loss weights are {weights}",
        "give weights of 0 or more, not all 0",
    )
    require(
        config.optimizer.name in OPTIMIZERS,
        f"optimizer.name is {config.optimizer.name!r}",
        f"choose one of {', '.join(OPTIMIZERS)}",
    )
    require(config.model.dtype in DTYPES, f"model.dtype is {config.model.dtype!r}", f"choose one of {', '.join(DTYPES)}")
    if config.model.norm == "layer":
        require(config.evaluation.tile[1:] == config.data.patch[1:], f"evaluation.tile {config.evaluation.tile} differs from "
                f"data.patch {config.data.patch} in H, W, to which a layer norm ties the network",
                f"--config.evaluation.tile={','.join(map(str, config.data.patch))}")  # fmt: skip
    try:
        noise_settings(config)
        model_settings(config)
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from error


def _require(condition: bool, problem: str, fix: str) -> None:
    if not condition:
        raise InputError(f"{problem}: {fix}")


def _field(config: ConfigDict, name: str) -> Any:
    for word in name.split("."):
        config = config[word]
    return config


def keep(config: ConfigDict, workdir: Path) -> None:
    """Writes WORKDIR/config.json and versions.json, or checks that a workdir which has them belongs to this configuration.

    Raises:
      InputError: naming the fields that differ, if the workdir was made by another configuration.
    """
    path = workdir / "config.json"
    if path.exists():
        compare(config, workdir)
    elif workdir.exists() and any(workdir.iterdir()):
        raise InputError(f"{workdir}: not empty and not a workdir of launch/train.py; give another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(path, flatten(config))
    write_json(workdir / "versions.json", versions())


def compare(config: ConfigDict, workdir: Path) -> None:
    """Refuses a configuration other than the one WORKDIR was made by, in any field that changes what is computed.

    Raises:
      InputError: naming the fields that differ.
    """
    current, before = flatten(config), _read(workdir / "config.json")
    names = [name for name in sorted(current.keys() | before.keys()) if not name.startswith(MAY_CHANGE)]
    different = [name for name in names if current.get(name) != before.get(name)]
    if different:
        listed = ", ".join(f"{name} {before.get(name)} -> {current.get(name)}" for name in different[:4])
        more = f" and {len(different) - 4} more" if len(different) > 4 else ""
        raise InputError(
            f"{workdir}: made by another configuration ({listed}{more}); give another --workdir, or delete this one"
        )


def restore(workdir: Path, fields: ConfigDict) -> ConfigDict:
    """The configuration that WORKDIR was trained with: the values of its config.json in the fields of `fields`.

    Raises:
      InputError: if there is none, or it has fields that this version does not know.
    """
    path = workdir / "config.json"
    values, known = _read(path), flatten(fields)
    unknown = [name for name in values if name not in known and not name.startswith("loss.")]
    if unknown:
        near = difflib.get_close_matches(unknown[0], list(known), n=1)
        raise InputError(f"{path}: unknown key {unknown[0]}" + (f"; did you mean {near[0]}?" if near else ""))
    config = fields.copy_and_resolve_references()
    with config.unlocked():
        config.update_from_flattened_dict({name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    return config


def flatten(config: ConfigDict) -> dict[str, Any]:
    """Every field by its dotted name, as JSON values."""
    fields: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            fields.update({f"{key}.{name}": leaf for name, leaf in flatten(value).items()})
        else:
            fields[key] = list(value) if isinstance(value, tuple) else value
    return fields


def versions() -> dict[str, str]:
    """What this run was computed with: packages, Python, the machine's kind."""
    packages = {name: importlib.metadata.version(name) for name in VERSIONED}
    return {"python": platform.python_version(), "machine": platform.machine(), "command": " ".join(sys.argv), **packages}


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path.parent}: no config.json, so not a workdir of launch/train.py; train there first") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: damaged ({error}); delete the workdir and train again") from error
