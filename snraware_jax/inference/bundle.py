"""One file that holds a network: its settings, its parameters, and a card that says where they come from.

A zip archive of `bundle.json` (settings, card, digest of the parameters) and `parameters.safetensors`.
"""

import dataclasses
import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing
from snraware_jax.models import ModelSettings, build

FORMAT = 1
BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError)
DESCRIPTION, PARAMETERS = "bundle.json", "parameters.safetensors"


class Bundle(NamedTuple):
    """What a file holds: the settings of a network, the network with its parameters, the card."""

    settings: ModelSettings
    network: nnx.Module
    card: dict[str, Any]


def save(path: str | Path, settings: ModelSettings, network: nnx.Module, card: Mapping[str, Any]) -> None:
    """Writes a network built from `settings` and its card (plain values) to one file."""
    from safetensors import numpy as safetensors  # here, because only bundles need it

    parameters = safetensors.save(_named(network))
    digest = hashlib.sha256(parameters).hexdigest()
    description = {"format": FORMAT, "settings": dataclasses.asdict(settings), "card": dict(card), "sha256": digest}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(DESCRIPTION, json.dumps(description, indent=1))
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
            raise InputError(
                f"{path}: a bundle of format {description['format']}, newer than this version reads ({FORMAT}): update"
            )
        if hashlib.sha256(parameters).hexdigest() != description["sha256"]:
            raise InputError(f"{path}: its parameters are damaged (their digest differs); get the file again")
        tensors = safetensors.load(parameters)
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in description["settings"].items()}
        settings = ModelSettings(**fields)
    except InputError:
        raise
    except (*BROKEN_ARCHIVE, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise InputError(f"{path}: not a bundle, or a damaged one ({error})") from error
    network = build(settings)
    expected = _named(network)
    shapes = lambda named: {name: array.shape for name, array in named.items()}
    if shapes(tensors) != shapes(expected):
        raise InputError(f"{path}: its parameters are not those of its settings")
    graphdef, state = nnx.split(network)
    tree = jax.tree.structure(nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, jax.tree.unflatten(tree, [jnp.asarray(tensors[name]) for name in expected]))
    return Bundle(settings, nnx.merge(graphdef, state), description["card"])


def _named(network: nnx.Module) -> dict[str, np.ndarray]:
    """Every parameter by its path, "backbone/blocks/...", in the order of the tree."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(nnx.state(network)))
    return {"/".join(str(step.key) for step in path): np.asarray(leaf) for path, leaf in leaves}
