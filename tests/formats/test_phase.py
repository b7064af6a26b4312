"""Phase from a file of its own: its unit found, joined, and given back."""

import nibabel
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats import nifti
from snraware_jax.formats.images import read, write
from tests.formats.test_nifti import oblique
from tests.recon.phantom import replace

SHAPE = (13, 11, 3, 2)
# unit: (phase in radians -> stored values, type, exactness in turns)
STORED = {
    "radians": (lambda phi: phi, np.float32, 1e-6),
    "radians from 0": (lambda phi: phi % (2 * np.pi), np.float32, 1e-6),
    "degrees": (lambda phi: np.degrees(phi), np.float32, 1e-6),
    "degrees from 0": (lambda phi: np.degrees(phi) % 360, np.float32, 1e-6),
    "milliradians": (lambda phi: np.rint(1000 * phi), np.int16, 1e-4),
    "-4096..4095": (lambda phi: np.clip(np.rint(phi / np.pi * 4096), -4096, 4095), np.int16, 2e-4),
    "0..4095": (lambda phi: np.clip(np.rint(phi / np.pi * 2048 + 2048), 0, 4095), np.uint16, 4e-4),
}


@pytest.fixture
def truth():
    rng = np.random.default_rng(1)
    magnitude, phase = rng.uniform(1, 900, SHAPE).astype(np.float32), rng.uniform(-np.pi, np.pi, SHAPE)
    phase.ravel()[:3] = -np.pi, 0, np.pi * (1 - 1e-7)
    return magnitude, phase


def save(path, values, like=None):
    header = nibabel.Nifti1Image.from_bytes(oblique(SHAPE, values.dtype, extension=b"")).header
    nibabel.save(nibabel.Nifti1Image(values, None, header), path)
    return path


def turns(a, b):
    return np.abs(np.angle(np.exp(1j * (a - b)))).max() / (2 * np.pi)


@pytest.mark.parametrize("unit", STORED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_unit_is_found_and_given_back(tmp_path, truth, unit):
    store, dtype, exact = STORED[unit]
    magnitude, phase = truth
    values = store(phase).astype(dtype)
    images = read(save(tmp_path / "m.nii.gz", magnitude), phase=save(tmp_path / "p.nii.gz", values))

    assert images.units["phase_unit"] == unit
    assert images.data.dtype == np.complex64
    np.testing.assert_allclose(np.abs(images.data), magnitude.T, rtol=1e-6)
    assert turns(np.angle(images.data), phase.T) < exact

    outputs = write(tmp_path / "out.nii.gz", images, images)
    assert [file.name for file in outputs] == ["out.nii.gz", "out_phase.nii.gz"]
    found = nibabel.load(outputs[1])
    turn = {"r": 2 * np.pi, "d": 360, "m": 2000 * np.pi, "-": 8192, "0": 4096}[unit[0]]
    assert turns(found.get_fdata() * 2 * np.pi / turn, values * (2 * np.pi / turn)) < 4e-6
    assert np.abs(found.get_fdata() - values).max() <= turn * (1 + 1e-3)
    np.testing.assert_array_equal(found.affine, nibabel.load(tmp_path / "p.nii.gz").affine)
    np.testing.assert_allclose(nibabel.load(outputs[0]).get_fdata(), magnitude, rtol=1e-6)
    if np.dtype(dtype).kind in "iu":
        again = tmp_path / "again.nii"
        write(again, images, replace(images, template=images.phase.template), integers=True)
        stored = np.asarray(nibabel.load(tmp_path / "again_phase.nii").dataobj)
        inside = np.abs(values) <= turn / 2 if unit == "milliradians" else np.full(SHAPE, True)  # +-3142 is just over a turn
        np.testing.assert_array_equal(stored[inside], values[inside])


def test_a_masked_phase_in_radians_is_accepted(tmp_path, truth):
    magnitude, phase = truth
    images = read(save(tmp_path / "m.nii", magnitude), phase=save(tmp_path / "p.nii", (phase / 1.9).astype(np.float32)))
    assert images.units["phase_unit"] == "radians"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (lambda phi: phi / np.pi, "phase goes from -1 to 1, which is neither radians"),
        (lambda phi: np.rint(phi), "phase goes from -3 to 3, which is neither"),
        (lambda phi: (phi / np.pi + 1) * 127.5, "phase goes from 0 to 255, which is neither"),
        (lambda phi: phi / np.pi * 2048, "phase goes from -2048 to 2048, which is neither"),
        (lambda phi: phi * 1e5, "convert it to radians"),
        (lambda phi: 0 * abs(phi), "phase goes from 0 to 0"),
    ],
)
def test_other_ranges_are_refused(tmp_path, truth, values, message):
    magnitude, phase = truth
    save(tmp_path / "m.nii", magnitude)
    save(tmp_path / "p.nii", values(phase).astype(np.float32))
    with pytest.raises(InputError, match=f"p.nii: .*{message}"):
        read(tmp_path / "m.nii", phase=tmp_path / "p.nii")


def test_phases_that_do_not_belong_are_refused(tmp_path, truth):
    magnitude, phase = truth
    phase = phase.astype(np.float32)
    image = save(tmp_path / "m.nii", magnitude)
    (tmp_path / "small.nii").write_bytes(oblique((13, 11, 3), np.float32))
    with pytest.raises(InputError, match="small.nii: phase is 11x13x3, image is 11x13x3x2: give the phase of the same series"):
        read(image, phase=tmp_path / "small.nii")
    moved = nibabel.load(save(tmp_path / "p.nii", phase))
    moved.header["srow_x"][3] += 5
    nibabel.save(nibabel.Nifti1Image(phase, None, moved.header), tmp_path / "moved.nii")
    with pytest.raises(InputError, match="moved.nii: the phase lies up to 5 mm from the image"):
        read(image, phase=tmp_path / "moved.nii")
    with pytest.raises(InputError, match=r"p.nii holds \d+ negative values, so it is no magnitude"):
        read(tmp_path / "p.nii", phase=tmp_path / "p.nii")
    joined = save(tmp_path / "c.nii", magnitude.astype(np.complex64))
    with pytest.raises(InputError, match="c.nii is complex already: leave out --phase"):
        read(joined, phase=tmp_path / "p.nii")
    with pytest.raises(InputError, match="c.nii is complex: give it as the image itself"):
        read(image, phase=joined)


def test_of_two_outputs_none_is_left_where_one_fails(tmp_path, truth, monkeypatch):
    magnitude, phase = truth
    source = save(tmp_path / "m.nii", magnitude.astype(np.int16))
    images = read(source, phase=save(tmp_path / "p.nii", phase.astype(np.float32)))
    with pytest.raises(InputError, match="a_phase.nii: integers are for real images"):
        write(tmp_path / "out" / "a.nii", images, images, integers=True)
    assert not (tmp_path / "out").exists()
    write_images = nifti.write_images

    def fails_for_the_phase(path, images, like, **options):
        if like is images_phase:
            raise InputError("no")
        write_images(path, images, like, **options)

    images_phase = images.phase
    monkeypatch.setattr(nifti, "write_images", fails_for_the_phase)
    with pytest.raises(InputError, match="a_phase.nii: no"):
        write(tmp_path / "out" / "a.nii", images, images)
    assert not list((tmp_path / "out").iterdir())
