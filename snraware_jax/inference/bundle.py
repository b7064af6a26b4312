"""One file that holds a network: its settings, its parameters, and a card that says where they come from.

A zip archive of `bundle.json` (settings, card, a digest of everything) and `parameters.safetensors`.
"""

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.formats import archive as archives
from snraware_jax.formats.atomic import replacing
from snraware_jax.models import ModelSettings, build

FORMAT = 1
DESCRIPTION, PARAMETERS = "bundle.json", "parameters.safetensors"


class Bundle(NamedTuple):
    """What a file holds: the settings of a network, the network with its parameters, the card."""

    settings: ModelSettings
    network: nnx.Module
    card: dict[str, Any]


def save(path: str | Path, settings: ModelSettings, network: nnx.Module, card: Mapping[str, Any]) -> None:
    """Writes a network built from `settings` and its card (plain values) to one file."""
    from safetensors import numpy as safetensors  # here, because only bundles need it

    parameters = safetensors.save({name: np.asarray(leaf) for name, leaf in _named(network).items()})
    description = {"format": FORMAT, "settings": dataclasses.asdict(settings), "card": dict(card)}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(DESCRIPTION, json.dumps(description | {"sha256": _digest(description, parameters)}, indent=1))
        archive.writestr(PARAMETERS, parameters)


def load(path: str | Path) -> Bundle:
    """Reads a bundle.

    Raises:
      InputError: if the file is missing, no bundle, of a later format, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors import numpy as safetensors

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such bundle")
    try:
        with zipfile.ZipFile(path) as archive:
            description, parameters = json.loads(archive.read(DESCRIPTION)), archive.read(PARAMETERS)
        if description["format"] > FORMAT:
            raise InputError(f"a bundle of format {description['format']}, newer than this version reads ({FORMAT}): update")
        if _digest({key: value for key, value in description.items() if key != "sha256"}, parameters) != description["sha256"]:
            raise InputError("damaged (its digest differs); get the file again")
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in description["settings"].items()
        }
        settings = ModelSettings(**fields)
        network = _with_parameters(settings, safetensors.load(parameters))
        return Bundle(settings, network, dict(description["card"]))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (*archives.BROKEN, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise InputError(f"{path}: not a bundle, or a damaged one ({error})") from error


def _with_parameters(settings: ModelSettings, tensors: Mapping[str, np.ndarray]) -> nnx.Module:
    network = nnx.eval_shape(lambda: build(settings))
    expected = _named(network)
    describe = lambda named: {name: (tuple(array.shape), np.dtype(array.dtype)) for name, array in named.items()}
    if describe(tensors) != describe(expected):
        raise InputError("its parameters are not those of its settings")
    if not all(np.isfinite(array).all() for array in tensors.values()):
        raise InputError("parameters that are not finite")
    graphdef, state = nnx.split(network)
    tree = jax.tree.structure(nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, jax.tree.unflatten(tree, [jnp.asarray(tensors[name]) for name in expected]))
    return nnx.merge(graphdef, state)


def _digest(description: Mapping[str, Any], parameters: bytes) -> str:
    """SHA-256 of all that a bundle says, and of its parameters."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode() + parameters).hexdigest()


def _named(network: nnx.Module) -> dict[str, Any]:
    """Every parameter by its path, "backbone/blocks/...", in the order of the tree."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(nnx.state(network)))
    return {"/".join(str(step.key) for step in path): leaf for path, leaf in leaves}
