"""The figures of docs/physics.md: every one is drawn by the program, is where the text says, and shows what it claims."""

import re
from pathlib import Path

import pytest

from docs import physics_figures
from docs.figures import style

DOCS = Path(physics_figures.__file__).parent
FOLDER = DOCS / "images" / "physics"
LARGEST = 120_000  # bytes: the pictures are part of the repository


def test_the_text_shows_every_figure_and_no_other():
    shown = set(re.findall(r"!\[[^]]*\]\(images/physics/(\w+)\.png\)", (DOCS / "physics.md").read_text()))
    assert shown == set(style.FIGURES) == {path.stem for path in FOLDER.iterdir()}


def test_the_links_of_the_text_lead_somewhere():
    text = (DOCS / "physics.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (DOCS / link).is_file(), link
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", text, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert max(sizes.values()) < LARGEST, sizes
    assert sum(sizes.values()) < 1_500_000


def test_a_figure_is_written_with_its_numbers(tmp_path, capsys):
    physics_figures.main(["--only", "averaging", "--output", str(tmp_path)])
    assert (tmp_path / "averaging.png").read_bytes().startswith(b"\x89PNG")
    assert re.fullmatch(r"averaging: sd_15_averages 0\.2\d+, worst 0\.0\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "number", "expected", "tolerance"),
    [("oversampling", "sd", 1, 0.02), ("oversampling", "sample", 2**0.5, 1e-3), ("missing_samples", "sd", 0, 0.01)],
)
def test_what_a_figure_claims(name, number, expected, tolerance):
    assert style.FIGURES[name]().measured[number] == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name", ["goldens", "phantom_noise"])
def test_without_the_data_beside_the_checkout_a_figure_is_skipped_with_a_line(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(style, "SHARED", tmp_path / "absent")
    physics_figures.main(["--only", name, "--output", str(tmp_path)])
    assert "skipped, needs" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
