"""One file that holds a network: its settings, its parameters, a program without this package, and a card that says where from.

A zip archive of `bundle.json` (settings, tile, card, a digest of everything), `parameters.safetensors` and `program.stablehlo`, a
serialised `jax.export.Exported` for CPU, CUDA and TPU of a function (parameters by name, x `[batch, t, h, w, 3]` float32) ->
`[batch, t, h, w, 2]`, of any batch, for tiles t x h x w. With JAX alone:

    archive = zipfile.ZipFile("model.snr")
    parameters = safetensors.numpy.load(archive.read("parameters.safetensors"))
    network = jax.export.deserialize(archive.read("program.stablehlo")).call
    y = network(parameters, x)
"""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.formats import archive as archives
from snraware_jax.formats.atomic import replacing
from snraware_jax.models import ModelSettings, build

FORMAT = 2
DESCRIPTION, PARAMETERS, PROGRAM = "bundle.json", "parameters.safetensors", "program.stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")


class Tiling(NamedTuple):
    """T, H, W of the tiles that a network is given, and of what neighbours share."""

    tile: tuple[int, int, int] = (16, 64, 64)
    overlap: tuple[int, int, int] = (8, 16, 16)


class Bundle(NamedTuple):
    """What a file holds.

    Attributes:
      settings: of the network.
      network: with its parameters.
      card: where it comes from, JSON values.
      tiling: that it is used with.
      sha256: of everything, which tells bundles apart.
    """

    settings: ModelSettings
    network: nnx.Module
    card: dict[str, Any]
    tiling: Tiling
    sha256: str


def save(
    path: str | Path,
    settings: ModelSettings,
    network: nnx.Module,
    card: Mapping[str, Any],
    tiling: Tiling = Tiling(),  # noqa: B008
) -> None:
    """Writes a network built from `settings`, its program for one size of tiles, and its card (plain values) to one file.

    Raises:
      InputError: if the network does not take tiles of this size, or a file is there that is no bundle.
    """
    from safetensors import numpy as safetensors  # here, because only bundles need it

    path = Path(path)
    if path.suffix != ".snr":
        raise InputError(f"{path}: a bundle is named NAME.snr: give {path.with_suffix('.snr')}")
    if path.is_file() and not _is_bundle(path):
        raise InputError(f"{path} is there, and no bundle: give another name, or delete it.")

    parameters = safetensors.save({name: np.asarray(leaf) for name, leaf in _named(network).items()})
    program = _program(network, tiling.tile)
    description = {"format": FORMAT, "settings": dataclasses.asdict(settings), "card": dict(card), **tiling._asdict()}
    text = json.dumps(description | {"sha256": _digest(description, parameters, program)}, indent=1).encode()
    with replacing(path) as temporary:
        temporary.write_bytes(_archive({DESCRIPTION: text, PARAMETERS: parameters, PROGRAM: program}))


def _program(network: nnx.Module, tile: tuple[int, int, int]) -> bytes:
    """The network as StableHLO, parameters by name and tiles its arguments."""
    graphdef, state = nnx.split(network)
    tree, named = jax.tree.structure(nnx.to_pure_dict(state)), _named(network)

    def apply(parameters: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return nnx.merge(graphdef, jax.tree.unflatten(tree, [parameters[name] for name in named]))(x)  # pyright: ignore[reportCallIssue]

    shapes = {name: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype) for name, leaf in named.items()}
    (batch,) = jax.export.symbolic_shape("batch")
    x = jax.ShapeDtypeStruct((batch, *tile, 3), jnp.float32)
    try:
        with _files_by_name():
            return bytes(jax.export.export(jax.jit(apply), platforms=PLATFORMS)(shapes, x).serialize())
    except ValueError as error:
        raise InputError(
            f"tiles of {' x '.join(map(str, tile))} (T x H x W), which the network does not take: {error}"
        ) from error


def _archive(contents: Mapping[str, bytes], times: Mapping[str, tuple[int, int, int, int, int, int]] | None = None) -> bytes:
    """The file, the same for the same contents; `times` of its members are what older versions wrote."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            member = zipfile.ZipInfo(name, *([times[name]] if times else []))
            member.create_system, member.external_attr = 3, 0o600 << 16
            archive.writestr(member, content)
    return file.getvalue()


def _is_bundle(path: Path) -> bool:
    """Whether a file was meant to be one, of any format."""
    return zipfile.is_zipfile(path) and DESCRIPTION in zipfile.ZipFile(path).namelist()


@contextmanager
def _files_by_name() -> Iterator[None]:
    """A program says of every operation where it is from: without the folders of the machine that it was written on."""
    option = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, option)
    jax.config.update(option, r".*[/\\]")
    try:
        yield
    finally:
        jax.config.update(option, before)


def load(path: str | Path) -> Bundle:
    """Reads a bundle.

    Raises:
      InputError: if the file is missing, no bundle, of another format, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors import numpy as safetensors

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such bundle")
    try:
        with zipfile.ZipFile(path) as archive:
            text, parameters = archive.read(DESCRIPTION), archive.read(PARAMETERS)
            description = json.loads(text)
            if description["format"] != FORMAT:
                remedy = "update" if description["format"] > FORMAT else "export or import it again"
                raise InputError(f"a bundle of format {description['format']}, where this version reads {FORMAT}: {remedy}")
            program = archive.read(PROGRAM)
            times = {info.filename: info.date_time for info in archive.infolist()}
        sha256 = description.pop("sha256")
        whole = _archive({DESCRIPTION: text, PARAMETERS: parameters, PROGRAM: program}, times)
        # the digest is of the contents; what is between them in the file has to be as it was written, too
        if _digest(description, parameters, program) != sha256 or path.read_bytes() != whole:
            raise InputError("damaged (its digest differs); get the file again")
        tuples = lambda values: {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        fields: dict[str, Any] = tuples(description["settings"])
        settings = ModelSettings(**fields)
        network = _with_parameters(settings, safetensors.load(parameters))
        tiling = Tiling(tuple(description["tile"]), tuple(description["overlap"]))
        return Bundle(settings, network, dict(description["card"]), tiling, sha256)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (*archives.BROKEN, OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
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


def _digest(description: Mapping[str, Any], *contents: bytes) -> str:
    """SHA-256 of all that a bundle says, and of its contents."""
    return hashlib.sha256(b"".join([json.dumps(description, sort_keys=True).encode(), *contents])).hexdigest()


def _named(network: nnx.Module) -> dict[str, Any]:
    """Every parameter by its path, "backbone/blocks/...", in the order of the tree."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(nnx.state(network)))
    return {"/".join(str(step.key) for step in path): leaf for path, leaf in leaves}
