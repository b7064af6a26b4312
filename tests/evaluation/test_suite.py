"""A network on test suites, from the folder of its run to figures of every case."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from data_pipeline import records, suites
from launch import suite
from snraware_jax.errors import InputError
from snraware_jax.evaluation import results, scans
from snraware_jax.evaluation.checks import Checks
from snraware_jax.training import best, card
from tests.tiny import SCAN

pytestmark = pytest.mark.xdist_group("suites")


def index(home, series: bool, settings=SCAN) -> None:
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in home.iterdir()}
    about = {"suite": home.name, "version": "v", "series": series, "settings": dataclasses.asdict(settings), "files": files}
    (home / suites.INDEX).write_text(json.dumps(about))


def test_scans(tiny_run, scan_case, tmp_path, monkeypatch):
    config, workdir = tiny_run
    checks = Checks(1.0, 1.1, 0.1, [0.5] * 4, [1.0], [2.0, 2.0, None], 0.0, [0.1, 0.2], 0.3)
    monkeypatch.setattr(suite, "checker", lambda denoise: lambda case, key: checks)  # tests/evaluation/test_checks.py
    home, output = tmp_path / "small", tmp_path / "results"
    home.mkdir()
    for number in range(2):
        scans.write(home / f"small-{number:03d}.npz", scan_case)
    index(home, series=False)
    suite.evaluate(best.restore(config, workdir), home, output, suite.Options(replicas=2, part=(4, 32, 32), checks=True))
    found = json.loads((output / suite.RESULTS).read_text())
    assert (found["suite"], found["version"], found["step"], found["options"]["replicas"]) == ("small", "v", 3, 2)
    assert [case["case"] for case in found["cases"]] == ["small-000", "small-001"]
    for case in found["cases"]:
        assert set(case["raw"]["regions"]) == {"blood pool", "myocardium"}
        assert case["raw"]["regions"]["blood pool"]["noise"] == pytest.approx(case["raw"]["g_factor"]["blood pool"], rel=1e-2)
        assert case["denoised"]["regions"]["blood pool"]["noise"] > 0
        assert case["checks"] == checks._asdict()
    entries, about = results.read(output)  # as `snraware report` does
    assert [entry.name for entry in entries] == ["small-000", "small-001"]
    assert entries[0].denoised.shape == entries[0].noise_map.shape == (4, 32, 32)
    assert about.configuration == found["configuration"]
    assert [row[0] for row in about.tables[0].rows[::2]] == ["SNR blood pool", "SNR myocardium", "CNR"]
    network = best.restore(config, workdir)
    said = card.of_suite(output, network)
    assert (said["suite"], said["cases"]) == ("small", 2)
    before = [case["raw"]["regions"]["blood pool"] for case in found["cases"]]
    assert said["figures"]["blood pool"]["snr_before"] == pytest.approx(before[0]["signal"] / before[0]["noise"], rel=1e-3)
    with pytest.raises(InputError, match=r"results.json: of other parameters than those exported"):
        card.of_suite(output, network._replace(step=2))
    with pytest.raises(InputError, match=r"results.json: not there; run launch/evaluate.py --suite"):
        card.of_suite(tmp_path, network)


def test_series(tiny_run, tmp_path, monkeypatch):
    config, workdir = tiny_run
    home, output = tmp_path / "cines", tmp_path / "results"
    home.mkdir()
    rng = np.random.default_rng(0)
    image = (50 * rng.random((4, 20, 24))).astype(np.complex64)
    maps = np.ones((7, 20, 24), np.float32)
    records.write_shard(home / "test.h5", [records.Record(i, image, maps, 0.0, f"s{i}", "test") for i in range(3)])
    index(home, series=True)
    monkeypatch.setattr(suite, "INPUT_SNR", (0.5, 2.0))
    suite.evaluate(best.restore(config, workdir), home, output)
    cases = json.loads((output / suite.RESULTS).read_text())["cases"]
    assert [case["input_snr"] for case in cases] == [None, None, None, 0.5, 2.0]
    assert set(cases[0]["magnitude"]) == set(cases[0]["complex"])
    lines = (output / "quality.csv").read_text().splitlines()
    assert len(lines) == 6
    assert "complex_gain_db" in lines[0]
    said = card.of_suite(output, best.restore(config, workdir))
    assert said["cases"] == 3
    assert said["figures"]["gain_db"] == pytest.approx(np.mean([case["complex"]["gain_db"] for case in cases[:3]]), abs=1e-3)


def test_what_is_no_suite_or_no_longer_whole(tiny_run, scan_case, tmp_path):
    config, workdir = tiny_run
    home, output = tmp_path / "small", tmp_path / "results"
    home.mkdir()
    evaluate = lambda: suite.evaluate(best.restore(config, workdir), home, output)
    with pytest.raises(InputError, match=r"no index.json, so not a test suite; make one by"):
        evaluate()
    path = home / "small-000.npz"
    scans.write(path, scan_case)
    index(home, series=False)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"small-000.npz: not as index.json knows it"):
        evaluate()
    path.unlink()
    with pytest.raises(InputError, match=r"small-000.npz: missing"):
        evaluate()
    assert not output.exists()
