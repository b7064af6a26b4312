"""The report of an evaluation: one HTML file that needs nothing else, with its pictures and tables as files beside it.

FOLDER/report.html        images, styles and script inside; no network
FOLDER/figures/*.png      a sheet a series, charts of those that are shown in full; cines as animated WebP
FOLDER/tables/*.csv       the tables in full precision, numbers of the charts
"""

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snraware_jax.evaluation import report_panels, report_pictures, residual_curves, results
from snraware_jax.evaluation.report_panels import Chart, View
from snraware_jax.evaluation.report_pictures import Panel
from snraware_jax.evaluation.results import About, Cell
from snraware_jax.formats.atomic import replacing
from snraware_jax.progress import Progress

IN_FULL = 3  # series
BUDGET = 9_500_000  # characters of pictures in the page
MOST_POINTS = 1_500_000  # of one cine in the page
THUMBNAIL = 128  # pixels

Files = dict[str, bytes]  # by name below the folder


def render(folder: Path, *, show_progress: bool = True) -> Path:
    """Writes the report of an evaluation beside it; everything is read and drawn before anything is written.

    The first series are shown in full, the others as a row each, as far as the page stays below some 10 MB; it says what was left out.

    Args:
      folder: of `results.write`.
      show_progress: False for silence.

    Returns:
      FOLDER/report.html.

    Raises:
      InputError: if the folder or a series in it cannot be used.
    """
    about, paths = results.open_folder(folder)
    files: Files = {}
    page: dict[str, Any] = {"full": [], "rows": [], "unpictured": [], "warnings": list(about.warnings)}
    loudness: dict[str, float] = {}
    left = BUDGET
    with Progress(len(paths), "report", unit="series", enabled=show_progress and len(paths) > 1) as progress:
        for number, path in enumerate(paths):
            of = report_panels.view(results.read_entry(path))
            loudness[f"{of.entry.name}"] = max(residual_curves.sd(of.residual))
            left -= _add(page, of, path.stem, left, files)
            progress.update(number + 1)
    page["warnings"] += report_panels.suspicions(loudness)
    for number, table in enumerate(about.tables):
        files[f"tables/{number:03d}-{results.slug(table.title)}.csv"] = _csv(table.header, table.rows)
    html = _html(about, page)
    for name, content in files.items():
        _write(folder / name, content)
    for kind in ("figures", "tables"):
        results.remove_others(folder / kind, [Path(name).name for name in files if name.startswith(kind)])
    _write(folder / "report.html", html.encode())
    return folder / "report.html"


def _add(page: dict[str, Any], of: View, stem: str, left: int, files: Files) -> int:
    """Adds a series to the page in the fullest form that `left` characters allow, its files to `files`; returns what it took."""
    panels = report_panels.images(of) + report_panels.noise(of)
    files[f"figures/{stem}-images.png"] = report_pictures.sheet(f"{of.entry.name}, frame {of.frame + 1}", panels)
    if len(page["full"]) < IN_FULL and not page["rows"] and not page["unpictured"]:
        full = _in_full(of, stem, files)
        if _weight(full) > left and full["cine"]:
            full["absent"].append(f"The cine is too large for this page: figures/{stem}-cine.webp has it.")
            full["cine"] = None
        if _weight(full) <= left:
            page["full"].append(full)
            return _weight(full)
    row = _row(of, panels)
    if _weight(row) > left:
        page["unpictured"].append(of.entry.name)
        return 0
    page["rows"].append(row)
    return _weight(row)


def _in_full(of: View, stem: str, files: Files) -> dict[str, Any]:
    """All that is shown of a series, with pictures as data URIs."""
    charts = {"profiles": report_panels.line_profiles(of), "noise_sheet": report_panels.noise_sheet(of)}
    lines = 100 * (of.line + 0.5) / of.entry.noisy.shape[1]
    return {
        "name": of.entry.name,
        "anchor": stem,
        "where": f"frame {of.frame + 1} of {len(of.entry.noisy)}",
        "line": f"{lines:.1f}%",
        "figures": report_panels.figures(of),
        "absent": report_panels.absent(of),
        "images": [_picture(of, panel) for panel in report_panels.images(of)],
        "noise": [_picture(of, panel) for panel in report_panels.noise(of)],
        "cine": _cine(of, stem, files),
        "over_time": [_picture(of, panel) for panel in report_panels.profiles_over_time(of)],
        **{group: [_chart(of, chart, stem, files) for chart in members] for group, members in charts.items()},
    }


def _row(of: View, panels: Sequence[Panel]) -> dict[str, Any]:
    """A series in small."""
    shown = [panel for panel in panels if panel.key in ("noisy", "denoised", "reference", "residual")]
    step = -(-max(shown[0].values.shape) // THUMBNAIL)
    small = [panel._replace(values=panel.values[::step, ::step]) for panel in shown]
    return {
        "name": of.entry.name,
        "figures": report_panels.figures(of),
        "images": [_picture(of, panel) for panel in small],
    }


def _picture(of: View, panel: Panel) -> dict[str, Any]:
    height, width = panel.values.shape
    signed = "" if panel.low == 0 else "−"
    ends = f"{signed}{abs(panel.low):g}", f"{panel.high:.3g}"
    return {
        **panel._asdict(),
        "values": None,
        "source": _data("image/png", report_pictures.png(panel)),
        "width": width,
        "height": height,
        "low": ends[0],
        "high": ends[1],
        "alt": f"{panel.title} of {of.entry.name}, {panel.unit} from {ends[0]} to {ends[1]}",
    }


def _chart(of: View, chart: Chart, stem: str, files: Files) -> dict[str, Any]:
    drawn = report_pictures.chart(chart.draw, chart.x, chart.y)
    files[f"figures/{stem}-{chart.key}.png"] = drawn["light"]
    files[f"tables/{stem}-{chart.key}.csv"] = _csv(
        list(chart.numbers), zip(*(c.tolist() for c in chart.numbers.values()), strict=True)
    )
    sources = {name: _data("image/png", content) for name, content in drawn.items()}
    alt = f"{chart.title} of {of.entry.name}: {chart.y} against {chart.x}. {chart.note}"
    return {"title": chart.title, "note": chart.note, "sources": sources, "alt": alt}


def _cine(of: View, stem: str, files: Files) -> dict[str, Any] | None:
    """All frames of noisy, denoised and reference, or as many as are not too large; None of a single one."""
    count, height, width = of.entry.noisy.shape
    if count == 1:
        return None
    every = -(-count * height * width // (of.step**2 * MOST_POINTS))
    known = {"Noisy": of.entry.noisy, "Denoised": of.entry.denoised, "Reference": of.entry.reference}
    frames = {
        name: report_pictures.frames_in_grey(series[::every, :: of.step, :: of.step], of.top)
        for name, series in known.items()
        if series is not None
    }
    files[f"figures/{stem}-cine.webp"] = report_pictures.animation(list(frames.values()))
    shown, h, w = next(iter(frames.values())).shape
    panes = []
    for name, one in frames.items():
        film, columns = report_pictures.film(one)
        alt = f"{name}: magnitude of {of.entry.name}, all frames"
        panes.append({"title": name, "source": _data("image/webp", film), "columns": columns, "alt": alt})
    return {
        "panes": panes,
        "frames": shown,
        "middle": min(of.frame // every, shown - 1),
        "height": h,
        "width": w,
        "milliseconds": round(1000 * report_pictures.FRAME_SECONDS),
        "total": count,
    }


def _html(about: About, page: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("snraware_jax.evaluation", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    gradients = {colours: report_pictures.gradient(colours) for colours in report_panels.COLOUR_MAPS}
    count = len(page["full"]) + len(page["rows"]) + len(page["unpictured"])
    return environment.get_template("report.html").render(about=about, gradients=gradients, count=count, **page)


def _cell(value: Cell) -> str:
    """A figure in four digits, text as it is."""
    if value is None:
        return "–"
    return f"{value:#.4g}".rstrip(".") if isinstance(value, float) else str(value)


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _weight(tree: Any) -> int:
    """Characters of all texts in nested lists and dicts."""
    if isinstance(tree, str):
        return len(tree)
    if isinstance(tree, Mapping):
        return sum(_weight(value) for value in tree.values())
    return sum(_weight(value) for value in tree) if isinstance(tree, list) else 0


def _csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if cell is None or cell != cell else cell for cell in row] for row in rows])
    return text.getvalue().encode()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
