"""Checkpoints of PyTorch are read without it, and cannot make anything run. The files are made by make_files.py."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.interop import torch_files

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def expected():
    with np.load(DATA / "tiny.npz") as file:
        return dict(file)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("tiny.pt", ""), ("tiny.pts", ""), ("tiny.safetensors", ""), ("legacy.pt", ""), ("tiny.ckpt.pth", "state_dict.model.")],
)
def test_every_format_gives_the_same_tensors(name, prefix, expected):
    found = torch_files.read(DATA / name)
    for tensor, values in expected.items():
        np.testing.assert_array_equal(found[prefix + tensor], values)


def test_dtypes_and_views(expected):
    found = torch_files.read(DATA / "views.pt")
    weight = expected["pre.conv.weight"]
    np.testing.assert_array_equal(found["double"], weight)
    np.testing.assert_allclose(found["half"], weight, rtol=1e-3)
    np.testing.assert_allclose(found["brain"].astype(np.float32), weight, rtol=1e-2)
    whole = np.arange(12.0).reshape(3, 4)
    for name, values in (("whole", whole), ("transposed", whole.T), ("row", whole[1]), ("one", whole[1, 1])):
        np.testing.assert_array_equal(found[name], values)
    assert found["empty"].shape == (0, 3)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def archive_of(tmp_path, pickled):
    path = tmp_path / "evil.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", pickled)
    return path


def test_nothing_in_a_file_is_executed(tmp_path):
    touched = tmp_path / "touched"
    path = archive_of(tmp_path, pickle.dumps({"pre.conv.weight": Evil(touched)}, protocol=2))
    pickle.loads(pickle.dumps(Evil(touched)))
    assert touched.exists()  # it would have worked
    touched.unlink()
    with pytest.raises(InputError, match="no tensors"):
        torch_files.read(path)
    assert not touched.exists()


def test_tensors_do_not_reach_beyond_their_storage(tmp_path):
    """A size of a million in a file whose storage has ten numbers."""
    with zipfile.ZipFile(DATA / "views.pt") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    path = tmp_path / "short.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content[:8] if "/data/" in name else content)
    with pytest.raises(InputError, match="beyond its|broken"):
        torch_files.read(path)


def test_a_pickle_changes_nothing_here(tmp_path):
    """BUILD writes attributes on whatever a pickle was given, functions too."""
    before = torch_files._strided.__defaults__
    crafted = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\x00\x00\x00__defaults__K\x01K\x02\x86sb."
    with pytest.raises(InputError):
        torch_files.read(archive_of(tmp_path, crafted))
    assert torch_files._strided.__defaults__ == before
    assert not vars(torch_files._strided)


def test_what_would_grow_without_limit_is_refused(tmp_path):
    nested = {"x": 1}
    for _ in range(60):
        nested = {"a": nested, "b": nested}
    with pytest.raises(InputError, match="no tensors"):
        torch_files.read(archive_of(tmp_path, pickle.dumps(nested, protocol=2)))
    with zipfile.ZipFile(tmp_path / "squeezed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}) + bytes(10**6))
    with pytest.raises(InputError, match="compressed"):
        torch_files.read(tmp_path / "squeezed.pt")
    storage = np.zeros(1, np.float32)
    with pytest.raises(ValueError, match="beyond its 1 numbers"):
        torch_files._strided(storage, 0, (2**21, 2**21), (0, 0))


def test_broken_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        torch_files.read(tmp_path / "nothing.pt")
    whole, old = (DATA / "tiny.pt").read_bytes(), (DATA / "legacy.pt").read_bytes()
    contents = {"cut.pt": whole[: len(whole) // 2], "text.pt": b"hello", "empty.pt": b"", "cut.safetensors": b"\x10" * 50}
    contents |= {f"old{at}.pt": old[:at] for at in (10, 20, 150, len(old) // 2, len(old) - 1)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError):
            torch_files.read(tmp_path / name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/other", b"")
    (tmp_path / "other.pt").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match=r"no data\.pkl"):
        torch_files.read(tmp_path / "other.pt")


@pytest.mark.parametrize("name", ["tiny.pt", "legacy.pt"])
def test_every_damaged_byte_is_refused_or_harmless(name, tmp_path):
    """200 files with one flipped byte: tensors, or a message, never another exception."""
    whole = bytearray((DATA / name).read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for at in rng.integers(0, len(whole), 200):
        damaged = whole.copy()
        damaged[at] ^= 1 << int(rng.integers(8))
        path = tmp_path / "damaged.pt"
        path.write_bytes(damaged)
        try:
            torch_files.read(path)
        except InputError:
            refused += 1
    assert refused > 50
