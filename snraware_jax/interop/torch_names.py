"""Which tensors of a PyTorch state dict belong to which parameter of a network, and how: channels first there, last here."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.models import backbones, cells, layers, tokens
from snraware_jax.models.attention import Attention
from snraware_jax.models.denoiser import Denoiser

Weights = Mapping[str, np.ndarray]
UNUSED = re.compile(r"(^|\.)mask$")  # a buffer of causal attention, which nothing here needs


class Entry(NamedTuple):
    """One parameter, and the tensors that it is made of.

    Attributes:
      parameter: of a network here.
      names: of the tensors in the state dict.
      ours: the parameter from the tensors.
      theirs: the tensors from the parameter.
    """

    parameter: nnx.Param
    names: tuple[str, ...]
    ours: Callable[[Sequence[np.ndarray]], np.ndarray]
    theirs: Callable[[np.ndarray], Sequence[np.ndarray]]


def load(module: nnx.Module, weights: Weights) -> None:
    """Sets every parameter of `module`, which may be abstract (`nnx.eval_shape`), from a state dict; tensors are used once each.

    Raises:
      InputError: naming tensors that are missing, left over, of another shape or not finite; if positions are counted otherwise.
    """
    listed = list(entries(module))
    expected = {name for entry in listed for name in entry.names}
    given = {name for name in weights if not UNUSED.search(name)}
    if expected != given:
        raise InputError(
            f"weights of another network: {_some('missing', expected - given)}{_some('left over', given - expected)}"
            "is the configuration the one that these weights were trained with?"
        )
    values = []
    for entry in listed:
        tensors = [_float32(name, weights[name]) for name in entry.names]
        wanted = entry.theirs(np.broadcast_to(np.float32(0), entry.parameter.shape))  # takes no memory, whatever its shape
        for name, tensor, own in zip(entry.names, tensors, wanted, strict=True):
            if tensor.shape != own.shape:
                raise InputError(f"weights of another network: {name} is {tensor.shape}, the configuration wants {own.shape}")
            if not np.isfinite(tensor).all():
                raise InputError(f"{name} has values that are not finite: weights of a training that failed?")
        values.append(entry.ours(tensors))
    for entry, value in zip(listed, values, strict=True):
        entry.parameter.set_value(jnp.asarray(value))


def state_dict(module: nnx.Module) -> dict[str, np.ndarray]:
    """The tensors of a network under their PyTorch names; the inverse of `load`."""
    found = {}
    for entry in entries(module):
        tensors = map(np.ascontiguousarray, entry.theirs(np.asarray(entry.parameter[...])))
        found |= dict(zip(entry.names, tensors, strict=True))
    return found


def _float32(name: str, tensor: np.ndarray) -> np.ndarray:
    if not (np.issubdtype(tensor.dtype, np.integer) or jnp.issubdtype(tensor.dtype, jnp.floating)):
        raise InputError(f"{name} is of {tensor.dtype}: weights are real numbers")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is refused
        return np.asarray(tensor, np.float32)


def entries(module: object, name: str = "") -> Iterator[Entry]:
    """Every parameter of `module`, which PyTorch calls `name`."""
    at = lambda child: f"{name}.{child}" if name else child
    match module:
        case Attention():
            yield from _attention(module, at)
        case _ if type(module) in _CHILDREN:
            for child, child_name in _CHILDREN[type(module)](module):
                yield from entries(child, at(child_name))
        case layers.Conv():
            # [O, I, *taps] and [*taps, I, O]
            yield _entry(module.kernel, at("conv.weight"), lambda w: np.moveaxis(w, (0, 1), (-1, -2)), _out_first)
            if module.bias is not None:
                yield _entry(module.bias, at("conv.bias"))
        case layers.LayerNorm():
            for parameter, part in ((module.weight, "weight"), (module.bias, "bias")):  # [C, H, W] and [H, W, C]
                yield _entry(
                    parameter,
                    at(f"ln.{part}"),
                    lambda w: np.moveaxis(w, 0, -1),
                    lambda w: np.moveaxis(w, -1, 0),
                )
        case layers.PReLU():
            yield _entry(module.slope, at("weight"), lambda w: w.reshape(()), lambda w: w.reshape(1))
        case nnx.Module():
            raise InputError(f"{type(module).__name__} is not a part of the authors' networks: their code has no such weights")
        case _:  # a norm without parameters, or none at all
            return


def _attention(module: Attention, at: Callable[[str], str]) -> Iterator[Entry]:
    if isinstance(module.cutting, tokens.ShiftedWindows):
        raise InputError(
            "weights of Swin cells are of no use: the authors' code never reads their values (V), so that they stayed untrained; "
            "train configs/hrnet_swin3d.py instead"
        )
    which = ("query", "key", "value")
    kernel, bias = module.project_in.kernel, module.project_in.bias
    assert bias is not None
    fuse = lambda ws: np.concatenate([np.moveaxis(w, (0, 1), (-1, -2)) for w in ws], axis=-1)
    part = lambda w: [_out_first(p) for p in np.split(w, 3, axis=-1)]
    yield Entry(kernel, tuple(at(f"{w}.conv.weight") for w in which), fuse, part)
    yield Entry(bias, tuple(at(f"{w}.conv.bias") for w in which), np.concatenate, lambda w: np.split(w, 3))
    if module.bias_table is not None and module.bias_of is not None:
        positions = tokens.position_index(module.bias_of)
        names = at("relative_position_bias_table"), at("relative_position_index")
        yield Entry(
            module.bias_table, names, lambda ws: _table(ws[0], ws[1], positions), lambda w: [w, positions.astype(np.int64)]
        )
    yield from entries(module.project_out, at("output_proj"))


# of every kind of module with parts: the parts, and what PyTorch calls them
_CHILDREN: dict[type, Callable[..., list[tuple[object, str]]]] = {
    cells.ConvolutionModule: lambda m: [(m.conv, "conv"), (m.norm, "n1"), (m.activation, "act_func")],
    cells.Mixer: lambda m: [(m.widen, "0"), (m.activation, "1"), (m.narrow, "2")],
    cells.Cell: lambda m: [
        *_present(m.project, "input_proj"),
        (m.layer_norm, "n1"),
        (m.layer, "attn"),
        (m.mixer_norm, "n2"),
        *_present(m.mixer, "mlp"),
    ],
    cells.Block: lambda m: [(cell, f"block.cell_{i}") for i, cell in enumerate(m.cells)],
    layers.Downsample: lambda m: [(mix, f"block.D2_{i}.conv") for i, mix in enumerate(m.mix)],
    layers.Upsample: lambda m: [(mix, f"block.U2_{i}.conv") for i, mix in enumerate(m.mix)],
    backbones.Gate: lambda m: [(m.of_query, "conv_query"), (m.of_skip, "conv_x"), (m.weight, "conv_gate")],
    backbones.HRNet: lambda m: [
        *((child, "B{}{}".format(*_numbers(key))) for key, child in m.blocks.items()),
        *((child, "output_B{}".format(*_numbers(key))) for key, child in m.out_blocks.items()),
        *((child, _between_stages(*_numbers(key))) for key, child in m.downs.items()),
        *((child, "down_{}_{}".format(*_numbers(key))) for key, child in m.out_downs.items()),
        *((child, "up_{}_{}".format(*_numbers(key))) for key, child in m.out_ups.items()),
        *((child, "up_{}".format(*_numbers(key))) for key, child in m.joins.items()),
    ],
    backbones.UNet: lambda m: [
        *((block, f"D{i}") for i, block in enumerate(m.down_blocks)),
        *((down, f"down_{i}") for i, down in enumerate(m.downs)),
        (m.bridge, "bridge"),
        *((up, f"up_{i}") for i, up in enumerate(m.ups)),
        *((gate, f"attention_{i}") for i, gate in enumerate(m.gates or ())),
        *((block, f"U{i}") for i, block in enumerate(m.up_blocks)),
    ],
    Denoiser: lambda m: [(m.pre, "pre"), (m.backbone, "bk"), (m.post, "post")],
}


def _table(table: np.ndarray, index: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A bias table, if its entries are those of the same pairs of tokens as here."""
    if not np.array_equal(index, positions):
        raise InputError(
            "these weights count relative positions in another order or number, as the authors' code does between windows in T "
            "(a known defect, not reproduced): they cannot be used here"
        )
    return table


def _between_stages(source: int, level: int, stage: int) -> str:
    return f"down_{source}{stage - 1}_{level}{stage}"


def _numbers(key: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", key)]


def _present(child: object | None, name: str) -> list[tuple[object, str]]:
    return [] if child is None else [(child, name)]


def _out_first(kernel: np.ndarray) -> np.ndarray:
    """`[*taps, I, O]` -> `[O, I, *taps]`."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _entry(
    parameter: nnx.Param,
    name: str,
    ours: Callable[[np.ndarray], np.ndarray] = lambda w: w,
    theirs: Callable[[np.ndarray], np.ndarray] = lambda w: w,
) -> Entry:
    """A parameter that is one tensor."""
    return Entry(parameter, (name,), lambda ws: ours(ws[0]), lambda w: [theirs(w)])


def _some(what: str, names: set[str]) -> str:
    listed = ", ".join(sorted(names)[:3])
    return f"{len(names)} tensors are {what} ({listed}{', ...' if len(names) > 3 else ''}); " if names else ""
