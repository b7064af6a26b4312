"""The folder of an evaluation: what is read is what was written, and what cannot be used is named with the fix."""

import json
import re

import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.evaluation import results
from snraware_jax.evaluation.results import Table
from tests.evaluation.made import ABOUT, entry


def test_what_is_read_is_what_was_written(tmp_path):
    whole, bare = entry("a/b: c"), entry("bare")._replace(reference=None, noise_map=None)
    volume = entry("volume")
    volume = volume._replace(g_map=np.broadcast_to(volume.g_map, volume.noisy.shape))
    results.write(tmp_path / "new", (one for one in (whole, bare, volume)), ABOUT)
    entries, about = results.read(tmp_path / "new")
    assert about == ABOUT
    for read, written in zip(entries, (whole, bare, volume), strict=True):
        for got, given in zip(read, written, strict=True):
            np.testing.assert_array_equal(got, given)
    assert [path.name for path in sorted((tmp_path / "new" / "series").iterdir())] == [
        "000-a-b-c.npz",
        "001-bare.npz",
        "002-volume.npz",
    ]


def test_wide_numbers_are_stored_narrow(tmp_path):
    one = entry()
    wide = one._replace(noisy=one.noisy.astype(complex), g_map=one.g_map.astype(float))
    results.write(tmp_path, [wide], ABOUT)
    read = results.read(tmp_path)[0][0]
    assert (read.noisy.dtype, read.g_map.dtype) == (np.complex64, np.float32)


def test_cells_that_json_does_not_know(tmp_path):
    rows = [[np.float32(0.5), np.int64(3), float("inf"), None]]
    results.write(tmp_path, [entry()], ABOUT._replace(tables=[Table("t", list("abcd"), rows)]))
    assert results.read(tmp_path)[1].tables[0].rows == [[0.5, 3, "inf", None]]


def test_another_evaluation_takes_the_place_of_the_first(tmp_path):
    results.write(tmp_path, [entry("first"), entry("second")], ABOUT)
    (tmp_path / "series" / "notes.txt").write_text("the user's")
    results.write(tmp_path, [entry("third")], ABOUT)
    assert [one.name for one in results.read(tmp_path)[0]] == ["third"]
    assert sorted(path.name for path in (tmp_path / "series").iterdir()) == ["000-third.npz", "notes.txt"]


def test_an_evaluation_that_was_cut_off_is_none(tmp_path):
    results.write(tmp_path, [entry()], ABOUT)

    def interrupted():
        yield entry("new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.write(tmp_path, interrupted(), ABOUT)
    with pytest.raises(InputError, match="about.json: not there, so .* did not end; run the evaluation again"):
        results.read(tmp_path)


def changed(name, change):
    """An entry with one array changed."""
    one = entry()
    return one._replace(**{name: change(np.array(getattr(one, name)))})


def with_value(value):
    def change(array):
        array.flat[5] = value
        return array

    return change


MISFITS = {
    "an axis too few": (changed("noisy", lambda a: a[0]), r"noisy series is \[24, 20\]; it has to be \[T, H, W\]"),
    "no frames": (changed("noisy", lambda a: a[:0]), r"noisy series is \[0, 24, 20\]"),
    "a frame too few": (changed("denoised", lambda a: a[1:]), r"denoised is \[3, 24, 20\], .* give \[4, 24, 20\]"),
    "a g-map of another size": (changed("g_map", lambda a: a[1:]), r"give \[4, 24, 20\] or \[24, 20\]"),
    "a noise map without frames": (changed("noise_map", lambda a: a[0]), r"noise_map is \[24, 20\]"),
    "magnitudes": (changed("noisy", np.abs), "noisy is float32; give complex64"),
    "a complex g-map": (changed("g_map", lambda a: a + 0j), "g_map is complex64; give float32"),
    "NaN": (changed("reference", with_value(np.nan)), "reference holds 1 NaN or Inf of 1920 values"),
    "Inf": (changed("noise_map", with_value(np.inf)), "noise_map holds 1 NaN or Inf"),
    "a negative g": (changed("g_map", with_value(-1)), "g_map holds 1 values below 0"),
    "a g-map of zeros": (changed("g_map", np.zeros_like), "g-map is 0 everywhere; give that of the series"),
}


@pytest.mark.parametrize("fault", MISFITS)
def test_arrays_that_do_not_fit_are_neither_written_nor_read(tmp_path, fault):
    wrong, message = MISFITS[fault]
    with pytest.raises(InputError, match=f"^disc: .*{message}"):
        results.write(tmp_path, [wrong], ABOUT)
    assert not list(tmp_path.rglob("*.*"))
    results.write(tmp_path, [entry()], ABOUT)
    path = tmp_path / "series" / "000-disc.npz"
    np.savez(path, **wrong._asdict())
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*{message}"):
        results.read(tmp_path)


def test_no_series(tmp_path):
    with pytest.raises(InputError, match="no series to write"):
        results.write(tmp_path, [], ABOUT)
    assert not list(tmp_path.iterdir())


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def without(path, name):
    stored = json.loads(path.read_text())
    del stored[name]
    path.write_text(json.dumps(stored))


def table(**fields):
    return [{"title": "t", "header": ["a"], "rows": [[1]]} | fields]


DAMAGES = {
    "no about.json": (lambda about, series: about.unlink(), "about.json: not there"),
    "empty": (lambda about, series: about.write_text(""), "about.json: not what an evaluation writes"),
    "no text": (lambda about, series: about.write_bytes(b"\xff\xfe\x00"), "about.json: not what an evaluation writes"),
    "a list": (lambda about, series: about.write_text("[]"), "its format is not"),
    "deep": (lambda about, series: about.write_text("[" * 100_000), "about.json: not what an evaluation writes"),
    "another format": (lambda about, series: edit(about, format="2"), "its format is not"),
    "no title": (lambda about, series: without(about, "title"), "'title' is missing"),
    "a title of numbers": (lambda about, series: edit(about, title=3), "'title' is of another kind"),
    "versions": (lambda about, series: edit(about, versions={"jax": 1}), "'versions' is of another kind"),
    "a seed of words": (lambda about, series: edit(about, seed="0"), "'seed' is of another kind"),
    "seconds": (lambda about, series: edit(about, seconds=None), "'seconds' is of another kind"),
    "warnings": (lambda about, series: edit(about, warnings="beware"), "'warnings' is of another kind"),
    "a table of nothing": (lambda about, series: edit(about, tables=[1]), "'tables' is of another kind"),
    "a table of rows": (lambda about, series: edit(about, tables=table(rows=3)), "'tables' is of another kind"),
    "a short row": (lambda about, series: edit(about, tables=table(rows=[[]])), "'tables' is of another kind"),
    "a cell": (lambda about, series: edit(about, tables=table(rows=[[[]]])), "'tables' is of another kind"),
    "no series listed": (lambda about, series: edit(about, series=[]), "'series' is of another kind"),
    "a series elsewhere": (lambda about, series: edit(about, series=["../a.npz"]), "'series' is of another kind"),
    "no series": (lambda about, series: series.unlink(), "000-disc.npz: no such file, but about.json lists it"),
    "an empty series": (lambda about, series: series.write_bytes(b""), "000-disc.npz: not a series of an evaluation"),
    "a text": (lambda about, series: series.write_text("text"), "000-disc.npz: not a series of an evaluation"),
    "cut short": (lambda about, series: series.write_bytes(series.read_bytes()[:-900]), "000-disc.npz: not a series"),
    "a flipped bit": (lambda about, series: flip(series), "000-disc.npz: not a series of an evaluation"),
    "a lone array": (lambda about, series: save(series, np.zeros(3)), "000-disc.npz: not a series of an evaluation"),
    "no g-map": (lambda about, series: np.savez(series, name="a", noisy=0, denoised=0), "not a series of .*g_map"),
    "objects": (lambda about, series: np.savez(series, **entry()._replace(noisy=np.array([{}]))._asdict()), "not a series"),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def save(path, array):
    with path.open("wb") as file:
        np.save(file, array)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_named_with_the_fix(tmp_path, damage):
    results.write(tmp_path, [entry()], ABOUT)
    do, message = DAMAGES[damage]
    do(tmp_path / "about.json", tmp_path / "series" / "000-disc.npz")
    with pytest.raises(InputError, match=f"{re.escape(str(tmp_path))}/.*{message}.*run the evaluation again"):
        results.read(tmp_path)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no: no such folder; give one that launch/evaluate.py has written"):
        results.read(tmp_path / "no")
