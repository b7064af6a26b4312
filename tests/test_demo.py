"""`snraware demo` on a tiny scan: every command is given, the page is there, and the shipped model denoises."""

import re

import pytest

from data_pipeline.simulator import Settings
from snraware_jax import cli, demo, shipped
from snraware_jax.errors import InputError

TINY = Settings(matrix=(40, 48), frames=3, coils=6, calibration_lines=25, acceleration=2, signal_snr=(15.0, 15.0))


def test_from_a_raw_scan_to_a_report(tmp_path, capsys):
    page = demo.run(tmp_path / "demo", cli.main, TINY)
    said = capsys.readouterr().out
    assert [line.split()[2] for line in said.splitlines() if line.startswith("$ ")] == ["reconstruct", "denoise", "report"]
    assert "with a small one that comes with the package: complex or magnitude" in said
    found = re.search(r"the error is (\S+) dB smaller", said)
    assert found is not None
    assert float(found.group(1)) > 3
    assert "simulated cine" in page.read_text()


def test_a_failing_command_ends_it(tmp_path):
    with pytest.raises(InputError, match="snraware reconstruct failed"):
        demo.run(tmp_path / "demo", lambda arguments: 2, TINY)


def test_what_is_there_is_not_written_over(tmp_path, capsys):
    assert cli.main(["demo", "-o", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_names_of_models():
    for name in shipped.NAMES:
        assert shipped.find(name).stat().st_size < 8e6
    with pytest.raises(InputError, match="mine.snr: no such bundle; give a file NAME.snr, or one of .*: complex"):
        shipped.find("mine.snr")
