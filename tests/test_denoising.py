"""Images from a file through a network and back: units, g-map, geometry of slices and frames, what is refused, what is done again."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import nibabel as nib
import numpy as np
import pytest

from snraware_jax import cli, denoising, image_check, own_noise, shipped
from snraware_jax.errors import InputError
from snraware_jax.formats.hdf5 import write_series
from snraware_jax.formats.images import Images, read
from snraware_jax.formats.series import Series
from snraware_jax.inference import bundle, denoiser
from snraware_jax.inference.units import sd_of_noise
from snraware_jax.models import ModelSettings, build
from tests.inference.test_units import scan

half = lambda image, g_map: image / 2


def images(sd: float = 1.0, **fields) -> Images:
    data = scan(sd, 20).astype(np.complex64)[:, None]  # [frames, 1, H, W]
    return Images(data, "numpy", **({"g_map": np.ones((1, *data.shape[2:]), np.float32)} | fields))


def test_snr_units_are_recognised():
    scale = denoising.scale_of(images(), "a.npy")
    assert scale.divisor == 1
    assert "SNR units" in scale.said[-1]


def test_other_units_are_refused_with_what_to_type():
    with pytest.raises(
        InputError, match=r"noise SD is 3[78]\.?\d*, not 1: not in SNR units. Give --noise-sd 3\d.* or --units auto"
    ):
        denoising.scale_of(images(37.4), "a.npy")
    assert denoising.scale_of(images(37.4), "a.npy", units="auto").divisor == pytest.approx(37.4, rel=0.03)
    assert denoising.scale_of(images(37.4), "a.npy", noise_sd=30.0).divisor == 30
    assert denoising.scale_of(images(37.4), "a.npy", units="snr").divisor == 1
    tissue = replace(images(), data=np.full((2, 1, 20, 30), 5 + 1j, np.complex64), g_map=None)
    with pytest.raises(InputError, match="no background to measure the noise on: give --noise-sd"):
        denoising.scale_of(tissue, "a.npy")


def test_scales_that_headers_record_are_undone():
    scale = denoising.scale_of(images(10.0, units={"scale_ratio": 10.0}), "a.h5")
    assert scale.divisor == 10
    assert denoising.scale_of(images(10.0, units={"scale_ratio": 10.0}), "a.h5", noise_sd=1.1).divisor == pytest.approx(11)
    maps = np.full((1, 64, 90), 142, np.float32)
    found = denoising.scale_of(images(1.42, g_map=maps), "a.npy")
    np.testing.assert_allclose(found.g_map, 1.42)
    assert "g-map median is 142: looks like Gadgetron's x100; dividing." in found.said[0]
    recorded = denoising.scale_of(images(1.42, g_map=maps, units={"g_map_scale_ratio": 100.0}), "a.h5")
    np.testing.assert_allclose(recorded.g_map, 1.42)
    assert not any("looks like" in line for line in recorded.said)


def test_what_is_far_below_its_noise_is_refused():
    """A network would put there what it learned, of any size."""
    for noise_sd in (1e5, 1e30):
        with pytest.raises(InputError, match=r"its largest value, \d+\.?\d*, is below a noise SD of 1e\+"):
            denoising.scale_of(images(), "a.npy", noise_sd=noise_sd)
    with pytest.raises(InputError, match="its largest value, 0, is below a noise SD of 1"):
        denoising.scale_of(replace(images(), data=np.zeros((2, 1, 64, 90), np.complex64)), "a.npy", units="snr")


@pytest.mark.parametrize("g", [1e-30, 5000.0, 1e30])
def test_what_is_no_g_map_is_refused(g):
    with pytest.raises(InputError, match="which no g-factors have: give --gmap FILE in units of 1"):
        denoising.scale_of(images(g_map=np.full((1, 64, 90), g, np.float32)), "a.npy", units="snr")


def test_no_g_map_is_said_aloud():
    assert "NO G-MAP" in denoising.scale_of(images(g_map=None), "a.npy").said[0]


def test_frames_slices_and_units_come_back():
    """Frames of a slice together, slices of a frame as a volume; the divisor is undone; half of the noise by half the strength."""
    seen = []

    def network(image, g_map):
        seen.append((image.shape, g_map.shape, float(np.abs(image).max())))
        return image / 2

    data = np.random.default_rng(0).normal(size=(3, 2, 8, 10, 2)).astype(np.float32).view(np.complex64)[..., 0]
    g_map = np.ones((2, 8, 10), np.float32)
    scale = denoising.Scale(4.0, g_map, ())
    cine = denoising.denoise(network, Images(data, "numpy"), scale)
    np.testing.assert_allclose(cine.data, data / 2, rtol=1e-6)
    assert [one[:2] for one in seen] == [((3, 8, 10), (8, 10))] * 2
    assert seen[0][2] == pytest.approx(np.abs(data[:, 0]).max() / 4)
    volume = denoising.denoise(network, Images(data[:1], "numpy"), scale, strength=0.5)
    np.testing.assert_allclose(volume.data, 0.75 * data[:1], rtol=1e-6)
    assert seen[-1][:2] == ((2, 8, 10), (2, 8, 10))
    magnitude = denoising.denoise(network, Images(np.abs(data), "numpy"), scale, magnitude=True)
    assert magnitude.data.dtype == np.float32


def test_a_series_of_noise_1_everywhere_is_multiplied_by_its_g_map(tmp_path):
    """What `snraware reconstruct` writes is over g; a network expects noise of SD g."""
    rng = np.random.default_rng(0)
    noise = (rng.normal(size=(9, 40, 30, 2)) @ [1, 1j]).astype(np.complex64)
    g_map = np.linspace(0.5, 3, 30, dtype=np.float32) * np.ones((40, 1), np.float32)
    g_map[0, 0] = 0
    write_series(tmp_path / "scan.h5", Series(noise, g_map, g_map[None], (2,), 2))
    images = read(tmp_path / "scan.h5")
    scale, seen = denoising.scale_of(images, "scan.h5"), []

    def network(image, g):
        seen.append((image, g))
        return image / 2

    result = denoising.denoise(network, images, scale)
    np.testing.assert_allclose(result.data[:, 0], noise / 2, rtol=1e-6)
    ((image, g),) = seen
    np.testing.assert_array_equal(g, denoising.positive(g_map))
    np.testing.assert_allclose(image, noise * g, rtol=1e-6)
    with pytest.raises(InputError, match="leave out --noise-sd 2"):
        denoising.scale_of(images, "scan.h5", noise_sd=2.0)
    assert image_check.check(images, "scan.h5").ready


def test_what_is_no_result_is_refused():
    scale = denoising.Scale(1.0, np.ones((1, 64, 90), np.float32), ())
    with pytest.raises(InputError, match="changed nothing"):
        denoising.denoise(lambda image, g_map: image, images(), scale)
    with pytest.raises(InputError, match="not finite"):
        denoising.denoise(lambda image, g_map: image * np.nan, images(), scale)


def untrained(path, frames: int = 6, **settings) -> Path:
    """A bundle whose tiles hold `images()` whole, of as many frames."""
    settings = ModelSettings(cells="C2", channels=2, levels=1, patch=(4, 8, 8), norm="channel", **settings)
    bundle.save(path, settings, build(settings), {"imported_from": "nothing"}, bundle.Tiling((frames, 64, 96), (0, 0, 0)))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model") / "model.snr")


@pytest.fixture(scope="module")
def of_magnitudes(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model") / "magnitude.snr", input="magnitude_g")


def nifti(path, data) -> None:
    """`[frames, 1, H, W]` as a cine with an oblique affine."""
    affine = np.array([[1.2, 0.3, 0, -20], [-0.3, 1.2, 0.1, 5], [0, -0.1, 8, 7], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.asarray(data).transpose(3, 2, 1, 0), affine), path)


def test_twenty_mixed_files_three_of_them_broken(model, tmp_path, capsys):
    """17 are right, 3 are named, the exit code is 1, and the same command again does only what is missing."""
    study = tmp_path / "study"
    (study / "b").mkdir(parents=True)
    for number in range(10):
        nifti(study / f"{number}.nii.gz", images().data * (1 + number / 100))
        np.save(study / "b" / f"{number}.npy", images().data[:, 0] * (1 + number / 100))
    (study / "3.nii.gz").write_bytes(b"broken")
    (study / "b" / "4.npy").write_bytes((study / "b" / "4.npy").read_bytes()[:500])
    np.save(study / "b" / "5.npy", np.full((3, 8, 8), np.nan, np.complex64))
    command = ["denoise", str(study), "-m", str(model), "-o", str(tmp_path / "out")]
    assert cli.main(command) == 1
    said = capsys.readouterr()
    assert said.out.count("compiling once, for tiles of 6 x 64 x 96") == 1
    assert "17 of 20 files done, 0 were there already, 3 failed" in said.out
    for name in ("3.nii.gz", "b/4.npy", "b/5.npy"):
        assert str(study / name) in said.err
    assert len(list((tmp_path / "out").rglob("*.json"))) == 17
    before, after = nib.load(study / "7.nii.gz"), nib.load(tmp_path / "out" / "7.nii.gz")
    np.testing.assert_array_equal(before.affine, after.affine)
    assert before.shape == after.shape
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.n*")}
    (tmp_path / "out" / "8.nii.gz").unlink()
    assert cli.main(command) == 1
    assert "1 of 20 files done, 16 were there already, 3 failed" in capsys.readouterr().out
    changed = {path.name for path, time in written.items() if path.stat().st_mtime_ns != time}
    assert changed == {"8.nii.gz", "8.nii.gz.json"}


def test_one_file_and_what_it_was_made_from(model, tmp_path, capsys):
    source, output = tmp_path / "a.nii.gz", tmp_path / "dn" / "b.nii"
    nifti(source, images(37.4).data)
    assert cli.main(["denoise", str(source), "-m", str(model), "-o", str(output)]) == 2
    assert "--units auto" in capsys.readouterr().err
    assert not output.parent.exists()
    assert cli.main(["denoise", str(source), "-m", str(model), "-o", str(output), "--units", "auto"]) == 0
    about = json.loads((tmp_path / "dn" / "b.nii.json").read_text())
    assert about["divisor"] == pytest.approx(37.4, rel=0.03)
    assert about["bundle"] == bundle.load(model).sha256
    assert read(output).data.shape == images().data.shape
    assert cli.main(["denoise", str(source), "-m", str(model), "-o", str(output), "--units", "auto"]) == 0
    assert "left as it is" in capsys.readouterr().out


def test_the_result_of_another_file_is_not_overwritten(model, tmp_path, capsys):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, images().data[:, 0])
    to = ["-m", str(model), "-o", str(tmp_path / "out.npy")]
    assert cli.main(["denoise", str(tmp_path / "a.npy"), *to]) == 0
    before = (tmp_path / "out.npy").read_bytes()
    assert cli.main(["denoise", str(tmp_path / "b.npy"), *to]) == 2
    assert "out.npy exists and was not made from this input" in capsys.readouterr().err
    assert (tmp_path / "out.npy").read_bytes() == before
    assert cli.main(["denoise", str(tmp_path / "a.npy"), *to, "--strength=0.5"]) == 0
    assert (tmp_path / "out.npy").read_bytes() != before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--noise-sd=0"], "--noise-sd 0: give a number above 0"),
        (["--strength=1.5"], "--strength 1.5: give a number above 0, up to 1, or sure"),
        (["--gmap-resize"], "--gmap-resize belongs to --gmap FILE"),
        (["--mask=m.npy"], "m.npy: no such file"),
        (["--gmap=g.npy"], "g.npy: no such file"),
        (["--series=2"], "holds one series"),
    ],
)
def test_wrong_use(model, tmp_path, capsys, flags, message):
    np.save(tmp_path / "a.npy", images().data[:, 0])
    assert cli.main(["denoise", str(tmp_path / "a.npy"), "-m", str(model), "-o", str(tmp_path / "b.npy"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b.npy").exists()


def test_magnitudes_for_a_complex_model(model, tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.abs(images().data[:, 0]))
    assert cli.main(["denoise", str(tmp_path / "a.npy"), "-m", str(model), "-o", str(tmp_path / "b.npy")]) == 2
    assert "a.npy is magnitude only; the model was trained on complex data. Add --phase FILE" in capsys.readouterr().err


def test_magnitudes_without_a_model_named(model, of_magnitudes, tmp_path, capsys, monkeypatch):
    """The package's model of magnitudes takes them, that of complex images everything else; what is neither is refused."""
    monkeypatch.setattr(shipped, "file_of", lambda name: {"complex": model, "magnitude": of_magnitudes}[name])
    data = images().data[:, 0]
    np.save(tmp_path / "m.npy", np.abs(data))
    np.save(tmp_path / "c.npy", data)
    np.save(tmp_path / "real.npy", data.real)
    to = lambda name: ["denoise", str(tmp_path / f"{name}.npy"), "-o", str(tmp_path / f"{name}_dn.npy")]
    for name, used in (("m", of_magnitudes), ("c", model)):
        assert cli.main(to(name)) == 0
        assert ("so with the model of magnitudes" in capsys.readouterr().out) == (name == "m")
        assert json.loads((tmp_path / f"{name}_dn.npy.json").read_text())["bundle"] == bundle.load(used).sha256
    assert cli.main(to("m")) == 0
    assert "left as it is" in capsys.readouterr().out
    refusals = {
        "has values below 0, down to -": to("real"),
        "noise maps, --mask and --strength sure need complex images": [*to("m"), "--noise-map", "--overwrite"],
        "Add --phase FILE, or use a magnitude model": [*to("m"), "-m", str(model), "--overwrite"],
    }
    for message, command in refusals.items():
        assert cli.main([*command, *(["--units=snr"] if "real" in message else [])]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "real_dn.npy").exists()


def test_a_model_of_the_package_is_not_taken_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "complex").mkdir()
    monkeypatch.chdir(tmp_path)
    assert shipped.find("complex") == shipped.file_of("complex")
    with pytest.raises(InputError, match="other: no such bundle; give a file NAME.snr, or one of .* complex, magnitude"):
        shipped.find("other")


def test_what_is_read_or_of_others_is_not_written_over(model, tmp_path, capsys):
    data = images().data
    for name, part in (("mag", np.abs(data)), ("out_phase", np.angle(data)), ("pha", np.angle(data))):
        nifti(tmp_path / f"{name}.nii.gz", part.astype(np.float32))
    command = ["denoise", str(tmp_path / "mag.nii.gz"), "-m", str(model), "-o", str(tmp_path / "out.nii.gz"), "--units=snr"]
    before = (tmp_path / "out_phase.nii.gz").read_bytes()
    assert cli.main([*command, "--phase", str(tmp_path / "out_phase.nii.gz")]) == 2
    assert "out_phase.nii.gz is an input: give -o another name" in capsys.readouterr().err
    assert cli.main([*command, "--phase", str(tmp_path / "pha.nii.gz")]) == 2
    assert "out_phase.nii.gz exists and was not made from this input" in capsys.readouterr().err
    assert (tmp_path / "out_phase.nii.gz").read_bytes() == before
    (tmp_path / "out_phase.nii.gz").unlink()
    (tmp_path / "out.nii.gz.json").write_text('{"mine": 1}')
    assert cli.main([*command, "--phase", str(tmp_path / "pha.nii.gz")]) == 2
    assert "out.nii.gz.json exists and was not made from this input" in capsys.readouterr().err
    (tmp_path / "out.nii.gz.json").unlink()
    assert cli.main([*command, "--phase", str(tmp_path / "pha.nii.gz")]) == 0
    assert (tmp_path / "out_phase.nii.gz").exists()


def test_interrupted_while_it_wrote(model, tmp_path, capsys, monkeypatch):
    """The same command goes on, as the message says; what failed before an output leaves nothing."""
    np.save(tmp_path / "a.npy", images().data[:, 0])
    command = ["denoise", str(tmp_path / "a.npy"), "-m", str(model), "-o", str(tmp_path / "b.npy")]

    def interrupted(then):
        def write(*arguments, **options):
            then(*arguments, **options)
            raise KeyboardInterrupt

        monkeypatch.setattr(denoising.images_of, "write", write)
        assert cli.main(command) == 130
        assert "interrupted; the same command does what is missing" in capsys.readouterr().err
        monkeypatch.undo()

    interrupted(lambda *_, **__: None)
    assert not list(tmp_path.glob("b*"))
    interrupted(denoising.images_of.write)
    assert (tmp_path / "b.npy").exists()
    assert cli.main(command) == 0
    assert json.loads((tmp_path / "b.npy.json").read_text())["outputs"] == ["b.npy"]


def test_a_series_over_g_in_a_format_that_cannot_say_so(model, tmp_path):
    data = images().data[:, 0]
    g_map = np.linspace(1, 3, 90, dtype=np.float32) * np.ones((64, 1), np.float32)
    write_series(tmp_path / "scan.h5", Series(data, g_map, g_map[None], (2,), 2))
    for name in ("out.h5", "out.npz"):
        assert cli.main(["denoise", str(tmp_path / "scan.h5"), "-m", str(model), "-o", str(tmp_path / name)]) == 0
    own, other = read(tmp_path / "out.h5").data[:, 0], np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(read(tmp_path / "out.npz").data[:, 0], own * g_map, rtol=1e-5)
    assert "g_map" in other


def test_a_slice_of_zeros_has_no_noise(tmp_path):
    volume = np.stack([images().data[:2, 0], np.zeros((2, 64, 90), np.complex64)], axis=1)
    nifti(tmp_path / "a.nii.gz", volume)
    to = ["-m", str(untrained(tmp_path / "model.snr", frames=2)), "-o", str(tmp_path / "b.nii.gz"), "--noise-map"]
    assert cli.main(["denoise", str(tmp_path / "a.nii.gz"), *to]) == 0
    noise = read(tmp_path / "b_noise.nii.gz").data
    assert not noise[:, 1].any()
    assert not read(tmp_path / "b.nii.gz").data[:, 1].any()
    assert (noise[:, 0] > 0).all()


def test_a_region_of_zeros_is_refused_before_anything_is_computed(model, tmp_path, capsys):
    data = images().data[:, 0]
    data[:, :, :10] = 0
    mask = np.zeros((64, 90), np.uint8)
    mask[:, 30:40], mask[:, :5] = 1, 2
    np.save(tmp_path / "large.npy", mask * 1e30)
    np.save(tmp_path / "a.npy", data)
    np.save(tmp_path / "m.npy", mask)
    to = ["-m", str(model), "-o", str(tmp_path / "b.npy"), "--mask", str(tmp_path / "m.npy")]
    assert cli.main(["denoise", str(tmp_path / "a.npy"), *to]) == 2
    assert "m.npy: the image is 0 in all of region 2, so it has no SNR" in capsys.readouterr().err
    assert cli.main(["denoise", str(tmp_path / "a.npy"), *to[:-1], str(tmp_path / "large.npy")]) == 2
    assert "large.npy: labels up to 2e+30: is it an image, not a mask?" in capsys.readouterr().err
    assert not (tmp_path / "b.npy").exists()


def test_a_noise_scan(model, tmp_path, capsys):
    """Its SD over g is what the images are divided by; signal in it, or another matrix, is refused."""
    rng = np.random.default_rng(3)
    noise = 37.4 * (rng.normal(size=(2, 64, 90, 2)) @ [1, 1j]).astype(np.complex64)
    np.save(tmp_path / "a.npy", images(37.4).data[:, 0])
    np.save(tmp_path / "noise.npy", noise)
    np.save(tmp_path / "other.npy", noise[:, :32])
    command = ["denoise", str(tmp_path / "a.npy"), "-m", str(model), "-o", str(tmp_path / "b.npy"), "--noise-scan"]
    refusals = {
        "other.npy: the noise scan is 32x90x2, the image 64x90x6": "other.npy",
        "signal.npy: is not noise of one SD over g alone": "signal.npy",
    }
    np.save(tmp_path / "signal.npy", images(37.4).data[:, 0])
    for message, name in refusals.items():
        assert cli.main([*command, str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "noise.npy")]) == 0
    assert json.loads((tmp_path / "b.npy.json").read_text())["divisor"] == pytest.approx(37.4, rel=0.01)
    magnitudes = np.abs(noise)
    assert sd_of_noise(magnitudes, np.ones((64, 90)), tmp_path) == pytest.approx(37.4, rel=0.01)


def test_a_scaled_g_map_and_values_that_are_not_finite(model, tmp_path, capsys):
    data = images(1.42).data[:, 0]
    np.save(tmp_path / "a.npy", data)
    np.save(tmp_path / "g.npy", np.full((64, 90), 142, np.float32))
    to = ["-m", str(model), "-o", str(tmp_path / "b.npy")]
    assert cli.main(["denoise", str(tmp_path / "a.npy"), *to, "--gmap", str(tmp_path / "g.npy")]) == 0
    assert "g-map median is 142: looks like Gadgetron's x100; dividing." in capsys.readouterr().out
    data[1, 2, 3:5] = np.nan
    np.save(tmp_path / "n.npy", data)
    assert cli.main(["denoise", str(tmp_path / "n.npy"), "-m", str(model), "-o", str(tmp_path / "c.npy")]) == 2
    said = capsys.readouterr().err
    assert "n.npy" in said
    assert "2 " in said
    assert "[1, 0, 2, 3]" in said or "(1, 0, 2, 3)" in said


def test_info(model, capsys):
    assert cli.main(["info", str(model)]) == 0
    said = capsys.readouterr().out
    assert "hrnet of C2, " in said
    assert "tiles 6 x 64 x 96 (T x H x W)" in said
    assert cli.main(["info", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"] == {"imported_from": "nothing"}


def test_noise_map_report_and_strength_by_sure(tmp_path, capsys):
    """All of them beside the output, in its units and geometry; made again when they are gone; not over a user's own files."""
    source, output, model = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", untrained(tmp_path / "model.snr", frames=2)
    data = images(37.4).data[:2]
    nifti(source, data)
    command = ["denoise", str(source), "-m", str(model), "-o", str(output), "--units=auto", "--noise-map", "--report"]
    np.save(tmp_path / "mask.npy", np.arange(64 * 90).reshape(64, 90) < 900)
    command += ["--mask", str(tmp_path / "mask.npy")]
    (tmp_path / "b_noise.nii.gz").write_bytes(b"mine")
    assert cli.main(command) == 2
    assert "b_noise.nii.gz exists and was not made from this input" in capsys.readouterr().err
    assert not output.exists()
    (tmp_path / "b_noise.nii.gz").unlink()
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "noise SD of the output to first order, if that of the input is white over g" in said
    assert "a.nii.gz: region 1, 1,800 points: SNR" in said
    assert json.loads((tmp_path / "b.nii.gz.json").read_text())["regions"][0]["points"] == 1800
    noise = read(tmp_path / "b_noise.nii.gz")
    assert noise.data.shape == data.shape
    assert np.isrealobj(noise.data)
    network, before = denoiser.load(model), data[:, 0]
    key, g_map = jax.random.key(1), np.ones(before.shape[1:], np.float32)
    first = (before / json.loads((tmp_path / "b.nii.gz.json").read_text())["divisor"]).astype(np.complex64)
    changed = network.whole(first + 1e-4 * own_noise.noise_of(first, g_map)(key), g_map) - network.whole(first, g_map)
    sd = (
        37.4e4 * float(np.median(np.abs(changed))) / 1.18
    )  # of Rayleigh's distribution; an untrained network is steep at some points
    assert np.median(noise.data) == pytest.approx(sd, rel=0.15)
    page = (tmp_path / "b_report" / "report.html").read_text()
    assert "NO G-MAP" in page
    assert "Noise map" in page
    np.testing.assert_array_equal(nib.load(tmp_path / "b_noise.nii.gz").affine, nib.load(source).affine)
    (tmp_path / "b_noise.nii.gz").unlink()
    assert cli.main(command) == 0
    assert (tmp_path / "b_noise.nii.gz").exists()
    code = cli.main([*command[:6], "--units=auto", "--strength=sure"])
    said = capsys.readouterr()
    if code == 0:
        assert "the best by Stein's estimate if its noise is white over g" in said.out
        assert 0 < json.loads((tmp_path / "b.nii.gz.json").read_text())["strength"] <= 1
    else:  # the network is not trained
        assert "no strength above 0 lowers the error" in said.err


def test_a_g_map_of_another_matrix(model, tmp_path, capsys):
    np.save(tmp_path / "a.npy", images().data[:, 0])
    np.save(tmp_path / "g.npy", np.ones((32, 45), np.float32))
    command = [
        "denoise",
        str(tmp_path / "a.npy"),
        "-m",
        str(model),
        "-o",
        str(tmp_path / "b.npy"),
        "--gmap",
        str(tmp_path / "g.npy"),
    ]
    assert cli.main(command) == 2
    assert "g-map is 32x45, image is 64x90x6. Use --gmap-resize if the fields of view agree." in capsys.readouterr().err
    assert cli.main([*command, "--gmap-resize"]) == 0
