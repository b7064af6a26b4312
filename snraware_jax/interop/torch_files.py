"""Tensors from files of PyTorch, without PyTorch, and without running anything that a file says.

`torch.save` and TorchScript write zip archives: `data.pkl` says what there is, and refers to storages, `data/0`, `data/1`, ...
A pickle can name any function to be called; here it gets tensors, dictionaries and inert objects only.
"""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snraware_jax.errors import InputError

# dtypes by the names of PyTorch's storages; bfloat16 is not one of NumPy's own
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
# what reading a damaged archive or pickle raises, as found by damaging some
BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, OSError)
BROKEN_PICKLE = (pickle.UnpicklingError, KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError)


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by their dotted names.

    Args:
      path: .pt or .pth of `torch.save`, .pts of TorchScript, or .safetensors.

    Raises:
      InputError: if the file is missing, broken, or in a format from before PyTorch 1.6.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path}: not a checkpoint of PyTorch 1.6 or later; load it there once and save it again with torch.save"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            found = dict(_tensors(_Unpickler(archive).load()))
    except (*BROKEN_ARCHIVE, *BROKEN_PICKLE) as error:
        raise InputError(f"{path}: a broken checkpoint ({type(error).__name__}: {error})") from error
    if not found:
        raise InputError(f"{path}: no tensors in it; give the state dict of a network")
    return found


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open  # here, because only such files need it

    try:
        with safe_open(path, framework="flax") as file:
            return {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: a broken checkpoint ({error})") from error


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


class _Unpickler(pickle.Unpickler):
    """Reads the pickle of an archive; every name in it stands for one of a few harmless things."""

    def __init__(self, archive: zipfile.ZipFile):
        names = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if not names:
            raise ValueError("no data.pkl, which says what is in it")
        name = names[0]
        super().__init__(io.BytesIO(archive.read(name)))
        self.archive, self.root = archive, name.removesuffix("data.pkl")

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "collections", "OrderedDict":
                return dict
            case "torch._utils", "_rebuild_tensor_v2":
                return _strided
            case ("torch._utils", "_rebuild_parameter") | ("torch.jit._pickle", _):  # TorchScript tags lists with their types
                return _first
            case (("torch" | "torch.storage"), _) if name in DTYPES:
                return name
        return _Inert

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, storage, key, *_ = pid
        import ml_dtypes  # registers bfloat16

        dtype = np.dtype(ml_dtypes.bfloat16 if storage == "BFloat16Storage" else DTYPES[storage])
        return np.frombuffer(self.archive.read(f"{self.root}data/{key}"), dtype)


def _first(value: object, *_: object) -> object:
    return value


def _strided(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> np.ndarray:
    """A tensor as PyTorch describes it; never a view beyond its storage."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= storage.size):
        raise ValueError(f"a tensor of size {tuple(size)} reaches beyond its {storage.size} numbers")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False).copy()


def _tensors(value: object, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor inside dictionaries and objects, by its dotted name."""
    if isinstance(value, np.ndarray):
        yield name, value
        return
    inside = value if isinstance(value, Mapping) else vars(value) if isinstance(value, _Inert) else {}
    for key, part in inside.items():
        if isinstance(key, str):
            yield from _tensors(part, f"{name}.{key}" if name else key)
