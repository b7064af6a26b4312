"""The console program: figures on stdout, one line on stderr for bad input, no output file then; folders that are resumed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from snraware_jax import cli, reconstruction
from snraware_jax.cli.reconstruct import parse_accelerations
from snraware_jax.errors import InputError
from snraware_jax.formats.hdf5 import read_series
from snraware_jax.formats.mrd import write_scan, write_scans
from tests.conftest import REPOSITORY
from tests.formats.raw import edit, is_calibration, is_imaging, is_noise
from tests.recon.phantom import make_scan, replace

pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture(scope="module")
def scan():
    return make_scan()


@pytest.fixture(scope="module")
def raw(tmp_path_factory, scan):
    path = tmp_path_factory.mktemp("raw") / "meas.h5"
    write_scan(path, scan)
    return path


def test_help_answers_at_once_and_imports_nothing_heavy():
    code = "import sys, snraware_jax.cli; sys.exit(bool({'jax', 'numpy', 'h5py', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    begun = time.perf_counter()
    shown = subprocess.run([sys.executable, "-m", "snraware_jax.cli", "--help"], capture_output=True, text=True, check=True)
    assert time.perf_counter() - begun < 0.5
    assert "reconstruct" in shown.stdout


def test_reconstruct_writes_the_series_its_picture_and_one_line(raw, tmp_path, capsys):
    assert cli.main(["reconstruct", str(raw), "-o", str(tmp_path / "scan.h5")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    for figure in ("48 x 40", "2 frames", "8 coils", "R = 2", "4096 samples", "condition number", "g median", "background"):
        assert figure in lines[0]
    series = read_series(tmp_path / "scan.h5")
    assert series.image.shape == (2, 48, 40)
    assert series.accelerations == (2, 3, 4, 5, 6, 7, 8)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scan.h5", "scan.png"]


def test_several_scans_go_into_a_folder(raw, tmp_path):
    other = tmp_path / "other.h5"
    write_scan(other, make_scan(seed=1))
    output = tmp_path / "out"
    assert cli.main(["reconstruct", str(raw), str(other), "-o", str(output), "--accelerations", "2,4"]) == 0
    assert sorted(file.name for file in output.iterdir()) == ["meas.h5", "meas.png", "other.h5", "other.png"]
    assert read_series(output / "other.h5").accelerations == (2, 4)


def refused(capsys, *arguments):
    assert cli.main(["reconstruct", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("snraware: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_too_few_calibration_lines_say_what_to_type_and_that_works(tmp_path, capsys):
    raw, output = tmp_path / "meas.h5", tmp_path / "out" / "scan.h5"
    scan = make_scan()
    write_scan(raw, replace(scan, calibration=scan.calibration[:, 1:25], calibration_start=(scan.calibration_start[0] + 1,)))
    message = refused(capsys, raw, "-o", output)
    assert "24 calibration lines along ky; R = 8 needs 25 (3R + 1)" in message
    assert "pass --accelerations 2-7" in message
    assert not output.parent.exists()
    assert cli.main(["reconstruct", str(raw), "-o", str(output), "--accelerations", "2-7"]) == 0


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"", "cannot be read as HDF5"), (b"text", "cannot be read as HDF5")]
)
def test_unreadable_files_leave_no_output(tmp_path, capsys, content, message):
    raw = tmp_path / "meas.h5"
    if content is not None:
        raw.write_bytes(content)
    assert message in refused(capsys, raw, "-o", tmp_path / "out.h5")
    assert not list(tmp_path.glob("*out*"))


def test_outputs_that_would_collide_are_refused_before_anything_is_read(raw, tmp_path, capsys):
    assert "cannot go into the one file" in refused(capsys, raw, raw, "-o", tmp_path / "out.h5")
    assert "several scans would be written" in refused(capsys, raw, raw, "-o", tmp_path)
    assert "is an input" in refused(capsys, raw, "-o", raw)
    assert not list(tmp_path.iterdir())


def readouts(change):
    """What `edit` does to a raw file."""
    return lambda path: edit(path, change)


def written(change):
    """The scan of a raw file, changed and written again."""
    return lambda path: write_scan(path, change(make_scan()))


def with_nan(rows):
    rows["data"][np.flatnonzero(is_imaging(rows))[3]][7] = np.nan
    return rows


def with_inf_in_noise(rows):
    rows["data"][np.flatnonzero(is_noise(rows))[0]][7] = np.inf
    return rows


def with_nan_in_calibration(rows):
    rows["data"][np.flatnonzero(is_calibration(rows))[5]][0] = np.nan
    return rows


def one_short_readout(rows):
    row = np.flatnonzero(is_imaging(rows))[3]
    samples = rows["data"][row].view(np.complex64).reshape(8, -1)[:, 5:-5]
    rows["data"][row] = np.ascontiguousarray(samples).view(np.float32).ravel()
    rows["head"]["number_of_samples"][row], rows["head"]["center_sample"][row] = 70, 35
    return rows


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-2000])


def few_lines(first, end):
    def change(scan):
        skip = first - scan.calibration_start[0]
        return replace(scan, calibration=scan.calibration[:, skip : skip + end - first], calibration_start=(first,))

    return change


NOISE = "79 noise samples for 8 coils; a covariance needs 80: repeat the noise scan"
UNUSABLE = {
    "no noise scan": (readouts(lambda rows: rows[~is_noise(rows)]), "has no noise readouts .* name the file .*--noise FILE"),
    "a short noise scan": (written(lambda s: replace(s, noise=s.noise[:, :79])), NOISE),
    "a noise scan of zeros": (written(lambda s: replace(s, noise=0 * s.noise)), "its noise scan holds no noise .* repeat"),
    "inf in the noise": (readouts(with_inf_in_noise), r"noise .* holds 1 NaN or Inf of .*export the data again"),
    "nan in the images": (readouts(with_nan), r"frame 0 .* holds 1 NaN or Inf of .*export the data again"),
    "nan in the calibration": (readouts(with_nan_in_calibration), r"calibration: .* holds 1 NaN or Inf of .*export"),
    "images of zeros": (written(lambda s: replace(s, kspace=0 * s.kspace)), "all samples of its images are 0"),
    "missing lines": (
        readouts(lambda rows: np.delete(rows, np.flatnonzero(is_imaging(rows))[[3, 7]])),
        r"has 22 of 24 lines; missing: 6, 14. Convert the whole measurement",
    ),
    "no calibration lines": (readouts(lambda rows: rows[~is_calibration(rows)]), r"no calibration lines .* R = 2 needs 7"),
    "a gap in the calibration": (
        readouts(lambda rows: np.delete(rows, np.flatnonzero(is_calibration(rows))[4])),
        "must lie without gaps about the centre line 24; 1 are missing",
    ),
    "few calibration lines": (written(few_lines(22, 28)), r"scan's own acceleration: 6 calibration lines .* R = 2 needs 7"),
    "mixed matrix sizes": (readouts(one_short_readout), r"imaging readouts differ in number_of_samples \(70, 80\)"),
    "no images": (readouts(lambda rows: rows[is_noise(rows)]), "has noise readouts but no imaging readouts"),
    "a file cut short": (cut_short, r"cannot be read as HDF5 .*truncated file.*copy or convert it again"),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_a_scan_that_cannot_be_used_is_named_with_the_remedy_and_leaves_no_output(raw, tmp_path, capsys, fault):
    damage, message = UNUSABLE[fault]
    broken = shutil.copy(raw, tmp_path / "broken.h5")
    damage(broken)
    said = refused(capsys, broken, "-o", tmp_path / "out" / "scan.h5", "--accelerations", "2")
    assert re.search(f"broken.h5.*{message}", said)
    assert sorted(tmp_path.iterdir()) == [broken]


COIL_AXIS = {"noise": 0, "kspace": 1, "calibration": 0}


def of_coils(scan, coils):
    return replace(scan, **{name: np.take(getattr(scan, name), coils, axis) for name, axis in COIL_AXIS.items()})


def silenced(scan, coil):
    """The scan with one coil disconnected."""
    made = of_coils(scan, range(8))
    made.noise[coil], made.kspace[:, coil], made.calibration[coil] = 0, 0, 0
    return made


SURVIVED = {
    "a channel stored twice": (
        lambda scan: of_coils(scan, [0, 1, 2, 3, 4, 5, 6, 0]),
        r"covariance of its 8 coils is singular .*A channel that is stored twice is the usual cause",
    ),
    "a dead coil": (lambda scan: silenced(scan, 3), r"coil 3 of 8 \(from 0\) disconnected, left out"),
    "few equations": (few_lines(19, 29), "10 calibration lines of 8 coils give R = 2 fewer than 3 equations an unknown"),
}


@pytest.mark.parametrize("fault", SURVIVED)
def test_what_is_survived_is_noted_in_one_line(scan, tmp_path, capsys, fault):
    change, message = SURVIVED[fault]
    write_scan(tmp_path / "odd.h5", change(scan))
    assert cli.main(["reconstruct", str(tmp_path / "odd.h5"), "-o", str(tmp_path / "scan.h5"), "--accelerations", "2"]) == 0
    output, error = capsys.readouterr()
    assert output.count("\n") == error.count("\n") == 1
    assert re.match(f"snraware: note: odd.h5: .*{message}", error)
    assert read_series(tmp_path / "scan.h5").image.shape == (2, 48, 40)  # finite, or it would not be read


OPTIONS = {
    "noise file that is not there": (["--noise", "{folder}/no.h5"], "no.h5: no such file"),
    "noise file that is a folder": (["--noise", "{folder}"], "no such file"),
    "noise of other coils": (["--noise", "{folder}/four.h5"], "four.h5: the noise scan has 4 coils, the images 8"),
    "noise file of another kind": (["--noise", "{folder}/text.h5"], "text.h5 cannot be read as HDF5"),
    "a coarser matrix": (["--matrix", "40x40"], "meas.h5: a matrix of 40x40 is not finer than its own 48x40"),
    "a matrix of a volume": (
        ["--matrix", "4x48x40"],
        "a matrix of 4x48x40 is not finer than its own 48x40: give as many sizes",
    ),
    "one size": (["--matrix", "48"], "--matrix 48 is not a matrix: type 192x256"),
    "a size of 0": (["--matrix", "0x40"], "--matrix 0x40 is not a matrix"),
    "a huge size": (["--matrix", "48x99999"], "--matrix 48x99999 is not a matrix"),
    "phases without triggers": (["--phases", "8"], "meas.h5 has no trigger times, .* leave out --phases"),
    "no phases": (["--phases", "0"], "--phases 0: give 1 or more"),
    "acceleration along kz": (["--accelerations", "2x2"], "is a 2D scan, .* pass --accelerations 2-8, not 2x2"),
    "acceleration beyond the calibration": (["--accelerations", "2-9"], r"R = 9 needs 28 .* pass --accelerations 2-8"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_do_not_fit_the_scan_are_refused(raw, scan, tmp_path, capsys, case):
    options, message = OPTIONS[case]
    write_scan(tmp_path / "four.h5", of_coils(scan, range(4)))
    (tmp_path / "text.h5").write_text("text")
    before = sorted(tmp_path.iterdir())
    said = refused(capsys, raw, "-o", tmp_path / "out" / "scan.h5", *(text.format(folder=tmp_path) for text in options))
    assert re.search(message, said)
    assert sorted(tmp_path.iterdir()) == before


def test_the_noise_scan_of_another_file_is_used(raw, scan, tmp_path, capsys):
    lone = shutil.copy(raw, tmp_path / "lone.h5")
    edit(lone, lambda rows: rows[~is_noise(rows)])
    arguments = ["reconstruct", str(lone), "-o", str(tmp_path / "scan.h5"), "--accelerations", "2"]
    noise = shutil.copy(raw, tmp_path / "noise.h5")
    assert cli.main([*arguments, "--noise", str(noise)]) == 0
    assert cli.main(["reconstruct", str(raw), "-o", str(tmp_path / "own.h5"), "--accelerations", "2"]) == 0
    first = read_series(tmp_path / "scan.h5").image
    np.testing.assert_array_equal(first, read_series(tmp_path / "own.h5").image)
    # another noise scan under the same name is another input: the series is made again
    write_scan(noise, replace(scan, noise=2 * scan.noise))
    assert cli.main([*arguments, "--noise", str(noise)]) == 0
    np.testing.assert_allclose(read_series(tmp_path / "scan.h5").image, first / 2, rtol=1e-3, atol=1e-3)
    assert "left as it is" not in capsys.readouterr().out


def test_accelerations_of_slices_may_be_typed_as_pairs(raw, tmp_path):
    assert cli.main(["reconstruct", str(raw), "-o", str(tmp_path / "scan.h5"), "--accelerations", "2,3x1"]) == 0
    assert read_series(tmp_path / "scan.h5").accelerations == (2, 3)


def test_frames_are_gated_and_zero_filled_on_demand(tmp_path, capsys):
    frames = make_scan(frames=6)
    write_scan(tmp_path / "cine.h5", replace(frames, cycle=(np.arange(6) / 6).astype(np.float32)))
    arguments = ["reconstruct", str(tmp_path / "cine.h5"), "-o", str(tmp_path / "scan.h5"), "--accelerations", "2"]
    assert cli.main([*arguments, "--phases", "4", "--matrix", "64x45"]) == 0
    assert "64 x 45, 4 frames" in capsys.readouterr().out
    series = read_series(tmp_path / "scan.h5")
    assert (series.image.shape, series.g_map.shape) == ((4, 64, 45), (64, 45))
    assert series.metadata["gated_from_frames"] == 6


def study_of(folder, count=5):
    """Raw files of one name in folders of their own."""
    for i in range(count):
        write_scan(folder / f"p{i}" / "meas.h5", make_scan(seed=i, frames=1))
    return folder


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_is_mirrored_and_resumed(tmp_path, capsys):
    study, output = study_of(tmp_path / "study"), tmp_path / "out"
    write_scan(study / "p5" / "meas.h5", replace(make_scan(), noise=make_scan().noise[:, :79]))
    write_scan(study / "p6" / "meas.h5", make_scan())
    cut_short(study / "p6" / "meas.h5")
    write_scan(study / "p7" / "meas.h5", few_lines(22, 28)(make_scan()))

    def again(*options):
        code = cli.main(["reconstruct", str(study), "-o", str(output), "--accelerations", "2", *options])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    code, said, complaints = again()
    assert code == 1
    assert said[-1] == "reconstruct: 5 of 8 files done, 0 were there already, 3 failed"
    for number, line in zip((5, 6, 7), complaints[-3:], strict=True):
        assert line.startswith(f"  {study}/p{number}/meas.h5")
    assert NOISE in complaints[-3]
    first = content(output)
    assert sorted(first) == [f"p{i}/meas.{kind}" for i in range(5) for kind in ("h5", "png")]

    code, said, complaints = again()
    assert code == 1
    assert said[-1] == "reconstruct: 0 of 8 files done, 5 were there already, 3 failed"
    assert content(output) == first

    write_scan(study / "p1" / "meas.h5", make_scan(seed=9, frames=1))  # other content
    (output / "p2" / "meas.h5").unlink()  # gone
    cut_short(output / "p3" / "meas.h5")  # damaged: it cannot be told from a file of the user's
    write_scan(study / "p7" / "meas.h5", make_scan(seed=7, frames=1))  # repaired
    code, said, complaints = again()
    assert code == 1
    assert said[-1] == "reconstruct: 3 of 8 files done, 2 were there already, 3 failed"
    assert any("p3/meas.h5 exists and was not made from this input" in line for line in complaints)
    second = content(output)
    assert {name for name in first if second[name] != first[name] and name.endswith("h5")} >= {"p1/meas.h5"}
    assert (second["p0/meas.h5"], second["p4/meas.h5"]) == (first["p0/meas.h5"], first["p4/meas.h5"])
    assert read_series(output / "p2" / "meas.h5").image.shape == (1, 48, 40)

    assert again("--accelerations", "2-2")[1][-1].startswith("reconstruct: 0 of 8 files done, 5")  # the same in other words


def test_other_options_make_again_what_is_there(tmp_path, capsys):
    study, output = study_of(tmp_path / "study", 2), tmp_path / "out"
    assert cli.main(["reconstruct", str(study), "-o", str(output), "--accelerations", "2"]) == 0
    one = ["reconstruct", str(study / "p1" / "meas.h5"), "-o", str(output / "p1" / "meas.h5"), "--accelerations"]
    assert cli.main([*one, "2"]) == 0
    assert "made from this input before, left as it is (--overwrite makes it again)" in capsys.readouterr().out
    for options in (["2", "--overwrite"], ["2,3"], ["2,3", "--matrix", "50x40"]):
        assert cli.main([*one, *options]) == 0
        assert "noise covariance of 4096 samples" in capsys.readouterr().out
        assert cli.main([*one, *(option for option in options if option != "--overwrite")]) == 0
        assert "left as it is" in capsys.readouterr().out


def test_what_was_not_made_from_the_input_is_never_overwritten(raw, tmp_path, capsys):
    output = tmp_path / "scan.h5"
    arguments = ["reconstruct", str(raw), "-o", str(output), "--accelerations", "2"]
    output.write_bytes(b"thesis")
    for options in ([], ["--overwrite"]):
        assert cli.main([*arguments, *options]) == 2
        assert "scan.h5 exists and was not made from this input: give -o another name, or delete it" in capsys.readouterr().err
    assert content(tmp_path) == {"scan.h5": b"thesis"}
    output.unlink()
    (tmp_path / "scan.png").write_bytes(b"figure 3")
    assert cli.main(arguments) == 2
    assert "scan.png exists and was not made from this input" in capsys.readouterr().err
    assert content(tmp_path) == {"scan.png": b"figure 3"}
    (tmp_path / "scan.png").unlink()
    assert cli.main(arguments) == 0
    other = tmp_path / "other" / "meas.h5"
    write_scan(other, make_scan(seed=1))
    assert cli.main(["reconstruct", str(other), *arguments[2:]]) == 2
    assert "scan.h5 exists and was not made from this input" in capsys.readouterr().err


def test_a_study_that_was_moved_is_known_by_its_content(raw, tmp_path, capsys):
    study, output = tmp_path / "study" / "meas.h5", tmp_path / "scan.h5"
    study.parent.mkdir()
    shutil.copy(raw, study)
    assert cli.main(["reconstruct", str(study), "-o", str(output), "--accelerations", "2"]) == 0
    moved = shutil.move(study.parent, tmp_path / "moved") / "meas.h5"
    arguments = ["reconstruct", str(moved), "-o", str(output), "--accelerations", "2"]
    assert cli.main(arguments) == 0
    assert "left as it is" in capsys.readouterr().out
    assert cli.main([*arguments, "--overwrite"]) == 0
    assert "left as it is" not in capsys.readouterr().out


def test_a_picture_that_is_gone_is_made_again(raw, tmp_path):
    arguments = ["reconstruct", str(raw), "-o", str(tmp_path / "scan.h5"), "--accelerations", "2"]
    assert cli.main(arguments) == 0
    (tmp_path / "scan.png").unlink()
    assert cli.main(arguments) == 0
    assert sorted(content(tmp_path)) == ["scan.h5", "scan.png"]


def test_an_interrupted_folder_goes_on(tmp_path, capsys, monkeypatch):
    study, output = study_of(tmp_path / "study", 4), tmp_path / "out"
    arguments = ["reconstruct", str(study), "-o", str(output), "--accelerations", "2"]
    write_series, count = reconstruction.write_series, 0

    def interrupted(path, series):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        write_series(path, series)

    monkeypatch.setattr(reconstruction, "write_series", interrupted)
    assert cli.main(arguments) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "snraware: interrupted; the same command does what is missing"
    assert [path.parent.name for path in sorted(output.rglob("*.h5"))] == ["p0", "p1"]
    monkeypatch.setattr(reconstruction, "write_series", write_series)
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "reconstruct: 2 of 4 files done, 2 were there already, 0 failed"


def test_a_killed_folder_goes_on_and_ends_as_if_it_had_not_been(tmp_path, capsys):
    study, output, whole = study_of(tmp_path / "study", 6), tmp_path / "out", tmp_path / "whole"
    arguments = ["reconstruct", str(study), "--accelerations", "2", "-o"]
    command = [sys.executable, "-m", "snraware_jax.cli", *arguments, str(output)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    patience = time.monotonic() + 120
    while not list(output.rglob("meas.h5")) and time.monotonic() < patience:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = sorted(output.rglob("meas.h5"))
    assert 1 <= len(left) < 6
    for path in left:  # what bears its name is whole
        assert read_series(path).image.shape == (1, 48, 40)
    assert cli.main([*arguments, str(output)]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"reconstruct: {6 - len(left)} of 6 files done, {len(left)} were there already, 0 failed"
    assert cli.main([*arguments, str(whole)]) == 0
    for path in sorted(whole.rglob("*.h5")):
        found, expected = read_series(output / path.relative_to(whole)), read_series(path)
        np.testing.assert_array_equal(found.image, expected.image)
        assert found.metadata == expected.metadata


def slices_of(frames):
    first = make_scan(frames=frames)
    return [replace(first, kspace=make_scan(seed=i, frames=frames).kspace) for i in range(3)]


def test_slices_of_several_frames_become_a_series_each(tmp_path, capsys):
    raw = tmp_path / "meas[1] a.h5"  # brackets mean something to a search for files
    write_scans(raw, slices_of(2))
    arguments = ["reconstruct", str(raw), "-o", str(tmp_path / "out"), "--accelerations", "2"]
    assert cli.main(arguments) == 0
    names = [f"meas[1] a-slice-{i}" for i in range(3)]
    assert [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()] == [f"{tmp_path}/out/{n}.h5" for n in names]
    assert sorted(content(tmp_path / "out")) == [f"{name}.{kind}" for name in names for kind in ("h5", "png")]
    for i, name in enumerate(names):
        series = read_series(tmp_path / "out" / f"{name}.h5")
        assert series.image.shape == (2, 48, 40)
        assert series.metadata["name"] == f"{raw.name} slice {i}"
    before = content(tmp_path / "out")
    assert cli.main(arguments) == 0
    assert "left as it is" in capsys.readouterr().out
    assert content(tmp_path / "out") == before
    (tmp_path / "out" / f"{names[1]}.h5").unlink()
    assert cli.main(arguments) == 0
    assert sorted(content(tmp_path / "out")) == sorted(before)


def test_a_series_is_not_written_over_that_of_another_scan(tmp_path, capsys):
    """The slices of a.h5 would be named as the only series of a-slice-1.h5."""
    study, output = tmp_path / "study", tmp_path / "out"
    write_scan(study / "a-slice-1.h5", make_scan(seed=5))
    arguments = ["reconstruct", str(study), "-o", str(output), "--accelerations", "2"]
    assert cli.main(arguments) == 0
    first = content(output)
    write_scans(study / "a.h5", slices_of(2))
    for _ in range(2):
        assert cli.main(arguments) == 1
        assert "a-slice-1.h5 exists and was not made from this input" in capsys.readouterr().err
        assert content(output) == first


def test_slices_of_one_frame_become_one_series_and_contrasts_do_not(tmp_path, capsys):
    raw = tmp_path / "meas.h5"
    write_scans(raw, slices_of(1))
    assert cli.main(["reconstruct", str(raw), "-o", str(tmp_path / "scan.h5"), "--accelerations", "2"]) == 0
    assert "48 x 40, 3 slices" in capsys.readouterr().out
    series = read_series(tmp_path / "scan.h5")
    assert (series.image.shape, series.g_map.shape, series.g_maps.shape) == ((3, 48, 40), (3, 48, 40), (1, 3, 48, 40))

    def as_contrasts(rows):
        rows["head"]["idx"]["contrast"], rows["head"]["idx"]["slice"] = rows["head"]["idx"]["slice"].copy(), 0
        return rows

    edit(raw, as_contrasts)
    assert cli.main(["reconstruct", str(raw), "-o", str(tmp_path / "echoes"), "--accelerations", "2"]) == 0
    assert [path.name for path in sorted((tmp_path / "echoes").glob("*.h5"))] == [f"meas-contrast-{i}.h5" for i in range(3)]


def test_an_output_that_cannot_be_written_is_named(raw, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert "file is no folder and no .h5 file" in refused(capsys, raw, "-o", tmp_path / "file")
    assert "scan.nii.gz is no folder and no .h5 file" in refused(capsys, raw, "-o", tmp_path / "scan.nii.gz")
    assert str(tmp_path / "file") in refused(capsys, raw, "-o", tmp_path / "file" / "scan.h5", "--accelerations", "2")
    assert content(tmp_path) == {"file": b"x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2-8", (2, 3, 4, 5, 6, 7, 8)), ("4", (4,)), ("8, 2-3", (2, 3, 8)), ("1,2", (1, 2)), ("2x2,4", (4, (2, 2)))],
)
def test_accelerations_are_parsed(text, expected):
    assert parse_accelerations(text) == expected


@pytest.mark.parametrize("text", ["", "2-", "-3", "a", "8-2", "0", "2.5"])
def test_accelerations_that_make_no_sense_are_refused(text):
    with pytest.raises(InputError, match="type 2-8"):
        parse_accelerations(text)


@pytest.mark.parametrize("text", ["33", "99", "2-1000000000000", "2x99"])
def test_accelerations_beyond_reason_are_refused_as_such(text):
    with pytest.raises(InputError, match="goes beyond 32: type 2-8"):
        parse_accelerations(text)


def test_noise_beside_the_field_of_view_in_place_of_a_noise_scan(scan, tmp_path, capsys):
    """An estimate within some per cent on this phantom, loudly; not beside a noise scan that is named."""
    raw = tmp_path / "silent.h5"
    write_scan(raw, scan)
    edit(raw, lambda rows: rows[~is_noise(rows)])
    command = ["reconstruct", str(raw), "-o", str(tmp_path / "scan.h5"), "--accelerations", "2"]
    assert "--noise-from-edges (an estimate; SNR units are then approximate)" in refused(capsys, *command[1:])
    assert "is for scans without a noise scan" in refused(capsys, *command[1:], "--noise-from-edges", "--noise", str(raw))
    assert cli.main([*command, "--noise-from-edges"]) == 0
    assert "noise from beside the field of view; SNR units are approximate" in capsys.readouterr().err
    write_scan(raw, scan)
    assert cli.main([*command[:2], "-o", str(tmp_path / "exact.h5"), *command[4:]]) == 0
    both = ["reconstruct", str(raw), "-o", str(tmp_path / "both.h5"), "--accelerations", "2", "--noise-from-edges"]
    assert cli.main(both) == 0
    assert "has a noise scan, which is used instead of its edges" in capsys.readouterr().err
    found, exact, own = (read_series(tmp_path / name).image for name in ("scan.h5", "exact.h5", "both.h5"))
    np.testing.assert_array_equal(own, exact)
    assert np.linalg.norm(found) / np.linalg.norm(exact) == pytest.approx(1, abs=0.1)
