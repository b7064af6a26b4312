"""The report: curves of known residuals, pictures of known arrays, and a page that needs nothing but itself."""

import csv
import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from snraware_jax import cli
from snraware_jax.evaluation import report, report_panels, report_pictures, residual_curves, results
from snraware_jax.evaluation.report_pictures import Panel
from tests.evaluation.made import ABOUT, entry

SHAPE = (40, 32, 27)


def white(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def without_a_half(residual):
    """Values only where g is above 0, the upper half."""
    g_map = np.ones(SHAPE[1:], np.float32)
    g_map[:16] = 0
    return residual_curves.over_g(residual, g_map)


def test_a_residual_is_divided_by_g_where_there_is_any():
    g_map = np.array([[1, 2, 0]], np.float32)
    found = residual_curves.over_g(np.full((2, 1, 3), 4 + 2j, np.complex64), g_map)
    np.testing.assert_array_equal(found[:, 0, :2], [[4 + 2j, 2 + 1j]] * 2)
    assert np.isnan(found[..., 2]).all()


@pytest.mark.parametrize("masked", [False, True])
def test_unit_noise_has_the_curves_of_unit_noise(masked):
    residual = without_a_half(white()) if masked else white()
    count = np.count_nonzero(np.isfinite(residual))
    assert residual_curves.sd(residual) == pytest.approx((1, 1), abs=4 / np.sqrt(2 * count))

    centres = (residual_curves.EDGES[1:] + residual_curves.EDGES[:-1]) / 2
    normal = np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi)
    spread = np.sqrt(normal / (count * 0.2)) + 1e-3
    assert (np.abs(residual_curves.histogram(residual) - normal) < 5 * spread).all()

    frequency, power = residual_curves.radial_spectrum(residual)
    assert (len(frequency), frequency[0], frequency[-1]) == (14, 0, 0.5)
    np.testing.assert_allclose(power[1:], 1, atol=0.25)  # 40 frames, rings of 6 points and more
    assert power[0] == pytest.approx(1, abs=5 / np.sqrt(40))
    assert power[1:].mean() == pytest.approx(1, abs=0.05)

    found = residual_curves.autocorrelation(residual)
    np.testing.assert_allclose(found[:, 0], 1, rtol=1e-5)
    np.testing.assert_allclose(found[:, 1:], 0, atol=5 / np.sqrt(count))


def test_the_histogram_of_one_value_is_one_bin_and_counts_what_is_outside():
    residual = np.full((1, 2, 2), 0.1 - 0.3j, np.complex64)
    residual[0, 0, 0] = 7 + 0.1j
    density = residual_curves.histogram(residual)
    assert density[0, 30] == pytest.approx(0.75 / 0.2)  # of 0 to 0.2
    assert (density[1, 28], density[1, 30]) == (pytest.approx(0.75 / 0.2), pytest.approx(0.25 / 0.2))
    assert density.sum() * 0.2 == pytest.approx(1.75)
    assert residual_curves.beyond(residual) == 1


@pytest.mark.parametrize("turns", [(0, 0), (4, 0), (0, 10), (6, 6)])
def test_a_wave_has_its_power_on_its_ring(turns):
    y, x = np.mgrid[:32, :30]
    wave = np.sqrt(2) * np.exp(2j * np.pi * (turns[0] * y / 32 + turns[1] * x / 30))
    frequency, power = residual_curves.radial_spectrum(np.broadcast_to(wave, (3, 32, 30)).astype(np.complex64))
    ring = round(30 * np.hypot(turns[0] / 32, turns[1] / 30))
    assert frequency[ring] == pytest.approx(ring / 30)
    radius = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(30))
    points = np.count_nonzero(np.abs(radius - ring / 30) < 0.5 / 30)
    assert power[ring] == pytest.approx(32 * 30 / points, rel=1e-4)
    assert np.delete(power, ring).max() < 1e-6 * power[ring]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (9, 7)])
def test_small_frames_have_a_spectrum(size):
    frequency, power = residual_curves.radial_spectrum(white(shape=(500, *size)))
    np.testing.assert_allclose(power, 1, atol=0.2)
    assert 0 <= frequency.min() <= frequency.max() <= 0.5


def test_the_autocorrelation_of_neighbours_that_share_noise():
    noise = white()
    found = residual_curves.autocorrelation(noise + np.roll(noise, 1, axis=1))
    np.testing.assert_allclose(found[:, 1], [0, 0.5, 0], atol=0.03)
    np.testing.assert_allclose(found[:, 2], 0, atol=0.03)
    t, y, x = np.indices((3, 4, 5))
    signs = residual_curves.autocorrelation(((-1.0) ** x).astype(np.complex64))
    np.testing.assert_allclose(signs[2, :5], [1, -1, 1, -1, 1])
    np.testing.assert_allclose(signs[1, :4], 1)
    assert np.isnan(signs[0, 3:]).all()
    assert np.isnan(signs[2, 5:]).all()


def panels_of(one):
    of = report_panels.view(one)
    return {panel.key: panel for panel in report_panels.images(of) + report_panels.noise(of)}


def test_panels_show_what_they_say():
    one = entry()
    shown = panels_of(one)
    assert list(shown) == [
        *("noisy", "denoised", "reference", "difference"),
        *("residual", "g_map", "snr_before", "snr_after", "noise_map"),
    ]
    middle = 2
    np.testing.assert_array_equal(shown["noisy"].values, np.abs(one.noisy[middle]))
    np.testing.assert_array_equal(shown["difference"].values, np.abs(one.denoised - one.reference)[middle])
    np.testing.assert_allclose(shown["snr_before"].values, np.abs(one.noisy[middle]) / one.g_map, rtol=1e-5)
    np.testing.assert_allclose(shown["snr_after"].values, np.abs(one.denoised[middle]) / one.noise_map[middle], rtol=1e-5)
    assert {shown[name].high for name in ("noisy", "denoised")} == {shown["reference"].high}
    assert {shown[name].low for name in ("noisy", "difference", "g_map", "noise_map")} == {0}


def test_the_residual_that_is_shown_is_in_phase_with_the_output():
    one = entry()
    lost = 0.8 * one.reference / np.abs(one.reference) * one.g_map
    shown = panels_of(one._replace(noisy=(one.denoised + lost).astype(np.complex64), denoised=one.reference))
    noise = (one.denoised - one.reference)[2] / one.g_map * np.exp(-1j * np.angle(one.reference[2]))
    np.testing.assert_allclose(shown["residual"].values, 0.8 + noise.real, rtol=1e-3, atol=1e-3)


def test_what_is_not_known_is_not_shown_but_said():
    bare = entry(frames=1)._replace(reference=None, noise_map=None)
    assert list(panels_of(bare)) == ["noisy", "denoised", "residual", "g_map", "snr_before"]
    of = report_panels.view(bare)
    said = " ".join(report_panels.absent(of))
    for words in ("No reference", "No noise map", "One frame"):
        assert words in said
    assert not report_panels.profiles_over_time(of)
    assert [chart.key for chart in report_panels.line_profiles(of)] == ["profile_x"]
    assert not any("noise" in chart.numbers for chart in report_panels.noise_sheet(of))
    assert "Gain, complex squared error" not in report_panels.figures(of)
    assert report_panels.absent(report_panels.view(entry())) == []


def test_figures_of_a_known_output():
    found = report_panels.figures(report_panels.view(entry()))
    assert found["Gain, complex squared error"].startswith("12.04 dB")  # a quarter of the noise
    real, imaginary = map(float, re.findall(r"[\d.]+", found["SD of residual / g"]))
    assert (real, imaginary) == pytest.approx((0.75, 0.75), abs=0.04)
    assert found["Noise left, noise map / g"] == "median 0.250"
    perfect = entry()._replace(denoised=entry().reference)
    assert report_panels.figures(report_panels.view(perfect))["Gain, complex squared error"].startswith("inf dB")


def test_residuals_larger_than_the_noise_are_a_warning():
    assert report_panels.suspicions({"disc": 0.75, "other": 1.09}) == []
    (said,) = report_panels.suspicions({"disc": 1.5, "other": 0.9} | {f"s{i}": 2.0 for i in range(9)})
    assert "in 10 of 11 series: s0 (2.00), s1" in said
    assert said.count("(") == 8
    assert "and 2 more. There signal was removed, or the g-map" in said


def test_points_without_coils_are_left_out_everywhere():
    one = entry()
    g_map = one.g_map.copy()
    g_map[:, :3] = 0
    shown = panels_of(one._replace(g_map=g_map))
    for name in ("residual", "snr_before"):
        assert np.isnan(shown[name].values[:, :3]).all()
        assert np.isfinite(shown[name].values[:, 3:]).all()


def test_large_images_are_thinned_and_that_is_said():
    of = report_panels.view(entry(frames=1, height=520, width=40))
    assert report_panels.images(of)[0].values.shape == (260, 20)
    assert "one pixel in 2" in report_panels.absent(of)[-1]


def test_a_picture_has_the_colours_of_its_map():
    values = np.array([[0.0, 1.0, 2.0], [9.0, -1.0, np.nan]])
    picture = Image.open(io.BytesIO(report_pictures.png(Panel("a", "A", values, "viridis", 0, 2, "")))).convert("RGBA")
    found = np.asarray(picture)
    ends = colormaps["viridis"]([0.0, 0.5, 1.0], bytes=True)
    for place, colour in {(0, 0): ends[0], (0, 1): ends[1], (0, 2): ends[2], (1, 0): ends[2], (1, 1): ends[0]}.items():
        np.testing.assert_allclose(found[place].astype(int), colour.astype(int), atol=3)
    assert found[1, 2, 3] == 0
    assert report_pictures.gradient("gray").endswith("#ffffff)")
    assert report_pictures.gradient("gray").startswith("linear-gradient(to right, #000000")


def test_a_film_has_its_frames_in_order():
    frames = np.repeat(np.arange(0, 220, 30, np.uint8), 24 * 16).reshape(8, 24, 16)
    film, columns = report_pictures.film(frames)
    sheet = np.asarray(Image.open(io.BytesIO(film)).convert("L")).astype(int)
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        np.testing.assert_allclose(sheet[24 * row + 12, 16 * column + 8], frame[0, 0], atol=6)
    moving = Image.open(io.BytesIO(report_pictures.animation([frames, frames])))
    assert (moving.n_frames, moving.size) == (8, (32, 24))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An evaluation of five series with its report: three in full, of which one has neither reference nor noise map."""
    folder = tmp_path_factory.mktemp("evaluation")
    odd = '<script>alert("odd")</script> & co'
    others = [entry(odd, seed=1)._replace(reference=None, noise_map=None), entry("one frame", frames=1)]
    rest = [entry(f"series {i}", seed=i) for i in (4, 5)]
    results.write(folder, [entry(), *others, *rest], ABOUT)
    report.render(folder, show_progress=False)
    return folder


def test_the_page_needs_nothing_but_itself(folder):
    page = (folder / "report.html").read_text()
    assert not re.findall(r"""(?:src|srcset|href)="(?!data:)[^"]*""", page)
    assert not re.search(r"https?:|@import|url\(", page)
    assert "default-src 'none'" in page
    assert len(page) < 2_000_000


def test_the_page_says_everything_in_order(folder):
    page = (folder / "report.html").read_text()
    said = ["One series only.", ">disc<", ">Noisy<", ">Denoised<", ">Reference<", ">Difference<", ">Residual / g<", ">g-map<"]
    said += [">SNR before<", ">SNR after<", ">Noise map<", "Cine", "Profile over frames", "Line profiles", "Noise sheet"]
    said += ["Histogram", "Radial power spectrum", "Autocorrelation", "co</h2>", "No reference", "No noise map", ">one frame<"]
    said += ["One frame:", "Other series", ">series 4<", ">series 5<", "Gain in dB", "12.25", "–", "How it was made"]
    said += [ABOUT.command, "3f9c2a", "cpu", "12.5", "jax 0.10.2"]
    place = page.index("<body>")
    for words in said:
        found = page.find(words, place)
        assert found >= 0, words
        place = found
    assert page.count("<article id=") == 3
    assert page.count('<article class="small">') == 2
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(&#34;odd&#34;)" in page
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))
    assert page.count("<img ") == page.count(' alt="')


def test_pictures_and_tables_lie_beside_the_page(folder):
    figures = {path.name for path in (folder / "figures").iterdir()}
    charts = {
        "images.png",
        "cine.webp",
        "profile_x.png",
        "profile_t.png",
        "histogram.png",
        "spectrum.png",
        "autocorrelation.png",
    }
    assert {f"000-disc-{name}" for name in charts} <= figures
    assert "004-series-5-images.png" in figures
    for path in (folder / "figures").iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 20
    with (folder / "tables" / "000-Gain-in-dB.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["method", "gain", "n"], ["network", "12.25", "1"], ["Gaussian", "", "1"]]
    with (folder / "tables" / "000-disc-spectrum.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["cycles_per_pixel", "residual", "noise"]
    assert np.mean([float(row["residual"]) for row in rows]) == pytest.approx(0.75**2, rel=0.2)


@pytest.fixture
def quick(monkeypatch):
    """Pages without charts and sheets, for what does not depend on them: matplotlib takes most of the time of a report."""
    dot = report_pictures.png(Panel("dot", "dot", np.zeros((1, 1)), "gray", 0, 1, ""))
    monkeypatch.setattr(report_pictures, "chart", lambda *_: {"light": dot, "dark": dot})
    monkeypatch.setattr(report_pictures, "sheet", lambda *_: dot)


def test_a_second_report_leaves_nothing_of_the_first(tmp_path, quick):
    wrong = entry("first")._replace(g_map=0.5 * entry().g_map)
    results.write(tmp_path, [wrong], ABOUT)
    assert "in 1 of 1 series: first (1.5" in report.render(tmp_path).read_text()
    (tmp_path / "figures" / "notes.txt").write_text("the user's")
    results.write(tmp_path, [entry("second")], ABOUT._replace(tables=[], warnings=[]))
    page = report.render(tmp_path).read_text()
    assert "No warnings." in page
    names = [path.name for kind in ("figures", "tables") for path in (tmp_path / kind).iterdir()]
    assert "notes.txt" in names
    assert not [name for name in names if "first" in name or "Gain" in name]


def test_a_page_that_would_be_too_large_says_what_it_leaves_out(folder, tmp_path, monkeypatch, quick):
    entries, about = results.read(folder)
    results.write(tmp_path, entries, about)
    monkeypatch.setattr(report, "IN_FULL", 1)
    monkeypatch.setattr(report, "BUDGET", 250_000)
    whole = report.render(tmp_path).read_text()
    assert "left out" not in whole.replace("are left out", "")
    weight = len(whole)
    monkeypatch.setattr(report, "BUDGET", 0)
    page = report.render(tmp_path).read_text()
    assert "<article" not in page
    assert "figures/ beside it has a sheet of each: disc, " in page
    assert len(page) < min(weight, 20_000)
    assert (tmp_path / "figures" / "000-disc-images.png").exists()


def test_long_cines_are_thinned_and_those_too_large_left_out(tmp_path, monkeypatch, quick):
    results.write(tmp_path, [entry(frames=7)], ABOUT)
    monkeypatch.setattr(report, "MOST_POINTS", 4 * 24 * 20)
    page = report.render(tmp_path).read_text()
    assert "4 of 7 frames" in page
    assert 'data-frames="4"' in page
    of = report_panels.view(entry(frames=7))
    full = report._in_full(of, "000-disc", {})
    monkeypatch.setattr(report, "BUDGET", report._weight(full) - 1)
    page = report.render(tmp_path).read_text()
    assert "The cine is too large for this page: figures/000-disc-cine.webp has it." in page
    assert "<canvas" not in page
    assert ">Noise sheet" in page


def test_the_verb_prints_the_path(tmp_path, capsys, quick):
    results.write(tmp_path, [entry(frames=2)], ABOUT)
    assert cli.main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"


def test_the_verb_refuses_bad_input_and_writes_nothing(tmp_path, capsys, quick):
    results.write(tmp_path, [entry(), entry("second")], ABOUT)
    (tmp_path / "series" / "001-second.npz").write_bytes(b"text")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["report", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(
        r"snraware: .*001-second.npz: not a series of an evaluation \(.*; run the evaluation again",
        captured.err.splitlines()[-1],
    )
    assert sorted(tmp_path.rglob("*")) == before
    assert cli.main(["report", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
QUIET += "--disable-component-update --disable-sync --disable-dev-shm-usage --enable-logging=stderr --virtual-time-budget=20000"
WIDTHS = (1280, 400)

LISTEN = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message || `${event.target.tagName} did not load`), true);
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => errors.push(`blocked: ${event.blockedURI}`));
console.error = console.warn = (...words) => errors.push(words.join(" "));
addEventListener("load", () => {
  const frames = () => [...document.querySelectorAll("output")].map((label) => label.value);
  setTimeout(() => {
    const first = frames();
    setTimeout(() => {
      const page = document.documentElement, found = {errors, first, then: frames(), width: innerWidth};
      found.images = [...document.images].map((image) => image.complete ? image.naturalWidth : 0);
      found.scrolls = page.scrollWidth - page.clientWidth;
      const beyond = (element) => element.getBoundingClientRect().right > page.clientWidth + 0.5 && !element.closest(".scroll");
      found.beyond = [...document.body.querySelectorAll("*")].filter(beyond).map((element) => element.outerHTML.slice(0, 80));
      const points = ({width, height}) => [0, 0, width, height];
      const reds = (canvas) => canvas.getContext("2d").getImageData(...points(canvas)).data.filter((_, i) => i % 4 == 0);
      found.drawn = [...document.querySelectorAll("canvas")].map((canvas) => reds(canvas).reduce((a, b) => Math.max(a, b)));
      parent.postMessage(found, "*");
    }, 200);
  }, 500);
});
</script>"""
FRAMES = """<pre></pre><script>
addEventListener("message", (event) => document.querySelector("pre").append(JSON.stringify(event.data) + "\\n"));
</script>""" + "".join(
    f'<iframe width="{width}" height="900" style="border: 0" src="probed.html"></iframe>' for width in WIDTHS
)


def measured(page: str, folder, *flags):
    """What a browser finds on a page at each of WIDTHS, and what it says on its console."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)} on the PATH")
    (folder / "probed.html").write_text(page.replace("<head>", "<head>" + LISTEN, 1))
    (folder / "frames.html").write_text(FRAMES)
    command = [
        browser,
        *QUIET.split(),
        f"--user-data-dir={folder / 'profile'}",
        *flags,
        "--dump-dom",
        (folder / "frames.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert found, done.stdout[:500] + done.stderr[-2000:]
    of_width = {one["width"]: one for one in map(json.loads, html.unescape(found[1]).splitlines())}
    return of_width, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_shows_all_of_it_at_every_width(folder, tmp_path):
    page = (folder / "report.html").read_text()
    found, console = measured(page, tmp_path)
    assert sorted(found) == sorted(WIDTHS)
    assert console == []
    for at in found.values():
        assert at["errors"] == []
        assert len(at["images"]) == page.count("<img ")
        assert min(at["images"]) > 0
        assert (at["scrolls"], at["beyond"]) == (0, [])
        assert len(at["drawn"]) == 5
        assert min(at["drawn"]) > 100
        assert len(at["first"]) == 2
        assert all(a != b for a, b in zip(at["first"], at["then"], strict=True))  # cines play


def test_cines_stand_still_where_motion_is_unwelcome(folder, tmp_path):
    found, _ = measured((folder / "report.html").read_text(), tmp_path, "--force-prefers-reduced-motion")
    for at in found.values():
        assert at["first"] == at["then"] == ["3 / 4", "3 / 4"]
        assert at["errors"] == []
        assert min(at["drawn"]) > 100


def test_the_measurement_finds_what_is_wrong(tmp_path):
    """A page with one fault of every kind, so that the test above can fail."""
    wide = '<div style="width: 500px">wide</div>'
    broken = '<img src="data:image/png;base64,AAAA" alt="broken"><script>nothing()</script>'
    found, _ = measured(f"<!doctype html><html><head></head><body>{wide}{broken}</body></html>", tmp_path)
    assert (found[400]["scrolls"] > 90, found[1280]["scrolls"]) == (True, 0)
    assert [text[:12] for text in found[400]["beyond"]] == ['<div style="']
    assert found[400]["images"] == [0]
    assert any("nothing is not defined" in error for error in found[400]["errors"])
    assert any("IMG did not load" in error for error in found[400]["errors"])
