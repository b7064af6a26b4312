"""One sheet that shows a series at a glance: images, g-maps, and whether the noise is what it should be."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snraware_jax.formats.atomic import replacing
from snraware_jax.formats.series import Series
from snraware_jax.recon.checks import background, noise_beside_object, readout_detail
from snraware_jax.recon.grappa import label as name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Normalize
    from matplotlib.figure import FigureBase
    from matplotlib.image import AxesImage


MADE_BY = "snraware preview"


def write_preview(path: str | Path, series: Series) -> None:
    """Write a PNG: magnitude of the first and the middle frame, native g, noise against N(0, 1), and the g-maps.

    The g-maps share one colour scale, so that they can be compared. The histogram is of `checks.readout_detail` in
    `checks.background`; its legend states the SD of `checks.noise_beside_object`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    frames = sorted({0, len(series.image) // 2})
    g_map, g_maps = _middle_slice(series)
    aspect = g_map.shape[0] / g_map.shape[1]
    wide = len(frames) + 2
    heights = (11 / wide * max(aspect, 0.6) + 0.6, 12 / max(wide, len(series.accelerations)) * aspect + 0.5)
    figure = Figure(figsize=(13, sum(heights) + 0.7), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(series), fontsize=13)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]

    panels = top.subplots(1, wide, squeeze=False)[0]
    magnitude = np.abs(series.image)
    grey = Normalize(0, float(np.percentile(magnitude, 99.5)))
    for axes, frame in zip(panels, frames, strict=False):
        shown = _show(axes, magnitude[frame], "gray", grey)
        axes.set_title(
            "magnitude" if len(series.image) == 1 else f"magnitude, {_unit(series)} {frame + 1} of {len(series.image)}"
        )
    _bar(top, shown, panels[len(frames) - 1], "SNR")
    native = _show(panels[-2], g_map, "viridis", Normalize(0, max(1.2, float(np.percentile(g_map, 99.5)))))
    panels[-2].set_title(f"g-factor of the scan, R = {name_of(series.acceleration)}")
    _bar(top, native, panels[-2], "g")
    _histogram(panels[-1], series, max(aspect, 0.6))

    maps = bottom.subplots(1, len(series.accelerations), squeeze=False)[0]
    # logarithmic: g at R = 2 and at R = 8 differ tenfold; below 1/2 lies background alone
    largest = max(2.0, float(np.percentile(g_maps, 99.5)))
    scale = LogNorm(0.5, largest, clip=True)
    for axes, r, g_of_r in zip(maps, series.accelerations, g_maps, strict=True):
        shown = _show(axes, g_of_r, "viridis", scale)
        axes.set_title(f"g, R = {name_of(r)}", fontsize=11)
    bar = _bar(bottom, shown, list(maps), "g")
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50, 100) if tick <= largest]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": MADE_BY})


def is_preview(path: Path) -> bool:
    """Whether a PNG was written by `write_preview`."""
    with path.open("rb") as file:
        return MADE_BY.encode() in file.read(1000)


def _unit(series: Series) -> str:
    """What the first axis counts."""
    return "slice" if series.g_map.ndim == 3 else "frame"


def _middle_slice(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """g-map `[H, W]` and g-maps `[R, H, W]`; of slices that have one each, those of the one in the middle."""
    if series.g_map.ndim == 2:
        return series.g_map, series.g_maps
    return series.g_map[len(series.g_map) // 2], series.g_maps[:, len(series.g_map) // 2]


def _title(series: Series) -> str:
    count, height, width = series.image.shape
    coils = f", {series.metadata['coils']} coils" if "coils" in series.metadata else ""
    name = series.metadata.get("name", "series")
    return f"{name}: {height} x {width}, {count} {_unit(series)}{'s' if count > 1 else ''}{coils}, in SNR units"


def _show(axes: "Axes", image: np.ndarray, colours: str, scale: "Normalize") -> "AxesImage":
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes.imshow(image, cmap=colours, norm=scale, interpolation="nearest")


def _bar(figure: "FigureBase", shown: "AxesImage", axes: "Axes | list[Axes]", unit: str) -> "Colorbar":
    bar = figure.colorbar(shown, ax=axes, shrink=0.75, aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.set_title(unit, fontsize=10)
    return bar


def _histogram(axes: "Axes", series: Series, aspect: float) -> None:
    noise = noise_beside_object(series.image)
    axes.set_title("noise beside the object")
    interpolated = series.metadata.get("readout_interpolated", False)
    if interpolated or not noise.count:
        reason = "not measured:\nreadout interpolated" if interpolated else "the object fills\nthe field of view"
        axes.set_axis_off()
        axes.text(0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes)
        return
    values = readout_detail(series.image)[:, background(series.image)]
    edges = np.linspace(-4.5, 4.5, 55)
    for part, sd, label, colour in (
        (np.real(values), noise.real, "real", "#1f77b4"),
        (np.imag(values), noise.imaginary, "imaginary", "#ff7f0e"),
    ):
        axes.hist(
            part.ravel(), edges.tolist(), density=True, histtype="step", color=colour, lw=1.4, label=f"{label}, SD {sd:.2f}"
        )
    axes.plot(edges, np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi), color="black", lw=1, ls="--", label="N(0, 1)")
    axes.set_xlabel("SNR units")
    axes.set_yticks([])
    axes.set_ylim(0, 0.62)
    axes.set_box_aspect(aspect)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper center", ncols=3, columnspacing=1, handlelength=1.2)
