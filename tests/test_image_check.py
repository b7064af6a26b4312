"""`snraware check` on images: what it measures, what to type, and that nothing is written."""

import numpy as np
import pytest

from snraware_jax import cli
from tests.inference.test_units import scan
from tests.test_denoising import nifti


def test_images_in_other_units(tmp_path, capsys):
    """Units, peak, voxels, k-space of an oblique cine that was zero-filled; what is said works."""
    kept = np.abs(np.fft.fftfreq(64, 1 / 64)) < 20
    data = np.fft.ifft(np.fft.fft(scan(37.4, 20), axis=1) * kept[:, None], axis=1)
    path = tmp_path / "cine.nii"
    nifti(path, data[:, None].astype(np.complex64))
    assert cli.main(["check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "cine.nii: nifti, 64x90x6 (6 frames), complex" in said
    assert "NO G-MAP" in said
    assert "not SNR units: denoise it with --units auto or --noise-sd 30" in said  # 37.4 times the root of 39 / 64 is 29.2
    assert "noise in 39 of 64 rows and 90 of 90 columns: zero-filled or filtered" in said
    assert "effective voxels 2.04 x 1.24 mm" in said
    assert [file.name for file in tmp_path.iterdir()] == ["cine.nii"]


def test_images_that_are_ready(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", image=scan(1.0, 20).astype(np.complex64), g_map=np.full((64, 90), 1.0, np.float32))
    assert cli.main(["check", str(tmp_path / "a.npz")]) == 0
    said = capsys.readouterr().out
    assert "g-map from 1 to 1, median 1" in said
    assert "background voxels: SNR units" in said
    assert "noise in 64 of 64 rows and 90 of 90 columns\n" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["a.npy", "--noise", "n.h5"], "holds images: --noise is for raw scans"),
        (["b.npy"], "b.npy"),
        (["a.npy", "--gmap", "g.npy"], "g-map is 4x5, image is 64x90x6. Use --gmap-resize if the fields of view agree."),
    ],
)
def test_wrong_use(tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.abs(scan(1.0, 20)))
    np.save("g.npy", np.ones((4, 5), np.float32))
    assert cli.main(["check", *flags]) == 2
    assert message in capsys.readouterr().err


def test_values_below_zero_are_no_magnitudes(tmp_path, capsys):
    np.save(tmp_path / "a.npy", scan(1.0, 20).real)
    assert cli.main(["check", str(tmp_path / "a.npy")]) == 1
    assert "VALUES BELOW 0, so no magnitudes" in capsys.readouterr().out


def test_magnitudes(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.abs(scan(1.0, 20)))
    assert cli.main(["check", str(tmp_path / "a.npy")]) == 0
    said = capsys.readouterr().out
    assert "magnitudes: for a magnitude model, or with --phase FILE" in said
    assert "k-space" not in said
