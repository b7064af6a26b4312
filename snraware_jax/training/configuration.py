"""The configuration at the border: checked as a whole before anything compiles, kept in the workdir, turned into settings."""

import difflib
import fcntl
import importlib.metadata
import json
import math
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from data_pipeline.patches import PRESETS
from snraware_jax import models
from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import write_json
from snraware_jax.interop import vgg_weights
from snraware_jax.models import ModelSettings
from snraware_jax.noise import NoiseSettings
from snraware_jax.optim import OPTIMIZERS, SCHEDULES
from snraware_jax.optim.sophia import ESTIMATORS
from snraware_jax.perceptual import SMALLEST
from snraware_jax.training import profile

# fields that a run may change when it is continued: how often and on what, never what is computed
MAY_CHANGE = (
    "data.threads",
    "data.workers",
    "train.log_every",
    "train.evaluate_every",
    "train.checkpoint_every",
    "train.checkpoint_minutes",
    "train.stuck_minutes",
    "train.heartbeat_seconds",
    "evaluation.",
    "mesh.",
    "profile.",
)
# and those that may differ between the processes of a run: where and how each gets the same records
OF_A_HOST = ("data.threads", "data.workers", "data.path", "profile.")
# fields that versions from before them worked without, with the values that do what those did
FIELDS_ADDED = {
    "vgg_weights": "",
    "loss.perceptual": 1.0,  # off without the weights
    "optimizer.schedule": "one_cycle",
    "optimizer.rho": 0.05,
    "optimizer.estimator": "gnb",
    "optimizer.refresh_every": 10,
    "optimizer.cycle_momentum": False,
    "train.minutes": 0.0,
    "train.checkpoint_minutes": 5.0,
    "train.accumulate": 1,
    "train.stuck_minutes": 15.0,
    "train.heartbeat_seconds": 60.0,
    "profile.steps": "",
}
LOCK = ".lock"  # in a workdir
VERSIONED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "snraware-jax")


def noise_settings(config: ConfigDict) -> NoiseSettings:
    """`config.noise` as settings."""
    return NoiseSettings(**config.noise)


def model_settings(config: ConfigDict) -> ModelSettings:
    """`config.model` and the patch size as settings."""
    fields = {name: value for name, value in config.model.items() if name != "dtype"}
    return ModelSettings(**fields, patch=config.data.patch)


def loss_weights(config: ConfigDict) -> dict[str, float]:
    """`config.loss`; the perceptual loss has no weight where no file of VGG's weights is named."""
    return config.loss.to_dict() | ({} if config.vgg_weights else {"perceptual": 0.0})


def validate(config: ConfigDict, devices: int) -> None:
    """Refuses a configuration that cannot be run on `devices`, naming the field and the fix.

    Raises:
      InputError: with one sentence.
    """
    for name, allowed, fix in _rules(config, devices):
        if not allowed:
            raise InputError(f"{name} is {_field(config, name)!r}: {fix}")
    try:
        noise_settings(config)
        _fits(model_settings(config), config.evaluation.tile)
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from error


def _fits(settings: ModelSettings, tile: tuple[int, int, int]) -> None:
    """Builds the network without its numbers, and passes the shape of a tile through it: windows and heads fit at every level."""
    if settings.norm == "layer" and tile[1:] != settings.patch[1:]:
        raise ValueError(
            f"evaluation.tile is {tile}: a layer norm ties the network to H, W of the patch, "
            f"--config.evaluation.tile={','.join(map(str, settings.patch))}"
        )
    graphdef, params = nnx.split(nnx.eval_shape(lambda: models.build(settings)))
    if 0 in tile:
        return
    try:
        jax.eval_shape(lambda p, x: nnx.merge(graphdef, p)(x), params, jax.ShapeDtypeStruct((1, *tile, 3), jnp.float32))
    except ValueError as error:
        raise ValueError(f"evaluation.tile {tile}: {error}") from error


def _rules(config: ConfigDict, devices: int) -> Iterator[tuple[str, bool, str]]:
    """Of every field with limits: its name, whether its value is within them, and what to do if not.

    In order: a rule may rely on those before it.
    """
    of = lambda name: _field(config, name)
    for name, value in flatten(config).items():
        numbers = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, float)]
        yield name, all(math.isfinite(number) for number in numbers), "give a finite number"
    for name in ("data.patch", "evaluation.tile", "evaluation.overlap", "data.simulation.subjects", "data.simulation.matrix"):
        yield name, all(isinstance(size, int) for size in of(name)), "give whole numbers"
    for name in ("batch_size", "mesh.fsdp", "data.threads", "evaluation.series"):
        yield name, of(name) > 0, f"give a number above 0, --config.{name}=8"
    yield "data.workers", config.data.workers >= 0, "give a number of processes, or 0"
    yield "data.augmentation", config.data.augmentation in PRESETS, f"choose one of {', '.join(PRESETS)}"
    for name in ("train.log_every", "train.evaluate_every", "train.checkpoint_every"):
        yield name, of(name) > 0, f"give a number of steps above 0, --config.{name}=100"
    for name in ("train.checkpoint_minutes", "train.stuck_minutes", "train.heartbeat_seconds"):
        yield name, of(name) > 0, f"give a number above 0, --config.{name}={FIELDS_ADDED[name]}"
    yield "train.accumulate", config.train.accumulate > 0, "give a number of parts, 1 for the whole batch at once"
    yield "profile.steps", *_fits_profile(config.profile.steps)
    parts = devices * config.train.accumulate
    multiple = -(-config.batch_size // parts) * parts
    of_devices = (
        f"{devices} devices" if config.train.accumulate == 1 else f"{devices} devices x {config.train.accumulate} parts"
    )
    yield (
        "batch_size",
        config.batch_size % parts == 0,
        f"it does not divide over {of_devices}, --config.batch_size={multiple}",
    )
    yield "mesh.fsdp", devices % config.mesh.fsdp == 0, f"it does not divide {devices} devices, --config.mesh.fsdp=1"
    for name in ("seed", "data.simulation.seed"):
        yield name, 0 <= of(name) < 2**31, "give one from 0 to 2147483647"
    yield "train.steps", config.train.steps >= 0, "give a number of steps, or 0 for `train.epochs`"
    yield "train.minutes", of("train.minutes") >= 0, "give minutes, or 0 for `train.steps` or `train.epochs`"
    yield "train.minutes", not (config.train.minutes and config.train.steps), "there is `train.steps` too; give one of them"
    budget = config.train.steps or config.train.minutes or config.train.epochs
    yield "train.epochs", budget > 0, "there is no budget, --config.train.steps=600"
    for name in ("optimizer.lr_peak", "optimizer.clip_norm"):
        yield name, of(name) > 0, f"give a number above 0, --config.{name}=1e-3"
    for name in ("optimizer.beta1", "optimizer.beta2", "train.ema"):
        yield name, 0 <= of(name) < 1, f"give a number in [0, 1), --config.{name}=0.9"
    yield "optimizer.warmup", 0 < config.optimizer.warmup < 1, "give a share of the steps in (0, 1)"
    choices = {"name": OPTIMIZERS, "schedule": SCHEDULES, "estimator": ESTIMATORS}
    for name, names in choices.items():
        yield f"optimizer.{name}", config.optimizer[name] in names, f"choose one of {', '.join(names)}"
    cycled = config.optimizer.cycle_momentum
    yield (
        "optimizer.cycle_momentum",
        not cycled or config.optimizer.name == "sign_momentum",
        "for sign_momentum alone, --config.optimizer.cycle_momentum=False",
    )
    for name in ("optimizer.rho", "optimizer.refresh_every"):
        yield name, of(name) > 0, f"give a number above 0, --config.{name}={FIELDS_ADDED[name]}"
    yield "model.dtype", config.model.dtype in models.DTYPES, f"choose one of {', '.join(models.DTYPES)}"
    weights = loss_weights(config)
    yield "loss", min(weights.values()) >= 0 < max(weights.values()), "give weights of 0 or more, not all of them 0"
    yield "vgg_weights", not config.vgg_weights or Path(config.vgg_weights).is_file(), "there is no such file"
    for name in ("data.patch", "evaluation.tile", "evaluation.overlap"):
        yield name, len(of(name)) == 3, f"give T, H, W, --config.{name}=16,64,64"
    subjects, peak_snr = config.data.simulation.subjects, config.evaluation.peak_snr
    yield "data.simulation.subjects", len(subjects) == 3 and min(subjects) > 0, "give train, validation, test, each above 0"
    yield "evaluation.peak_snr", len(peak_snr) > 0 and min(peak_snr) > 0, "give one or more levels above 0"
    yield from _size_rules(config)


def _fits_profile(text: str) -> tuple[bool, str]:
    try:
        profile.window(text)
    except ValueError as error:
        return False, str(error)
    return True, ""


def _size_rules(config: ConfigDict) -> Iterator[tuple[str, bool, str]]:
    """The rules for T, H, W of patches and tiles."""
    patch, tile, overlap = config.data.patch, config.evaluation.tile, config.evaluation.overlap
    yield "data.patch", min(patch) > 0, "give sizes above 0"
    if loss_weights(config).get("perceptual"):
        yield "data.patch", min(patch[1:]) >= SMALLEST, f"the perceptual loss needs {SMALLEST} x {SMALLEST} pixels"
    yield "evaluation.tile", min(tile) >= 0, "give sizes above 0, or 0 for a whole axis"
    fits = all(shared == 0 or 0 < shared < size for size, shared in zip(tile, overlap, strict=True))
    yield "evaluation.overlap", fits, f"give each axis less overlap than its tile of {tile}"


def _field(config: ConfigDict, name: str) -> Any:
    for word in name.split("."):
        config = config[word]
    return config


def keep(config: ConfigDict, workdir: Path) -> None:
    """Writes WORKDIR/config.json and versions.json, or checks that a workdir which has them belongs to this configuration.

    Raises:
      InputError: naming the fields that differ, if the workdir was made by another configuration, or by other weights for the
        perceptual loss.
    """
    check_workdir(config, workdir)
    starts = workdir / "versions.json"
    before = _read(starts, list) if starts.exists() else []
    now = versions()
    if loss_weights(config).get("perceptual"):
        now["vgg_weights"] = vgg_weights.digest(vgg_weights.load(config.vgg_weights))
        if any(one.get("vgg_weights", now["vgg_weights"]) != now["vgg_weights"] for one in before):
            raise InputError(f"{config.vgg_weights}: not the weights that {workdir} was begun with; give another --workdir")
    write_json(workdir / "config.json", flatten(config))
    write_json(starts, [*before, now])


def check_workdir(config: ConfigDict, workdir: Path) -> None:
    """Refuses a workdir that belongs to another configuration or to something else.

    Raises:
      InputError: naming the fields that differ.
    """
    if (workdir / "config.json").exists():
        compare(config, workdir)
    # a start that was killed may have left its lock and a config.json that has not got its name
    elif workdir.exists() and any(path.name != LOCK and not path.name.startswith(".config-") for path in workdir.iterdir()):
        raise InputError(f"{workdir}: not empty and not a workdir of launch/train.py; give another --workdir")


def lock(workdir: Path) -> TextIO:
    """Takes WORKDIR for this process; the lock is held until the returned file is closed or the process ends, however it ends.

    Raises:
      InputError: if another process has it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    file = (workdir / LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(f"{workdir}: another training is running in it; wait for it, or give another --workdir") from error
    return file


def compare(config: ConfigDict, workdir: Path) -> None:
    """Refuses a configuration other than the one WORKDIR was made by, in any field that changes what is computed.

    Raises:
      InputError: naming the fields that differ.
    """
    current, kept = flatten(config), _read(workdir / "config.json")
    before = {name: value for name, value in _added_since(kept).items() if name in current} | kept
    names = [name for name in sorted(current.keys() | before.keys()) if not name.startswith(MAY_CHANGE)]
    different = [name for name in names if current.get(name) != before.get(name)]
    if different:
        listed = ", ".join(f"{name} {before.get(name)} -> {current.get(name)}" for name in different[:4])
        more = f" and {len(different) - 4} more" if len(different) > 4 else ""
        raise InputError(
            f"{workdir}: made by another configuration ({listed}{more}); give another --workdir, or delete this one"
        )


def keep_records(workdir: Path, records: Mapping[str, str]) -> None:
    """Writes WORKDIR/records.json, or checks that a workdir which has it was begun with these records.

    Args:
      workdir: of the run.
      records: of every split what tells its records from others (`data_pipeline.sources.fingerprint`).

    Raises:
      InputError: naming the split, if the records are others: their order, and with it every step, would be another.
    """
    path = workdir / "records.json"
    before = _read(path) if path.exists() else records
    for split, now in records.items():
        if before.get(split) != now:
            raise InputError(
                f"{workdir}: begun with other records ({split}: {before.get(split)} -> {now}); give another --workdir, or those records"
            )
    if not path.exists():
        write_json(path, dict(records))


def of_all_hosts(config: ConfigDict) -> dict[str, Any]:
    """The fields that have to be the same in every process of a run."""
    return {name: value for name, value in flatten(config).items() if not name.startswith(OF_A_HOST)}


def restore(workdir: Path, fields: ConfigDict) -> ConfigDict:
    """The configuration that WORKDIR was trained with: the values of its config.json in the fields of `fields`.

    Raises:
      InputError: if there is none, or it has fields that this version does not know.
    """
    path = workdir / "config.json"
    return of_values(_read(path), fields, str(path), "train again in another --workdir")


def of_values(kept: dict[str, Any], fields: ConfigDict, where: str, remedy: str) -> ConfigDict:
    """What `flatten` made values of, in the fields of `fields`.

    Raises:
      InputError: naming `where`, if one is missing or not known, with the remedy.
    """
    config = fields.copy_and_resolve_references()
    with config.unlocked():
        config.loss = ConfigDict()  # which losses there are is up to the run
    known = flatten(config)
    values = {name: value for name, value in _added_since(kept).items() if name in known} | kept
    unknown = [name for name in values if name not in known and not name.startswith("loss.")]
    missing = [name for name in known if name not in values]
    if missing:
        raise InputError(f"{where}: lacks {missing[0]}, so it is damaged or of another version; {remedy}")
    if unknown:
        near = difflib.get_close_matches(unknown[0], list(known), n=1)
        raise InputError(f"{where}: unknown key {unknown[0]}" + (f"; did you mean {near[0]}?" if near else ""))
    try:
        with config.unlocked():
            config.update_from_flattened_dict({name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: damaged ({error}); {remedy}") from error
    return config


def _added_since(kept: dict[str, Any]) -> dict[str, Any]:
    """`FIELDS_ADDED`, whose loss is one of workdirs from before it: later ones leave out what they do not have."""
    return {name: value for name, value in FIELDS_ADDED.items() if name != "loss.perceptual" or "vgg_weights" not in kept}


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


def _read(path: Path, kind: type[dict] | type[list] = dict) -> Any:
    try:
        value = json.loads(path.read_text())
        if not isinstance(value, kind):
            raise ValueError(f"not a {kind.__name__}")
    except FileNotFoundError as error:
        raise InputError(f"{path.parent}: no {path.name}, so not a workdir of launch/train.py; train there first") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); delete the workdir and train again") from error
    return value
