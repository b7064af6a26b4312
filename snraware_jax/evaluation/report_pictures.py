"""Pictures of the report as bytes of files: arrays in colour, charts for light and dark pages, cines, and a sheet for slides."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image as Picture

SHADES = 255  # of a colour map; the palette's last entry is transparent, for points without a value
QUALITY = 85  # of WebP, whose loss is below the noise that it shows
FRAME_SECONDS = 0.08  # of a cine


class Panel(NamedTuple):
    """An array to show.

    Attributes:
      key: short name, for files.
      title: above the picture.
      values: `[h, w]` real, NaN where there is none.
      colours: name of a colour map.
      low, high: values of its ends.
      unit: of the values.
      note: what the picture may and may not show.
    """

    key: str
    title: str
    values: np.ndarray
    colours: str
    low: float
    high: float
    unit: str
    note: str = ""


class Theme(NamedTuple):
    """Colours of a chart."""

    face: str
    ink: str
    grid: str
    first: str  # the curve that matters
    second: str  # what it is compared with
    third: str
    faint: str


LIGHT = Theme("#ffffff", "#1f2328", "#d8dee4", "#0b63b8", "#c2500a", "#1a7f37", "#8a929b")
DARK = Theme("#161b22", "#e6edf3", "#373e47", "#58a6ff", "#f0883e", "#56d364", "#8b949e")
THEMES = {"light": LIGHT, "dark": DARK}

Draw = Callable[["Axes", Theme], None]


def png(panel: Panel) -> bytes:
    """A PNG of as many pixels as the array has points, a byte each."""
    from PIL import Image

    scaled = (panel.values - panel.low) / (panel.high - panel.low)
    with np.errstate(invalid="ignore"):
        index = np.clip(scaled * SHADES, 0, SHADES - 1).astype(np.uint8)
    image = Image.fromarray(np.where(np.isfinite(scaled), index, SHADES).astype(np.uint8), "L")
    image.putpalette([*_colours(panel.colours).ravel().tolist(), 0, 0, 0])
    return _saved(image, "PNG", transparency=SHADES, optimize=True)


def gradient(colours: str) -> str:
    """A colour map as a CSS gradient from left to right."""
    steps = _colours(colours)[np.linspace(0, SHADES - 1, 9).astype(int)]
    return f"linear-gradient(to right, {', '.join('#' + bytes(step.tolist()).hex() for step in steps)})"


def chart(draw: Draw, x: str, y: str) -> dict[str, bytes]:
    """A small chart as PNG for a light and for a dark page.

    Args:
      draw: draws the curves.
      x, y: what the axes show.
    """
    return {name: _chart(draw, x, y, theme) for name, theme in THEMES.items()}


def _chart(draw: Draw, x: str, y: str, theme: Theme) -> bytes:
    from PIL import Image

    figure = _figure(4.4, 3.0, theme.face)
    axes = figure.subplots()
    axes.set_facecolor(theme.face)
    axes.set_xlabel(x, fontsize=10, color=theme.ink)
    axes.set_ylabel(y, fontsize=10, color=theme.ink)
    axes.tick_params(labelsize=9, colors=theme.ink, length=3, color=theme.grid)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.grid)
    axes.grid(color=theme.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    figure.subplots_adjust(left=0.17, right=0.97, top=0.96, bottom=0.17)
    draw(axes, theme)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=9, frameon=False, labelcolor=theme.ink, loc="best", handlelength=1.6)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # pyright: ignore[reportAttributeAccessIssue]
    return _saved(Image.fromarray(np.ascontiguousarray(pixels)).quantize(64), "PNG", optimize=True)


def frames_in_grey(series: np.ndarray, top: float) -> np.ndarray:
    """Magnitude `[T, H, W]`, 0 to `top`, as bytes."""
    return np.clip(255 * np.abs(series) / top, 0, 255).astype(np.uint8)


def film(frames: np.ndarray) -> tuple[bytes, int]:
    """All frames `[T, h, w]` of a cine side by side and below each other in one WebP, and how many columns it has."""
    from PIL import Image

    count, height, width = frames.shape
    columns = max(1, min(count, round((count * height / width) ** 0.5)))
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, height, width), np.uint8)
    padded[:count] = frames
    sheet = padded.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
    return _saved(Image.fromarray(sheet), "WEBP", quality=QUALITY), columns


def animation(columns: Sequence[np.ndarray]) -> bytes:
    """An animated WebP of cines `[T, h, w]` beside each other, for slides."""
    from PIL import Image

    first, *others = [Image.fromarray(frame) for frame in np.concatenate(columns, axis=2)]
    duration = round(1000 * FRAME_SECONDS)
    return _saved(first, "WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=QUALITY)


def sheet(title: str, panels: Sequence[Panel], columns: int = 5) -> bytes:
    """All panels with their colour bars as one PNG."""
    rows = -(-len(panels) // columns)
    height, width = panels[0].values.shape
    picture = 2.1, 2.1 * min(max(height / width, 0.3), 2.5)  # inches
    cell = picture[0] + 0.65, picture[1] + 0.4
    whole = columns * cell[0] + 0.1, rows * cell[1] + 0.4
    figure = _figure(*whole, LIGHT.face)
    figure.text(0.1 / whole[0], 1 - 0.2 / whole[1], title, fontsize=12, color=LIGHT.ink, va="center")
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left, bottom = 0.1 + column * cell[0], whole[1] - 0.3 - (row + 1) * cell[1]
        axes, bar = (
            figure.add_axes((x / whole[0], bottom / whole[1], wide / whole[0], picture[1] / whole[1]))
            for x, wide in ((left, picture[0]), (left + picture[0] + 0.05, 0.08))
        )
        shown = axes.imshow(
            panel.values, cmap=panel.colours, vmin=panel.low, vmax=panel.high, interpolation="nearest", aspect="auto"
        )
        axes.set_title(panel.title, fontsize=10, color=LIGHT.ink, pad=4)
        axes.set_axis_off()
        figure.colorbar(shown, cax=bar).outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        bar.tick_params(labelsize=8, colors=LIGHT.ink, length=2)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def curves(lines: Mapping[str, tuple[np.ndarray, np.ndarray, str, str]]) -> Draw:
    """Draws curves: label -> x, y, field of `Theme` for the colour, style."""

    def draw(axes: "Axes", theme: Theme) -> None:
        for label, (x, y, colour, style) in lines.items():
            axes.plot(x, y, style, color=getattr(theme, colour), linewidth=1.0 if colour == "faint" else 1.5, label=label, ms=3)
        axes.margins(x=0.02)

    return draw


def _figure(width: float, height: float, face: str) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # not pyplot: its figures live in a global list until they are closed

    figure = Figure(figsize=(width, height), dpi=160, facecolor=face)
    FigureCanvasAgg(figure)
    return figure


def _colours(name: str) -> np.ndarray:
    """`[SHADES, 3]` bytes of a colour map."""
    from matplotlib import colormaps

    return colormaps[name](np.linspace(0, 1, SHADES), bytes=True)[:, :3]


def _saved(image: "Picture", kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()
