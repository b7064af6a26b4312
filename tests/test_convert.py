"""`snraware convert`: values, geometry and g-map go over; nothing is written over."""

import nibabel as nib
import numpy as np
import pytest

from snraware_jax import cli
from snraware_jax.formats.hdf5 import write_series
from snraware_jax.formats.images import read
from snraware_jax.formats.series import Series


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(0)
    image = (rng.normal(size=(3, 7, 9, 2)) @ [1, 1j]).astype(np.complex64)
    path = tmp_path / "scan.npz"
    np.savez(path, image=image, g_map=rng.uniform(1, 2, (7, 9)).astype(np.float32))
    return path, image


def test_an_archive_becomes_nifti_with_its_g_map_beside_it(archive, tmp_path, capsys):
    path, image = archive
    output = tmp_path / "scan.nii.gz"
    assert cli.main(["convert", str(path), "-o", str(output)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{output}: 7x9x3", f"{tmp_path / 'scan_gmap.nii.gz'}: 7x9"]
    found = read(output, gmap=tmp_path / "scan_gmap.nii.gz")
    np.testing.assert_array_equal(found.data[:, 0], image)
    np.testing.assert_array_equal(found.g_map, read(path).g_map)
    back = tmp_path / "back.npz"
    assert cli.main(["convert", str(output), "--gmap", str(tmp_path / "scan_gmap.nii.gz"), "-o", str(back)]) == 0
    np.testing.assert_array_equal(read(back).data, found.data)
    np.testing.assert_array_equal(read(back).g_map, found.g_map)


def test_a_magnitude_and_its_phase_become_one_complex_file(archive, tmp_path):
    _, image = archive
    affine = np.diag([2, 2, 5, 1])
    for name, values in (("m.nii", np.abs(image)), ("p.nii", np.angle(image))):
        nib.save(nib.Nifti1Image(values.transpose(2, 1, 0)[:, :, None].astype(np.float32), affine), tmp_path / name)
    output = tmp_path / "complex.nii"
    assert cli.main(["convert", str(tmp_path / "m.nii"), "--phase", str(tmp_path / "p.nii"), "-o", str(output)]) == 0
    np.testing.assert_allclose(read(output).data[:, 0], image, atol=1e-5)
    np.testing.assert_array_equal(nib.load(output).affine, affine)


def test_nothing_is_written_over(archive, tmp_path, capsys):
    path, image = archive
    output = tmp_path / "out.npy"
    np.save(output, image)
    assert cli.main(["convert", str(path), "-o", str(output)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main(["convert", str(path), "-o", str(path), "--overwrite"]) == 2
    assert "is an input" in capsys.readouterr().err
    assert cli.main(["convert", str(path), "-o", str(tmp_path / "out.h5")]) == 2
    assert "numpy images are not written as .h5: give out.nii.gz" in capsys.readouterr().err
    assert cli.main(["convert", str(path), "-o", str(output), "--overwrite"]) == 0


def test_a_series_is_multiplied_by_its_g_map(tmp_path, capsys):
    """Noise of SD 1 everywhere, with a g-map beside it, would be taken for noise of SD g."""
    image = np.ones((3, 7, 9), np.complex64)
    g_map = np.linspace(0, 2, 63, dtype=np.float32).reshape(7, 9)
    write_series(tmp_path / "scan.h5", Series(image, g_map, g_map[None], (2,), 2))
    assert cli.main(["convert", str(tmp_path / "scan.h5"), "-o", str(tmp_path / "scan.nii")]) == 0
    assert "multiplied by the g-map" in capsys.readouterr().out
    found = read(tmp_path / "scan.nii", gmap=tmp_path / "scan_gmap.nii")
    np.testing.assert_array_equal(found.g_map[0], g_map)
    np.testing.assert_array_equal(found.data[1, 0], np.where(g_map > 0, g_map, 1))
    (tmp_path / "scan.nii").unlink()
    assert cli.main(["convert", str(tmp_path / "scan.h5"), "-o", str(tmp_path / "scan.nii")]) == 2
    assert "scan_gmap.nii is there already" in capsys.readouterr().err


@pytest.mark.parametrize("slices", [False, True])
def test_the_pixels_of_a_series_keep_their_size(tmp_path, slices, capsys):
    """The field of view of the reconstruction went lost, so that voxels were 1 mm; of slices it knows nothing."""
    g_map = np.ones((3, 7, 9) if slices else (7, 9), np.float32)
    series = Series(np.ones((3, 7, 9), np.complex64), g_map, g_map[None], (2,), 2, {"fov_mm": [240.0, 300.0]})
    write_series(tmp_path / "scan.h5", series)
    assert cli.main(["convert", str(tmp_path / "scan.h5"), "-o", str(tmp_path / "scan.nii")]) == 0
    for name in ("scan.nii", "scan_gmap.nii"):
        np.testing.assert_allclose(nib.load(tmp_path / name).header["pixdim"][1:4], [300 / 9, 240 / 7, 1], rtol=1e-6)
        assert read(tmp_path / name).affine is None
    cli.main(["check", str(tmp_path / "scan.h5")])
    assert "voxels ? x 34.3 x 33.3 mm (slice, row, column)" in capsys.readouterr().out


@pytest.mark.parametrize("fov_mm", [None, [240.0], ["a", 1], [0.0, 1.0], 3])
def test_a_field_of_view_that_says_nothing_is_unknown(tmp_path, fov_mm):
    series = Series(*(np.ones(shape, np.float32) for shape in ((3, 7, 9), (7, 9), (1, 7, 9))), (2,), 2, {"fov_mm": fov_mm})
    write_series(tmp_path / "scan.h5", series)
    assert read(tmp_path / "scan.h5").spacing is None
