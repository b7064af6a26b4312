"""What the counterparts of the paper's figures have in common: outputs and their numbers, the part to show enlarged, panels."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.evaluation.pictures import ACCENT, G_MAP, INK, QUIET, Sheet, cell_width, inner_bar
from snraware_jax.evaluation.regions import Region, contrast_to_noise, measure
from snraware_jax.evaluation.scans import ScanCase

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESOLUTION = 150  # dots an inch
BODY = 0.1  # of the 99.5th percentile of the truth: what is brighter counts as body
TRUTH = "noise-free"
COLOURS = ("#0b63b8", "#d1570b", "#1a7f37", "#8250df", "#bf3989")  # of methods; raw is grey, the truth black
Numbers = dict[str, Any]  # JSON values
Window = tuple[slice, slice]


class Output(NamedTuple):
    """What a method made of a case.

    Attributes:
      series: `[T, H, W]` in the units of the case, complex or, of a method without phase, magnitudes.
      noise: SD of its noise per real component, `[T, H, W]` or `[H, W]`; None if it was not measured, then SNR is left out.
    """

    series: np.ndarray
    noise: np.ndarray | None = None


def raw(case: ScanCase) -> Output:
    """The reconstruction itself, whose noise SD is the g-map."""
    return Output(case.noisy, np.broadcast_to(case.g_map, case.noisy.shape))


def check(case: ScanCase, outputs: Mapping[str, Output]) -> None:
    """Refuses outputs that are not of this case.

    Raises:
      InputError: naming case and method, if there is none, shapes differ, or values are not finite.
    """
    if not outputs:
        raise InputError(f"{case.name}: no output to show; give that of one method or more")
    for method, output in outputs.items():
        for what, array in (("output", output.series), ("noise map", output.noise)):
            if array is None:
                continue
            if array.shape != case.noisy.shape and (what == "output" or array.shape != case.noisy.shape[1:]):
                raise InputError(
                    f"{case.name}, {method}: the {what} is {array.shape}, the case {case.noisy.shape}; denoise this case"
                )
            if not np.isfinite(array).all():
                count = np.count_nonzero(~np.isfinite(array))
                raise InputError(f"{case.name}, {method}: {count} values of the {what} are not finite")


def regions(case: ScanCase, labels: Mapping[str, int]) -> dict[str, np.ndarray]:
    """`[T, H, W]` bool by name: the points of each label that are not on its edge.

    Raises:
      InputError: naming the case and the label without points.
    """
    masks = {name: case.region(label) for name, label in labels.items()}
    for name, mask in masks.items():
        if not mask.any():
            raise InputError(
                f"{case.name}: no points of {name} (label {labels[name]}) in it, which this figure measures; take another case"
            )
    return masks


def numbers(case: ScanCase, output: Output, masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Of magnitudes: `signal`, and with a noise map `SNR` and `fidelity`, of every region; `CNR` of the first two; `RMSE`.

    `RMSE` is the root mean squared difference from the truth over all regions. SNR alone would favour an output that is constant
    (`regions.measure`).
    """
    series, truth = np.abs(output.series), np.abs(case.truth)
    everywhere = np.any(list(masks.values()), axis=0)
    found = {f"signal {name}": float(series[mask].mean()) for name, mask in masks.items()}
    if output.noise is not None:
        measured: dict[str, Region] = {name: measure(series, output.noise, mask, truth) for name, mask in masks.items()}
        found |= {f"SNR {name}": region.snr for name, region in measured.items()}
        found |= {f"fidelity {name}": region.fidelity for name, region in measured.items()}
        if len(measured) > 1:
            one, other, *_ = measured.values()
            found["CNR"] = contrast_to_noise(one, other)
    return found | {"RMSE": float(np.sqrt(np.mean((series - truth)[everywhere] ** 2)))}


def words_of(found: Mapping[str, float], names: Sequence[str], short: Mapping[str, str] | None = None) -> str:
    """The numbers of `names` that there are, on one line: "SNR blood 12.3   SNR myocardium 4.56"."""
    short = short or {}
    return "   ".join(f"{short.get(name, name)} {number(found[name])}" for name in names if name in found)


def number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def body(case: ScanCase) -> np.ndarray:
    """`[H, W]` bool: where the truth has signal, on average over the frames."""
    magnitude = np.abs(case.truth)
    return magnitude.mean(axis=0) > BODY * np.percentile(magnitude, 99.5)


def white(case: ScanCase) -> float:
    """The white of the grey scale: of the labelled points of the truth few are brighter."""
    return float(np.percentile(np.abs(case.truth[case.labels > 0]), 98)) or 1.0


def aspect(case: ScanCase, window: Window | None = None) -> float:
    """Height over width of an image or a part of it in the body, whose pixels need not be square.

    Raises:
      InputError: if the case does not know its field of view.
    """
    if "fov_mm" not in case.card:
        raise InputError(f"{case.name}: its card has no fov_mm, without which its pixels have no shape; make the suite again")
    height, width = case.noisy.shape[1:]
    fov_height, fov_width = case.card["fov_mm"]
    if window is not None:
        fov_height *= (window[0].stop - window[0].start) / height
        fov_width *= (window[1].stop - window[1].start) / width
    return float(fov_height / fov_width)


def scanned(case: ScanCase) -> str:
    """How a case was scanned: "simulated, R = 5, 110 x 192, 60 frames"."""
    frames, height, width = case.noisy.shape
    many = f", {frames} {'partitions' if case.g_map.ndim == 3 else 'frames'}" if frames > 1 else ""
    return f"simulated, R = {acceleration(case)}, {height} x {width}{many}"


def acceleration(case: ScanCase) -> str:
    """ "5", of a volume "2 x 2"."""
    factors = np.atleast_1d(case.card["settings"]["acceleration"])
    return " x ".join(f"{factor:g}" for factor in factors)


def window_about(mask: np.ndarray, margin: float = 0.15) -> Window:
    """The part of an image around a mask `[H, W]`, with a share of its size more on every side, of the image's own proportions."""
    places = [np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))]
    share = max((place[-1] - place[0] + 1) * (1 + 2 * margin) / n for place, n in zip(places, mask.shape, strict=True))
    return window_at(mask.shape, ((places[0][0] + places[0][-1]) / 2, (places[1][0] + places[1][-1]) / 2), share)


def window_at(shape: tuple[int, ...], centre: Sequence[float], share: float) -> Window:
    """A part of an image of the same proportions, moved into it where it would reach over its border."""
    spans = []
    for n, middle in zip(shape, centre, strict=True):
        size = min(n, max(4, round(share * n)))
        start = int(np.clip(round(middle - size / 2), 0, n - size))
        spans.append(slice(start, start + size))
    return spans[0], spans[1]


def busiest_window(labels: np.ndarray, share: float) -> Window:
    """The part of an image with the most borders between labels `[H, W]`, apart from those with label 0."""
    from scipy import ndimage

    borders = np.zeros(labels.shape, np.float32)
    for axis in (0, 1):
        after = np.roll(labels, -1, axis)
        borders += (labels != after) & (labels > 0) & (after > 0)
    count = borders
    for axis, n in enumerate(labels.shape):
        for _ in range(2):  # those in the middle count more
            count = ndimage.uniform_filter1d(count, max(1, round(share * n / 2)), axis, mode="constant")
    row, column = np.unravel_index(np.argmax(count), labels.shape)
    return window_at(labels.shape, (float(row), float(column)), share)


def panel(
    sheet: Sheet,
    row: int,
    column: int,
    values: np.ndarray,
    limits: tuple[float, float],
    *,
    colours: str = "gray",
    title: str = "",
    below: str = "",
    tag: str = "",
    logarithmic: bool = False,
) -> Any:
    """An image that fills its cell, with words above, below and in its upper left corner; returns what a colour bar needs."""
    from matplotlib.colors import LogNorm, Normalize

    axes, letters = sheet.axes(row, column), int(12 * cell_width(sheet.columns[row]))
    scale = (LogNorm if logarithmic else Normalize)(*limits, clip=True)
    shown = axes.imshow(values, cmap=colours, norm=scale, interpolation="nearest", aspect="auto")
    axes.set_title(fill(title, letters), fontsize=10, color=INK, pad=4)
    axes.set_xlabel(below, fontsize=7.5, color=ACCENT, labelpad=3)
    if tag:
        write(axes, 0.02, 0.97, fill(tag, int(1.2 * letters)))
    return shown


def snr_bar(axes: "Axes", shown: Any) -> None:
    """`inner_bar` of a logarithmic scale, its ticks in plain numbers."""
    bar = inner_bar(axes, shown)
    ticks = [tick for tick in (1, 10, 100, 1000) if tick <= shown.norm.vmax]
    bar.set_ticks(ticks, labels=[f"{tick}" for tick in ticks])
    bar.ax.minorticks_off()
    for label in bar.ax.get_yticklabels():
        label.set_path_effects([_rim()])


def write(axes: "Axes", x: float, y: float, words: str, in_points: bool = False) -> None:
    """White words with a dark rim at a share of the axes (their upper left corner) or, `in_points`, at the middle of points."""
    text = axes.text(x, y, words, fontsize=8, color="white")
    text.set_horizontalalignment("center" if in_points else "left")
    text.set_verticalalignment("center" if in_points else "top")
    text.set_path_effects([_rim()])
    if not in_points:
        text.set_transform(axes.transAxes)


def _rim() -> Any:
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=2, foreground="#000000b0")


def outline(axes: "Axes", window: Window, colour: str = "#ffd33d") -> None:
    """A frame around a part of an image."""
    from matplotlib.patches import Rectangle

    rows, columns = window
    size = (columns.stop - columns.start, rows.stop - rows.start)
    axes.add_patch(Rectangle((columns.start - 0.5, rows.start - 0.5), *size, fill=False, edgecolor=colour, linewidth=0.9))


def note(axes: "Axes", words: str) -> None:
    """Quiet words in the middle of an empty cell."""
    axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=8.5, color=QUIET, transform=axes.transAxes)


def of_frame(noise: np.ndarray, frame: int) -> np.ndarray:
    """`[H, W]` of a noise map that may be the same in all frames."""
    return noise if noise.ndim == 2 else noise[frame]


def snr_image(magnitude: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """`[H, W]` magnitude over noise SD; 0 where there is no noise, as a network may leave none beside the body."""
    return np.divide(magnitude, noise, out=np.zeros(magnitude.shape), where=noise > 0)


def show_g_map(sheet: Sheet, row: int, column: int, g_map: np.ndarray, largest: float | None = None) -> None:
    """A g-map with its colour bar, from 0 to `largest` or to its own."""
    top = largest or max(1.2, float(np.percentile(g_map, 99.5)))
    shown = panel(sheet, row, column, g_map, (0, top), colours=G_MAP, below=f"g-map, median {np.median(g_map):.2f}")
    inner_bar(sheet.axes(row, column), shown)
