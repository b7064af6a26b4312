"""What the figures share: colours, panels, the registry of figures, and the data beside the checkout."""

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
WIDTH, DPI = 10.0, 96
BLUE, ORANGE, GREEN, RED, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"  # Okabe and Ito
GREY, INK = "#8a8f98", "#1f2328"
SPREAD = r"$N(1, 1/\sqrt{4N})$"  # of the SD of N replicas


class NotHere(Exception):
    """A figure needs data that are not part of the repository."""


class Drawn(NamedTuple):
    """A figure and what was measured for it, by name."""

    figure: Figure
    measured: dict[str, float]


FIGURES: dict[str, Callable[[], Drawn]] = {}


def drawn(function: Callable[[], Drawn]) -> Callable[[], Drawn]:
    """Registers a figure under the name of its function, which is that of its file."""
    FIGURES[function.__name__] = function
    return function


def shared(name: str) -> Path:
    """A file of the folder beside the checkout."""
    path = SHARED / name
    if not path.is_file():
        raise NotHere(f"needs {path}, which is not part of the repository")
    return path


def sheet(height: float) -> Figure:
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def titled(figure: Figure, identity: str, found: str, **measured: float) -> Drawn:
    """The figure with its title: the identity, and below it what was found."""
    figure.suptitle("\n".join([identity, *wrap(found, 132)]), fontsize=10.5, color=INK, x=0.01, ha="left")
    return Drawn(figure, measured)


def save(figure: Figure, path: Path) -> None:
    """A PNG of 64 levels of red, green and blue: half the size of 256, and the same to the eye."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.minimum((pixels + 2) // 4 * 4, 255).astype(np.uint8)).save(path, optimize=True)


def plain(axes: Axes, title: str, x: str = "", y: str = "", key: object = None, **options: object) -> Axes:
    """Words of a panel; `key` is the place of its legend, none without it."""
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if key is not None:
        axes.legend(frameon=False, fontsize=8, loc=key, **options)
    return axes


def curve(
    axes: Axes, x: object, y: object, style: str, colour: str, label: str | None = None, size: float = 4, lw: float = 1
) -> None:
    axes.plot(x, y, style, color=colour, label=label, ms=size, lw=lw)


def steps(axes: Axes, values: np.ndarray, edges: np.ndarray, colour: str, label: str | None = None) -> None:
    """Density of values as an outline."""
    axes.hist(np.ravel(values), edges, density=True, histtype="step", color=colour, label=label)


def ones(axes: Axes, half_width: float, label: str) -> None:
    """A band about 1."""
    axes.axhspan(1 - half_width, 1 + half_width, color=GREY, alpha=0.25, lw=0, label=label)


def level(axes: Axes, value: float, label: str | None = None, colour: str = "black", style: str = "--") -> None:
    axes.axhline(value, color=colour, lw=1, ls=style, label=label)


def normal(axes: Axes, mean: float, width: float, label: str) -> None:
    x = np.linspace(-4.5, 4.5, 200)
    curve(axes, mean + width * x, np.exp(-(x**2) / 2) / (width * np.sqrt(2 * np.pi)), "--", "black", label)


def ticks(axes: Axes, x: Sequence[float] = (), y: Sequence[float] = ()) -> None:
    """These ticks and no others, for logarithmic axes."""
    for place, values in ((axes.set_xticks, x), (axes.set_yticks, y)):
        if values:
            place(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


def show(axes: Axes, image: np.ndarray, title: str, colours: str, norm: Normalize) -> Axes:
    axes.imshow(image, cmap=colours, norm=norm, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9, color=INK)
    return axes


def outline(axes: Axes, inside: np.ndarray) -> None:
    axes.contour(inside, [0.5], colors="white", linewidths=0.7)


def show_ratio(axes: Axes, image: np.ndarray, title: str, half_width: float = 0.15) -> Axes:
    """SD of replicas over what is expected."""
    return show(axes, image, title, "PuOr", Normalize(1 - half_width, 1 + half_width))


def show_g(axes: Axes, image: np.ndarray, title: str) -> Axes:
    return show(axes, image, title, "viridis", LogNorm(0.5, 10, clip=True))


def g_bar(figure: Figure | SubFigure, axes: Axes | Sequence[Axes], shrink: float) -> None:
    bar(figure, axes, "g", ticks=(0.5, 1, 2, 5, 10), format="%g", shrink=shrink)


def bar(figure: Figure | SubFigure, axes: Axes | Sequence[Axes], unit_of: str, **options: object) -> None:
    last = axes if isinstance(axes, Axes) else axes[-1]
    colour_bar = figure.colorbar(last.images[0], ax=axes, pad=0.02, aspect=18, **options)
    colour_bar.outline.set_visible(False)
    colour_bar.ax.tick_params(labelsize=8)
    colour_bar.ax.set_title(unit_of, fontsize=8)
