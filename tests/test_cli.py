"""The console program: figures on stdout, one line on stderr for bad input, no output file then."""

import subprocess
import sys
import time

import pytest

from snraware_jax import cli
from snraware_jax.errors import InputError
from snraware_jax.formats.hdf5 import read_series
from snraware_jax.formats.mrd import write_scan
from tests.recon.phantom import make_scan, replace


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "meas.h5"
    write_scan(path, make_scan())
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


@pytest.mark.parametrize(
    ("text", "expected"), [("2-8", (2, 3, 4, 5, 6, 7, 8)), ("4", (4,)), ("8, 2-3", (2, 3, 8)), ("1,2", (1, 2))]
)
def test_accelerations_are_parsed(text, expected):
    assert cli.parse_accelerations(text) == expected


@pytest.mark.parametrize("text", ["", "2-", "-3", "a", "8-2", "0", "2.5"])
def test_accelerations_that_make_no_sense_are_refused(text):
    with pytest.raises(InputError, match="type 2-8"):
        cli.parse_accelerations(text)
