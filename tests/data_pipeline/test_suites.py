"""Scans of the test suites: truth and noise are what they say, files are whole or named, a suite is made once."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from data_pipeline import suites
from data_pipeline.simulator import simulate
from snraware_jax.errors import InputError
from snraware_jax.evaluation import scans
from tests.tiny import SCAN, write_records

pytestmark = pytest.mark.xdist_group("suites")


def test_truth_and_noise(scan_case):
    """What is not the truth is noise of SD g; the truth is the simulated object but for what the chain makes of it."""
    unit = (scan_case.noisy - scan_case.truth) / scan_case.g_map
    assert np.sqrt(np.mean(np.abs(unit) ** 2) / 2) == pytest.approx(1, abs=0.05)
    drawn = [
        scans.noise_of(key, scan_case.scan, unit.shape) / scan_case.g_map for key in jax.random.split(jax.random.key(0), 8)
    ]
    assert np.sqrt(np.mean(np.abs(drawn) ** 2) / 2) == pytest.approx(1, abs=0.02)
    object_ = np.abs(simulate(suites.SEED, 0, SCAN).truth)
    assert np.corrcoef(np.abs(scan_case.truth).ravel(), object_.ravel())[0, 1] > 0.99


def test_regions_lie_inside_their_label(scan_case):
    blood, wide = scan_case.region(1), scan_case.region(1, margin=0)
    assert blood.shape == scan_case.noisy.shape
    assert 0 < blood.sum() < wide.sum()
    assert (scan_case.labels[blood] == 1).all()
    for axis in (1, 2):
        assert (np.roll(scan_case.labels, 1, axis)[blood] == 1).all()


def test_a_case_comes_back_as_it_was(scan_case, tmp_path):
    scans.write(tmp_path / "small-000.npz", scan_case)
    again = scans.read(tmp_path / "small-000.npz")
    for field in scans.ARRAYS:
        np.testing.assert_array_equal(getattr(again, field), getattr(scan_case, field))
    assert again.name == "small-000"
    assert again.card["subject"] == 0


def test_files_that_are_no_cases(scan_case, tmp_path):
    path = tmp_path / "x.npz"
    for content in (b"", b"PK\3\4"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x.npz: not a case"):
            scans.read(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(InputError, match=r"x.npz: not a case"):
        scans.read(path)
    for field in ("truth", "unmixing", "acquired"):
        scans.write(path, dataclasses.replace(scan_case, **{field: getattr(scan_case, field)[:, 1:]}))
        with pytest.raises(InputError, match="do not fit together"):
            scans.read(path)


def test_a_suite_is_made_once_and_has_a_version(scan_case, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(suites, "make", lambda name, subject, settings: asked.append(subject) or scan_case)
    monkeypatch.setitem(suites.SUITES, "phantom_r2", suites.Suite(SCAN, 3))
    version = suites.build("phantom_r2", tmp_path, 2)
    assert suites.build("phantom_r2", tmp_path, 1) == version == suites.build("phantom_r2", tmp_path, 2)
    assert asked == [0, 1]
    index = json.loads((tmp_path / "phantom_r2" / "index.json").read_text())
    assert index["version"] == version
    assert sorted(index["files"]) == ["phantom_r2-000.npz", "phantom_r2-001.npz"]
    assert suites.build("phantom_r2", tmp_path, 3) != version
    (tmp_path / "phantom_r2" / "phantom_r2-002.npz").unlink()
    assert suites.build("phantom_r2", tmp_path, 2) == version
    (tmp_path / "phantom_r2" / "phantom_r2-001.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"phantom_r2-001.npz: not as index.json knows it"):
        suites.build("phantom_r2", tmp_path, 2)
    (tmp_path / "phantom_r2" / "index.json").write_text("{")
    with pytest.raises(InputError, match=r"index.json: damaged"):
        suites.build("phantom_r2", tmp_path, 1)


def test_scans_of_other_settings_are_no_part_of_a_suite(scan_case, tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "make", lambda *_: scan_case)
    with pytest.raises(InputError, match=r"phantom_r4-000.npz: made with other settings"):
        suites.build("phantom_r4", tmp_path, 1)


def test_subjects_follow_from_the_seed(scan_case):
    again = suites.make("small", 0, SCAN)
    np.testing.assert_allclose(again.noisy, scan_case.noisy, atol=1e-3)
    other = suites.make("small", 1, SCAN)
    assert not np.allclose(other.noisy, scan_case.noisy, atol=1)


def test_a_part_of_a_scan_has_its_noise(scan_case):
    part = scans.around(scan_case, [1, 2], (3, 24, 20))
    assert part.noisy.shape == part.truth.shape == part.labels.shape == (3, 24, 20)
    assert part.g_map.shape == (24, 20)
    y, x = part.corner
    np.testing.assert_array_equal(part.g_map, scan_case.g_map[y : y + 24, x : x + 20])
    assert part.region(1).any()
    first = next(t for t in range(2) if (scan_case.noisy[t, y : y + 24, x : x + 20] == part.noisy[0]).all())
    same_frames = dataclasses.replace(scan_case, acquired=scan_case.acquired[first : first + 3], noisy=scan_case.noisy[:3])
    key = jax.random.key(4)
    whole = np.asarray(scans.noise_of(key, same_frames.scan, same_frames.noisy.shape))
    np.testing.assert_allclose(scans.noise_of(key, part.scan, part.noisy.shape), whole[:, y : y + 24, x : x + 20], atol=1e-5)
    again = scans.around(part, [1, 2], (3, 10, 10))
    np.testing.assert_array_equal(again.g_map, scan_case.g_map[again.corner[0] :, again.corner[1] :][:10, :10])


def test_parts_that_cannot_be_taken(scan_case):
    with pytest.raises(InputError, match="no points of labels 7"):
        scans.around(scan_case, [7], (1, 8, 8))
    volume = dataclasses.replace(scan_case, g_map=np.ones(scan_case.noisy.shape, np.float32))
    with pytest.raises(InputError, match="a volume is taken as a whole"):
        scans.around(volume, [1], (1, 8, 8))
    whole = scans.around(scan_case, [1], (100, 100, 100))
    np.testing.assert_array_equal(whole.noisy, scan_case.noisy)


def test_series_like_those_of_the_training(tmp_path, monkeypatch):
    monkeypatch.setitem(suites.SUITES, "cine_small", suites.Suite(SCAN, 2, series=True))
    monkeypatch.setattr(suites.prepare, "simulate", lambda home, **asked: write_records(home))
    (tmp_path / "cine_small").mkdir()
    version = suites.build("cine_small", tmp_path, 2)
    opened = suites.open_suite(tmp_path / "cine_small")
    assert (opened.name, opened.version, opened.series) == ("cine_small", version, True)
    with pytest.raises(InputError, match="has 2 series, not 1; delete it"):
        suites.build("cine_small", tmp_path, 1)


def test_suites_do_not_share_bodies_and_leave_some_out():
    rest, stress = suites.SUITES["perfusion_rest"], suites.SUITES["perfusion_stress"]
    assert [rest.subject(number) for number in range(rest.subjects)] == [5, 6, 7, 9, 10]
    assert [stress.subject(number) for number in range(stress.subjects)] == [0, 1, 2, 3, 4]
