"""Bundles: what is saved is loaded, its program needs nothing of ours, and one changed byte is found."""

import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import snraware_jax
from snraware_jax.errors import InputError
from snraware_jax.inference import bundle
from snraware_jax.inference.bundle import Tiling
from snraware_jax.models import ModelSettings, build

SETTINGS = ModelSettings(cells="C2", channels=2, levels=1, patch=(4, 8, 8))
TILING = Tiling((2, 8, 8), (1, 2, 2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "model.snr"
    bundle.save(path, SETTINGS, build(SETTINGS, seed=3), {"trained_on": "nothing"}, TILING)
    return path


@pytest.fixture(scope="module")
def tiles():
    return np.random.default_rng(0).normal(size=(3, *TILING.tile, 3)).astype(np.float32)


def test_what_is_saved_is_loaded(saved, tiles):
    found = bundle.load(saved)
    assert (found.settings, found.tiling, found.card) == (SETTINGS, TILING, {"trained_on": "nothing"})
    np.testing.assert_array_equal(found.network(tiles), build(SETTINGS, seed=3)(tiles))


def test_load_gives_a_denoiser(saved):
    denoiser = snraware_jax.load(saved)
    assert denoiser.bundle.card == {"trained_on": "nothing"}
    image = np.random.default_rng(1).normal(size=(3, 9, 7, 2)).astype(np.float32).view(np.complex64)[..., 0]
    assert denoiser(image, np.ones((9, 7), np.float32)).shape == image.shape


WITHOUT_US = """
import sys, zipfile
import jax.export, numpy, safetensors.numpy
archive = zipfile.ZipFile(sys.argv[1])
parameters = safetensors.numpy.load(archive.read("parameters.safetensors"))
network = jax.export.deserialize(archive.read("program.stablehlo")).call
numpy.save(sys.argv[3], network(parameters, numpy.load(sys.argv[2])))
assert not [name for name in sys.modules if name.startswith(("snraware_jax", "flax"))]
"""


def test_the_program_needs_nothing_of_ours(saved, tiles, tmp_path):
    """In a process that imports neither this package nor Flax: the same numbers, for a batch that nobody compiled before."""
    np.save(tmp_path / "x.npy", tiles)
    files = [str(path) for path in (saved, tmp_path / "x.npy", tmp_path / "y.npy")]
    subprocess.run([sys.executable, "-c", WITHOUT_US, *files], check=True, cwd=tmp_path)
    expected = bundle.load(saved).network(tiles)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_the_program_names_no_folder_of_this_machine(saved):
    program = zipfile.ZipFile(saved).read("program.stablehlo")
    files = set(re.findall(rb"[^\x00-\x1f]*?\.py", program))
    assert any(name.endswith(b"convolution.py") for name in files)
    assert not [name for name in files if b"/" in name]


def test_another_file_is_not_written_over(tmp_path):
    (tmp_path / "scan.h5").write_bytes(b"mine")
    (tmp_path / "scan.snr").write_bytes(b"mine")
    for name, message in (("scan.h5", "a bundle is named NAME.snr"), ("scan.snr", "is there, and no bundle")):
        with pytest.raises(InputError, match=message):
            bundle.save(tmp_path / name, SETTINGS, build(SETTINGS), {}, TILING)
        assert (tmp_path / name).read_bytes() == b"mine"


def test_the_program_is_for_all_platforms(saved):
    import jax.export

    with zipfile.ZipFile(saved) as archive:
        program = jax.export.deserialize(bytearray(archive.read(bundle.PROGRAM)))
    assert program.platforms == bundle.PLATFORMS
    assert str(program.in_avals[-1].shape) == "(batch, 2, 8, 8, 3)"


def test_a_damaged_bundle_is_refused(saved, tmp_path):
    path, whole = tmp_path / "model.snr", saved.read_bytes()
    end = len(whole) - 250  # the directory of the archive, which no digest of contents sees
    for at in [*range(40), *range(0, end, end // 40), *range(end, len(whole))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InputError, match="model.snr"):
            bundle.load(path)


def test_tiles_that_the_network_does_not_take(tmp_path):
    settings = ModelSettings(cells="C2", channels=2, levels=2, patch=(4, 8, 8))
    with pytest.raises(InputError, match=r"tiles of 4 x 7 x 7 \(T x H x W\), which the network does not take"):
        bundle.save(tmp_path / "model.snr", settings, build(settings), {}, Tiling((4, 7, 7), (0, 0, 0)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "remedy"), [(1, "export or import it again"), (3, "update")])
def test_other_formats_are_refused(saved, tmp_path, number, remedy):
    other = tmp_path / "other.snr"
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(other, "w") as changed:
        for name in archive.namelist():
            changed.writestr(name, archive.read(name).replace(b'"format": 2', f'"format": {number}'.encode()))
    with pytest.raises(InputError, match=f"of format {number}, where this version reads 2: {remedy}"):
        bundle.load(other)
