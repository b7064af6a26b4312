"""`snraware check` passes a good scan and catches a noise scan that does not belong to it, by measurement."""

import dataclasses
import re

import numpy as np
import pytest

from data_pipeline.simulator import Settings, simulate
from snraware_jax import cli
from snraware_jax.evaluation.scan_checks import check_scan
from snraware_jax.formats.mrd import read_scan, write_scan, write_scans
from snraware_jax.recon import chain
from tests.recon.phantom import replace

pytestmark = pytest.mark.xdist_group("scan checks")

NAMES = ["noise covariance", "noise scan", "beside the field of view", "beside the object", "replicas"]


@pytest.fixture(scope="module")
def scan():
    """A simulated heart with its receiver filter; the body leaves room around it."""
    return simulate(5, 6, Settings(matrix=(75, 90), frames=2, acceleration=2, calibration_lines=25, zoom=(1.0, 1.0))).scan


def failed(scan):
    return {check.name for check in check_scan(scan) if not check.passed}


def figures(line):
    """The numbers of a check: "SD 1.040 real, 1.009 imaginary ..." -> [1.04, 1.009, ...]."""
    return [float(number) for number in re.findall(r"\d+\.\d+", line)]


@pytest.fixture
def run(capsys, tmp_path):
    """Checks a scan through a file: exit code and the lines of its checks by name."""

    def checked(*scans):
        write_scans(tmp_path / "meas.h5", scans)
        before = sorted(tmp_path.iterdir())
        code = cli.main(["check", str(tmp_path / "meas.h5")])
        assert sorted(tmp_path.iterdir()) == before  # writes nothing
        output, error = capsys.readouterr()
        assert error == ""
        lines = output.splitlines()
        titles = [line for line in lines if not line.startswith("  ")]
        assert titles == ["meas.h5:"] if len(scans) == 1 else [f"meas.h5 slice {i}:" for i in range(len(scans))]
        assert len(lines) == len(titles) * (1 + len(NAMES))
        return code, {line[7:].split(":")[0]: line for line in lines if line.startswith("  ")}

    return checked


def test_a_good_scan_passes_and_says_what_was_measured(run, scan):
    code, lines = run(scan)
    assert code == 0
    assert list(lines) == NAMES
    assert all(line.startswith("  ok   ") for line in lines.values())
    assert re.search(r"11520 samples of 8 coils, condition number \d\.\d+", lines["noise covariance"])
    for name in NAMES[2:]:
        assert figures(lines[name])[0] == pytest.approx(1, abs=0.06), lines[name]


@pytest.mark.parametrize(
    ("field", "factor", "sd"),
    [
        ("noise_dwell_us", 2, np.sqrt(0.5)),
        ("noise_dwell_us", 0.5, np.sqrt(2)),
        ("dwell_us", 2, np.sqrt(2)),
        ("bandwidth", 0.5, np.sqrt(0.5)),
    ],
)
def test_a_wrong_dwell_time_or_bandwidth_is_caught_with_the_sd_that_it_causes(run, scan, field, factor, sd):
    code, lines = run(replace(scan, **{field: factor * getattr(scan, field)}))
    assert code == 1
    for name in ("beside the field of view", "beside the object"):
        assert lines[name].startswith("  FAIL ")
        assert figures(lines[name])[0] == pytest.approx(sd, rel=0.06)
        assert figures(lines[name])[1] == pytest.approx(sd, rel=0.06)


def test_a_noise_scan_of_another_gain_is_caught(scan):
    """A coil whose noise was recorded at another gain; the file alone does not tell."""
    assert "beside the field of view" in failed(replace(scan, noise=scan.noise * np.where(np.arange(8) == 2, 0.2, 1)[:, None]))
    assert "beside the object" in failed(replace(scan, noise=np.float32(1.3) * scan.noise))


def test_a_noise_scan_that_changes_is_caught(scan):
    noise = scan.noise.copy()
    noise[:, noise.shape[1] // 2 :] *= 1.3  # a coil tuned between its halves
    assert "noise scan" in failed(replace(scan, noise=noise))


def test_a_g_map_that_is_wrong_is_caught(scan, monkeypatch):
    calibrate = chain.calibrate

    def exaggerated(*arguments):
        plan = calibrate(*arguments)
        return dataclasses.replace(plan, g_map=1.1 * plan.g_map)

    monkeypatch.setattr(chain, "calibrate", exaggerated)
    assert "replicas" in failed(scan)


def test_a_channel_stored_twice_fails_without_stopping_the_check(scan):
    twice = [0, 1, 2, 3, 4, 5, 6, 0]
    with pytest.warns(UserWarning, match="singular"):
        assert "noise covariance" in failed(
            replace(scan, noise=scan.noise[twice], kspace=scan.kspace[:, twice], calibration=scan.calibration[twice])
        )


def test_a_disconnected_coil_is_said_and_passes(scan):
    gains = np.where(np.arange(8) == 4, 0, 1).astype(np.complex64)[:, None]
    dead = replace(
        scan, noise=scan.noise * gains, kspace=scan.kspace * gains[..., None], calibration=scan.calibration * gains[..., None]
    )
    with pytest.warns(UserWarning, match="coil 4 of 8"):
        checks = check_scan(dead)
    assert all(check.passed for check in checks)
    assert "1 of them disconnected" in checks[0].found


def test_every_slice_is_checked(run, scan):
    one = replace(scan, kspace=scan.kspace[:1], acquired=scan.acquired[:1])
    code, lines = run(one, replace(one, kspace=scan.kspace[1:], acquired=scan.acquired[1:]))
    assert code == 0
    assert list(lines) == NAMES


def test_an_asymmetric_echo_is_checked_beside_its_field_of_view(scan):
    sampled = np.arange(180) >= 40
    echo = replace(scan, kspace=scan.kspace * sampled, calibration=scan.calibration * sampled, echo_samples=140)
    assert [check.name for check in check_scan(echo)] == [name for name in NAMES if name != "beside the object"]
    assert not failed(echo)
    assert "beside the field of view" in failed(replace(echo, bandwidth=scan.bandwidth / 2))


def test_a_file_that_cannot_be_used_is_refused_in_one_line(scan, tmp_path, capsys):
    write_scan(tmp_path / "short.h5", replace(scan, noise=scan.noise[:, :79]))
    for name, message in (("short.h5", "79 noise samples"), ("nothing.h5", "no such file")):
        assert cli.main(["check", str(tmp_path / name)]) == 2
        output, error = capsys.readouterr()
        assert output in ("", "short.h5:\n")
        assert re.match(f"snraware: .*{name}.*{message}", error)
        assert error.count("\n") == 1


def test_the_measured_phantom_passes(shared):
    checks = {check.name: check for check in check_scan(read_scan(shared / "data" / "phantom_ssfp_r3_14ch.h5"))}
    assert list(checks) == NAMES
    assert all(check.passed for check in checks.values())
    for name in ("beside the field of view", "beside the object"):
        real, imaginary, *_ = figures(checks[name].found)
        assert 0.97 < real < 1.04
        assert 0.97 < imaginary < 1.04
    mean, spread, *_ = figures(checks["replicas"].found)
    assert mean == pytest.approx(1, abs=0.01)
    assert spread < 5  # per cent, at 95 % of the pixels
