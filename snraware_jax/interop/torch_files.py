"""Tensors from files of PyTorch, without PyTorch, and without running anything that a file says.

`torch.save` and TorchScript write zip archives: `data.pkl` says what there is, and refers to storages, `data/0`, `data/1`, ...
Before PyTorch 1.6 it was one file: a magic number, two pickles about the machine, that of what there is, the storages' keys, and
each storage behind the count of its numbers.

A pickle can name any function to be called; here it gets tensors, dictionaries and inert objects only.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats import archive as archives

# dtypes by the names of PyTorch's storages, and of safetensors; tensors of others are left out
DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
MAGIC = 0x1950A86A20F9469CFC6C  # of files from before PyTorch 1.6
# what unpickling damaged data raises, as found by damaging some
BROKEN_PICKLE = (pickle.UnpicklingError, KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, OSError)


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by their dotted names.

    Args:
      path: .pt or .pth of `torch.save`, .pts of TorchScript, or .safetensors.

    Raises:
      InputError: if the file is missing or broken.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        found = dict(_tensors(_read_archive(path) if zipfile.is_zipfile(path) else _read_old(path.read_bytes())))
    except (*archives.BROKEN, *BROKEN_PICKLE) as error:
        raise InputError(f"{path}: a broken checkpoint ({type(error).__name__}: {error})") from error
    if not found:
        raise InputError(f"{path}: no tensors in it; give the state dict of a network")
    return found


def _read_archive(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if not names:
            raise ValueError("no data.pkl, which says what is in it")
        root = names[0].removesuffix("data.pkl")

        def part(name: str) -> bytes:
            entry = archive.getinfo(root + name)
            if entry.compress_type != zipfile.ZIP_STORED:  # what would grow when it is read is no checkpoint
                raise ValueError(f"{name} is compressed, which PyTorch does not do")
            return archive.read(entry)

        storage = cache(lambda kind, key: np.frombuffer(part(f"data/{key}"), _dtype(DTYPES[kind])))
        return _Unpickler(io.BytesIO(part("data.pkl")), storage).load()


def _read_old(content: bytes) -> object:
    stream, kinds = io.BytesIO(content), {}
    empty = np.zeros(0, np.float32)
    load = lambda storage: _Unpickler(stream, storage).load()
    if load(lambda *_: empty) != MAGIC:
        raise ValueError("it does not begin as one does")
    _, machine, begin = load(lambda *_: empty), load(lambda *_: empty), stream.tell()
    if not machine["little_endian"]:
        raise ValueError("its numbers are big-endian")
    _Unpickler(stream, lambda kind, key: kinds.setdefault(key, kind), rebuild=False).load()  # which storages there are
    storages = {}
    for key in load(lambda *_: empty):
        dtype, count = _dtype(DTYPES[kinds[key]]), int.from_bytes(stream.read(8), "little")
        storages[key] = np.frombuffer(stream.read(count * dtype.itemsize), dtype, count)
    stream.seek(begin)
    return load(lambda _, key: storages[key])


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, deserialize  # here, because only such files need it

    try:
        described = deserialize(path.read_bytes())
        return {
            name: np.frombuffer(tensor["data"], _dtype(SAFETENSORS[tensor["dtype"]])).reshape(tensor["shape"])
            for name, tensor in described
            if tensor["dtype"] in SAFETENSORS
        }
    except (SafetensorError, ValueError, TypeError) as error:
        raise InputError(f"{path}: a broken checkpoint ({error})") from error


def _dtype(name: str) -> np.dtype:
    import ml_dtypes  # bfloat16 is not one of NumPy's own

    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


class _Inert:
    """Stands for any object that a file names: takes what it is given, does nothing."""

    def __init__(self, *_: object, **__: object):
        pass

    def __setstate__(self, state: object) -> None:
        if isinstance(state, Mapping):
            self.__dict__.update({name: value for name, value in state.items() if isinstance(name, str)})

    # state dicts of optimisers are filled through these
    def __setitem__(self, *_: object) -> None:
        pass

    def append(self, _: object) -> None:
        """Nothing."""

    def extend(self, _: object) -> None:
        """Nothing."""


class _Dictionary(dict):
    """An ordered dictionary without its attributes, which a state dict has."""

    def __setstate__(self, _: object) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Reads one pickle; every name in it stands for one of a few harmless things.

    Args:
      stream: at its beginning.
      storage: gives the numbers of a storage by its kind and key.
      rebuild: whether tensors are made; if not, inert objects stand for them.
    """

    def __init__(self, stream: io.BytesIO, storage: Callable[[str, str], Any], rebuild: bool = True):
        super().__init__(stream)
        self.storage, self.rebuild = storage, rebuild

    def find_class(self, module: str, name: str) -> Any:
        # functions are made anew each time, because a pickle may write attributes on what it is given
        match module, name:
            case "collections", "OrderedDict":
                return _Dictionary
            case "torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor":
                return (lambda *described: _strided(*described)) if self.rebuild else _Inert
            case ("torch._utils", "_rebuild_parameter") | ("torch.jit._pickle", _):  # TorchScript tags lists with their types
                return lambda value, *_: value
            case (("torch" | "torch.storage"), _) if name in DTYPES:
                return name
        return _Inert

    def persistent_load(self, pid: Any) -> np.ndarray | None:
        _, kind, key, *_ = pid
        return self.storage(kind, key) if isinstance(kind, str) else None  # of a dtype that networks do not have


def _strided(
    storage: np.ndarray | None, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> np.ndarray | None:
    """A tensor as PyTorch describes it; never more numbers than its storage has, nor others."""
    if storage is None:
        return None
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    too_many = math.prod(size) > storage.size or (0 not in size and last >= storage.size)
    if min((offset, *size, *stride)) < 0 or too_many:
        raise ValueError(f"a tensor of size {tuple(size)} reaches beyond its {storage.size} numbers")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False).copy()


def _tensors(value: object) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor inside dictionaries and objects, by its dotted name; what is there twice, by the first."""
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        name, part = waiting.pop()
        if isinstance(part, np.ndarray):
            yield name, part
            continue
        inside = part if isinstance(part, Mapping) else vars(part) if isinstance(part, _Inert) else None
        if inside is None or id(part) in seen:
            continue
        seen.add(id(part))
        waiting += [(f"{name}.{key}" if name else key, child) for key, child in inside.items() if isinstance(key, str)]
