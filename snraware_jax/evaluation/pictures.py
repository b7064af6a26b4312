"""Sheets of images as PNG files: what a denoiser did to a series, samples of a training run, and its curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snraware_jax.evaluation.in_distribution import Case, moving_pixels
from snraware_jax.formats.atomic import replacing
from snraware_jax.metrics import gain_db, mse

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

WIDTH = 12.0  # inches
DPI = 100  # 1200 pixels wide
INK, QUIET, ACCENT = "#1f2328", "#6a737d", "#0b63b8"
ERROR_MAP, G_MAP = "magma", "viridis"


def comparison(path: str | Path, case: Case, outputs: Mapping[str, np.ndarray]) -> None:
    """One test case side by side: clean, noisy and every method; their errors; profiles over time; the g-map.

    Rows: magnitude of the middle frame on one grey scale; magnitude of its complex error, magnified, on one scale, with root
      mean squared
    error (of the complex series, per component) and gain over the noisy input; the line marked in the first image against time,
    where it moves most (left out for a single frame). The g-map takes the place of the error of the clean image.

    Args:
      path: PNG file to write; its folder is made if need be.
      case: the series, `[T, H, W]`.
      outputs: denoised series `[T, H, W]` by method, shown in this order.
    """
    columns = {"clean": case.clean, "noisy": case.noisy, **outputs}
    frames, height, width = case.clean.shape
    middle = frames // 2
    line = liveliest_line(case.clean)
    top = float(np.percentile(np.abs(case.clean), 99.7))
    errors = {name: np.abs(image[middle] - case.clean[middle]) for name, image in columns.items() if name != "clean"}
    factor = _magnification(top, [error for name, error in errors.items() if name != "noisy"] or list(errors.values()))

    cell = cell_width(len(columns))
    words_size = 10 if cell > 2 else 8.5 if cell > 1.5 else 7
    picture = picture_height(len(columns), height / width)
    profiles = [min(picture, max(0.4 * picture, 0.3 * cell))] if frames > 1 else []
    sheet = Sheet(rows=[picture, picture, *profiles], columns=len(columns), head=0.66, gaps=[0.08, 0.34, 0.1])
    legend = f"magnitude on one grey scale; below, complex error x {factor:g}" + (
        "; dashed line over time (downwards)" if frames > 1 else ""
    )
    sheet.title(f"{case.name}, peak SNR {case.peak_snr:g}", legend)

    for column, (name, image) in enumerate(columns.items()):
        axes = sheet.axes(0, column)
        _grey(axes, np.abs(image[middle]), top)
        axes.set_title(name, fontsize=11, color=INK, fontweight="bold" if name in outputs else "normal", pad=5)
        if frames > 1 and name == "clean":
            axes.axhline(line, color="#ffd33d", linewidth=0.9, linestyle=(0, (5, 3)))
        if name != "clean":
            axes = sheet.axes(1, column)
            _show(axes, factor * errors[name], ERROR_MAP, top)
            parts = lambda series: (
                series if np.imag(case.clean).any() else np.real(series)
            )  # magnitudes have one part that errs
            rmse = float(mse(parts(image), parts(case.clean))) ** 0.5
            gain = float(gain_db(case.noisy, image, case.clean))
            words = f"RMSE {rmse:.2f}" + ("" if name == "noisy" else f"   {gain:+.1f} dB")
            axes.set_xlabel(words, fontsize=words_size, color=INK if name == "noisy" else ACCENT, labelpad=4)
        if frames > 1:
            axes = sheet.axes(2, column)
            _grey(axes, np.abs(image[:, line]), top)
            axes.set_aspect("auto")

    axes = sheet.axes(1, 0)
    inner_bar(axes, _show(axes, case.g_map, G_MAP, None))
    axes.set_xlabel(f"g-map, median {np.median(case.g_map):.2f}", fontsize=words_size, color=INK, labelpad=4)
    sheet.save(path)


def training_samples(path: str | Path, noisy: np.ndarray, output: np.ndarray, target: np.ndarray, g: np.ndarray) -> None:
    """A small sheet for the log of a training run: noisy, output, target, error of the output and g of the middle frame, with
    the gain.

    Args:
      path: PNG file to write; its folder is made if need be.
      noisy, output, target: `[T, H, W]` complex, or `[B, T, H, W]` for up to six samples, a row each.
      g: the g-map of every sample, `[H, W]` or `[T, H, W]` (with `[B, ...]` likewise).
    """
    if noisy.ndim == 3:
        noisy, output, target, g = noisy[None], output[None], target[None], g[None]
    noisy, output, target, g = noisy[:6], output[:6], target[:6], g[:6]
    samples, frames, height, width = noisy.shape
    middle = frames // 2
    g_maps = g if g.ndim == 3 else g[:, middle]
    gains = np.asarray(gain_db(noisy, output, target))

    sheet = Sheet(rows=[picture_height(5, height / width)] * samples, columns=5, head=0.32, gaps=[0.32] * samples)
    for row in range(samples):
        top = float(np.percentile(np.abs(target[row]), 99.7)) or 1.0
        error = np.abs(output[row, middle] - target[row, middle])
        factor = _magnification(top, [error])
        images = {"noisy": noisy[row], "output": output[row], "target": target[row]}
        for column, (name, image) in enumerate(images.items()):
            axes = sheet.axes(row, column)
            _grey(axes, np.abs(image[middle]), top)
            axes.set_title(name if row == 0 else "", fontsize=11, color=INK, pad=4)
        axes = sheet.axes(row, 3)
        _show(axes, factor * error, ERROR_MAP, top)
        axes.set_title("error" if row == 0 else "", fontsize=11, color=INK, pad=4)
        axes.set_xlabel(f"x {factor:g}", fontsize=9, color=QUIET, labelpad=3)
        axes = sheet.axes(row, 4)
        _show(axes, g_maps[row], G_MAP, None)
        axes.set_title("g" if row == 0 else "", fontsize=11, color=INK, pad=4)
        axes.set_xlabel(f"{g_maps[row].min():.2f} to {g_maps[row].max():.2f}", fontsize=9, color=QUIET, labelpad=3)
        sheet.axes(row, 0).set_xlabel(f"max {top:.3g}", fontsize=9, color=QUIET, labelpad=3)
        sheet.axes(row, 1).set_xlabel(f"gain {gains[row]:+.1f} dB", fontsize=9, color=ACCENT, labelpad=3)
    sheet.save(path)


def curves(path: str | Path, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Loss, gain and learning rate of a training run over its steps; a panel without figures is left out.

    Args:
      path: PNG file to write; its folder is made if need be.
      metrics: rows with `step` and any of `loss`, `gain_db`, `validation_gain_db`, `learning_rate`.

    Raises:
      ValueError: if none of these is in any row.
    """
    series = {
        name: np.array([(row["step"], row[name]) for row in metrics if name in row], float).reshape(-1, 2)
        for name in ("loss", "gain_db", "validation_gain_db", "learning_rate")
    }
    panels = {
        "loss": ["loss"],
        "gain over the noisy input, dB": ["gain_db", "validation_gain_db"],
        "learning rate": ["learning_rate"],
    }
    panels = {title: names for title, names in panels.items() if any(len(series[name]) for name in names)}
    if not panels:
        raise ValueError("no curves to draw: no row has loss, gain_db, validation_gain_db or learning_rate")

    figure = _figure(WIDTH, 3.4)
    for axes, (title, names) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        axes.set_title(title, fontsize=11, color=INK, loc="left", pad=8)
        for name in names:
            _curve(axes, name, series[name])
        losses = series["loss"][:, 1]
        if title == "loss" and np.all(losses > 0) and np.ptp(np.log10(losses)) > 1:
            axes.set_yscale("log")
        if title == "learning rate":
            axes.yaxis.set_major_formatter("{x:.1e}")
        axes.set_xlabel("step", fontsize=9, color=QUIET)
        _plain_axes(axes)
        axes.margins(x=0.02)
        if len(names) > 1:
            axes.legend(fontsize=9, frameon=False, labelcolor=INK, loc="lower right")
    figure.subplots_adjust(left=0.05, right=0.985, top=0.86, bottom=0.16, wspace=0.25)
    save(figure, path)


def _curve(axes: "Axes", name: str, points: np.ndarray) -> None:
    """Points of a curve: validation marked, training faint with its running mean over 5 % of the steps on top."""
    if not len(points):
        return
    step, value = points.T
    if name == "validation_gain_db":
        axes.plot(step, value, "o-", color="#d1570b", markersize=4, linewidth=1.6, label="validation", zorder=3)
    elif name == "learning_rate":
        axes.plot(step, value, color=ACCENT, linewidth=1.6)
    else:
        window = max(1, len(value) // 20)
        total = np.cumsum(np.concatenate([[0.0], value]))
        last = np.arange(1, len(value) + 1)
        first = np.maximum(last - window, 0)
        axes.plot(step, value, color=ACCENT, alpha=0.25, linewidth=0.8)
        mean = (total[last] - total[first]) / (last - first)
        axes.plot(step, mean, "o-" if len(step) == 1 else "-", color=ACCENT, linewidth=1.6, label="training")


class Sheet:
    """Rows of cells of given heights, in inches, so that pixels stay square whatever the image size; those of a row are as wide."""

    GAP = 0.04  # on either side of a cell

    def __init__(
        self, *, rows: Sequence[float], columns: int | Sequence[int], head: float, gaps: Sequence[float], dpi: int = DPI
    ):
        self.height = head + sum(rows) + sum(gaps[: len(rows)])
        self.figure = _figure(WIDTH, self.height, dpi)
        self.rows, self.columns = rows, [columns] * len(rows) if isinstance(columns, int) else columns
        below = np.cumsum([r + g for r, g in zip(rows, gaps, strict=False)])
        self._tops = [self.height - head - (end - r - g) for end, r, g in zip(below, rows, gaps, strict=False)]
        self._axes: dict[tuple[int, int], Axes] = {}

    def title(self, bold: str, quiet: str) -> None:
        y = 1 - 0.2 / self.height
        self.figure.text(0.012, y, bold, fontsize=12, fontweight="bold", color=INK, ha="left", va="center")
        self.figure.text(0.988, y, quiet, fontsize=10, color=QUIET, ha="right", va="center")

    def heading(self, row: int, words: str, above: float) -> None:
        """Words at the left, so many inches above a row."""
        y = (self._tops[row] + above) / self.height
        self.figure.text(0.012, y, words, fontsize=11, fontweight="bold", color=INK, ha="left", va="center")

    def axes(self, row: int, column: int) -> "Axes":
        """Those of a cell, for an image."""
        if (row, column) not in self._axes:
            axes = self.figure.add_axes(self._place(row, column, (self.GAP, 0, self.GAP, 0)))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            self._axes[row, column] = axes
        return self._axes[row, column]

    def chart(self, row: int, column: int) -> "Axes":
        """Those of a cell with room for ticks and words, for curves and bars."""
        axes = self.figure.add_axes(self._place(row, column, (0.55, 0.45, 0.15, 0.25)))
        _plain_axes(axes)
        return axes

    def _place(self, row: int, column: int, margins: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Left, bottom, width, height of a cell less margins at its left, bottom, right, top, as shares of the figure."""
        left, bottom, right, top = margins
        cell = cell_width(self.columns[row])
        x = (WIDTH - cell * self.columns[row]) / 2 + column * cell + left
        y = self._tops[row] - self.rows[row] + bottom
        width, height = cell - left - right, self.rows[row] - bottom - top
        return x / WIDTH, y / self.height, width / WIDTH, height / self.height

    def save(self, path: str | Path) -> None:
        save(self.figure, path)


def cell_width(columns: int) -> float:
    """Inches, of the cells of a row."""
    return (WIDTH - 0.15) / columns


def picture_height(columns: int, aspect: float) -> float:
    """Inches, of images that fill the cells of a row; `aspect` is their height over their width."""
    return (cell_width(columns) - 2 * Sheet.GAP) * aspect


def _figure(width: float, height: float, dpi: int = DPI) -> "Figure":
    # not pyplot: its figures live in a global list until they are closed
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, facecolor="white")


def save(figure: "Figure", path: str | Path) -> None:
    """Writes a figure as PNG at its own resolution; the folder is made if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=figure.dpi)


def _plain_axes(axes: "Axes") -> None:
    """The look of curves: a faint grid, no frame at the top and the right."""
    axes.tick_params(labelsize=9, colors=QUIET, length=3)
    axes.grid(color="#e6e9ec", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c9ced4")


def inner_bar(axes: "Axes", shown: Any) -> "Colorbar":
    """The colour scale of an image, inside it at the lower left."""
    bar = axes.figure.colorbar(shown, cax=axes.inset_axes((0.04, 0.06, 0.035, 0.4)))
    bar.ax.tick_params(labelsize=8, colors="white", length=2)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return bar


def _grey(axes: "Axes", magnitude: np.ndarray, top: float) -> None:
    axes.imshow(magnitude, cmap="gray", vmin=0, vmax=top, interpolation="nearest")


def _show(axes: "Axes", values: np.ndarray, colours: str, top: float | None) -> Any:
    return axes.imshow(values, cmap=colours, vmin=0 if top is not None else None, vmax=top, interpolation="nearest")


def _magnification(top: float, errors: Sequence[np.ndarray]) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 that keeps 99 % of the error pixels within the grey scale."""
    largest = max(float(np.percentile(error, 99)) for error in errors)
    return max((k for k in (1, 2, 5, 10, 20, 50) if k * largest <= top), default=1)


def liveliest_line(clean: np.ndarray) -> int:
    """The row that crosses most of the moving pixels; the middle one where nothing moves."""
    moving = moving_pixels(clean)
    return clean.shape[1] // 2 if moving is None else int(np.argmax(moving.sum(axis=1)))
