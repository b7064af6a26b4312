"""The counterpart of the paper's Figure 3: one phantom at R = 2 and R = 4, outputs of several networks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.evaluation.generalisation import RAW
from snraware_jax.evaluation.paper_figures import panels
from snraware_jax.evaluation.paper_figures.panels import Numbers, Output, panel
from snraware_jax.evaluation.pictures import Sheet, picture_height
from snraware_jax.evaluation.scans import ScanCase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WATER, STRUCTURES = (1, 2), 3  # labels of the simulated bottles
PLACE = 5  # points across a place where g is measured


def figure_3(
    r2: ScanCase, r4: ScanCase, outputs: Mapping[str, Mapping[str, tuple[Output, Output]]]
) -> tuple["Figure", Numbers]:
    """One phantom at two accelerations: raw image, g-map with three measured places, and outputs of networks and methods.

    The places, marked A to C, are where the g of the second scan is highest, middling and lowest. SNR is that of all water.

    Args:
      r2, r4: the same bottles at R = 2 and R = 4.
      outputs: by network, then by method: of both scans. All networks have the same methods.

    Returns:
      The figure; and by scan ("R = 2"): `g` by place, numbers of `raw`, of every network by method.

    Raises:
      InputError: if the scans are of different bottles or have no water, or an output is not theirs.
    """
    methods = _methods_of(outputs, r2)
    if r2.labels.shape != r4.labels.shape or not np.array_equal(r2.labels, r4.labels):
        raise InputError(f"{r2.name} and {r4.name} are of different bottles; give the same subject of both suites")
    water = _water(r2)
    places = three_places(np.asarray(r4.g_map), np.isin(r4.labels[0], (*WATER, STRUCTURES)), r4.name)
    aspect = panels.aspect(r2)
    rows = max(2, len(outputs))
    columns = 1 + len(methods)
    height = picture_height(columns, aspect)
    gaps = [0.4] * (rows - 1) + [0.95] + [0.4] * rows
    sheet = Sheet(rows=[height] * 2 * rows, columns=columns, head=0.95, gaps=gaps, dpi=panels.RESOLUTION)
    sheet.title("Figure 3: phantom", f"{r2.name} and {r4.name}, simulated; SNR and RMSE in all water, noise SD at A, B, C")
    largest = float(np.percentile((r2.g_map, r4.g_map), 99.5))
    found: Numbers = {}
    for half, case in enumerate((r2, r4)):
        top, first = panels.white(case), half * rows
        sheet.heading(first, f"({'ab'[half]}) {panels.scanned(case)}", 0.42)
        of_case = {network: {m: both[half] for m, both in of.items()} for network, of in outputs.items()}
        for network, of_methods in of_case.items():
            panels.check(case, {f"{network}, {method}": output for method, output in of_methods.items()})
        measure = lambda output, case=case: _at_places(case, output, {"water": water}, places)
        numbers: Numbers = {"g": {name: float(case.g_map[at].mean()) for name, at in places.items()}}
        numbers[RAW] = measure(panels.raw(case))
        panel(sheet, first, 0, np.abs(case.noisy[0]), (0, top), title=RAW, below=_phantom_words(numbers[RAW]))
        panels.show_g_map(sheet, first + 1, 0, case.g_map, largest)
        _mark(sheet.axes(first + 1, 0), places, numbers["g"])
        for row, (network, of_methods) in enumerate(of_case.items(), first):
            numbers[network] = {}
            for column, method in enumerate(methods, 1):
                one = numbers[network][method] = measure(of_methods[method])
                image, words = np.abs(of_methods[method].series[0]), _phantom_words(one)
                title = method if row == first else ""
                panel(sheet, row, column, image, (0, top), title=title, below=words, tag=network)
        found[f"R = {panels.acceleration(case)}"] = numbers
    return sheet.figure, found


def three_places(g_map: np.ndarray, inside: np.ndarray, name: str) -> dict[str, tuple[slice, slice]]:
    """Squares within a mask `[H, W]`: A where the mean g is highest, C lowest, B middling and as far from both as can be.

    Raises:
      InputError: naming the case, if no square fits into the mask.
    """
    from scipy import ndimage

    mean = ndimage.uniform_filter(g_map, PLACE)
    centres = np.argwhere(ndimage.binary_erosion(inside, np.ones((PLACE, PLACE), bool)))
    if len(centres) < 3:
        raise InputError(
            f"{name}: no room for places of {PLACE} x {PLACE} points in its object (labels 1 to 3); take another case"
        )
    order = np.argsort(mean[tuple(centres.T)], kind="stable")
    highest, lowest = centres[order[-1]], centres[order[0]]
    middling = centres[order[len(order) * 9 // 20 : max(len(order) * 11 // 20, len(order) * 9 // 20 + 1)]]
    distance = np.minimum(*(np.hypot(*(middling - other).T) for other in (highest, lowest)))
    reach = PLACE // 2
    square = lambda at: (slice(int(at[0]) - reach, int(at[0]) + reach + 1), slice(int(at[1]) - reach, int(at[1]) + reach + 1))
    return {"A": square(highest), "B": square(middling[np.argmax(distance)]), "C": square(lowest)}


def _methods_of(outputs: Mapping[str, Mapping[str, Any]], case: ScanCase) -> list[str]:
    if not outputs:
        raise InputError(f"{case.name}: no output to show; give those of one network or more")
    methods = list(next(iter(outputs.values())))
    for network, of in outputs.items():
        if list(of) != methods:
            raise InputError(f"{case.name}: {network} has the methods {', '.join(of)}, the first network {', '.join(methods)}")
    return methods


def _water(case: ScanCase) -> np.ndarray:
    """`[T, H, W]` bool: the water of both bottles, off its edges."""
    mask = np.any([case.region(label) for label in WATER], axis=0)
    if not mask.any():
        raise InputError(f"{case.name}: no points of water (labels 1 and 2) in it, which figure 3 measures; take a phantom")
    return mask


def _at_places(
    case: ScanCase, output: Output, masks: Mapping[str, np.ndarray], places: Mapping[str, tuple[slice, slice]]
) -> dict[str, float]:
    """Numbers of a region, and the noise SD at places if it is known."""
    found = panels.numbers(case, output, masks)
    if output.noise is not None:
        noise = panels.of_frame(output.noise, 0)
        found |= {f"noise {name}": float(noise[at].mean()) for name, at in places.items()}
    return found


def _phantom_words(found: Mapping[str, float]) -> str:
    quality = panels.words_of(found, ("SNR water", "RMSE"), {"SNR water": "SNR"})
    noise = panels.words_of(found, ("noise A", "noise B", "noise C"), {"noise A": "A", "noise B": "B", "noise C": "C"})
    return f"{quality}\nnoise SD: {noise}" if noise else quality


def _mark(axes: "Axes", places: Mapping[str, tuple[slice, slice]], values: Mapping[str, float]) -> None:
    for name, at in places.items():
        panels.outline(axes, at, "#ff3b30")
        y, x = (side.start + PLACE // 2 for side in at)
        # words beside the square that do not leave the image
        (left, right), (bottom, _) = axes.get_xlim(), axes.get_ylim()
        x = float(np.clip(x, left + 0.14 * (right - left), right - 0.14 * (right - left)))
        y += (-1.6 if y > 0.15 * bottom else 1.6) * PLACE
        panels.write(axes, x, y, f"{name} {values[name]:.2f}", in_points=True)
