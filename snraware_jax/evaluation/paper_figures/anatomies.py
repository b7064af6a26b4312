"""The counterpart of the paper's Figure 6: brain and spine, of which training sees nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.evaluation.generalisation import RAW
from snraware_jax.evaluation.paper_figures import panels
from snraware_jax.evaluation.paper_figures.panels import TRUTH, Numbers, Output, number, panel
from snraware_jax.evaluation.pictures import INK, QUIET, Sheet, picture_height
from snraware_jax.evaluation.scans import ScanCase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BRAIN = {"grey matter": 1, "white matter": 2}  # labels of the simulator
SPINE = {"cerebrospinal fluid": 1, "cord": 2, "vertebrae": 3, "discs": 4}
SHORT = {"cerebrospinal fluid": "fluid", "grey matter": "grey", "white matter": "white"}


def figure_6(
    mprage: ScanCase, spine: ScanCase, mprage_output: Output, spine_output: Output, method: str = "proposed"
) -> tuple["Figure", Numbers]:
    """Brain and spine before and after, enlarged too; intensities of tissues before and after, which the network may not change.

    Args:
      mprage, spine: a volume with grey and white matter, and a slice with the spine's labels.
      mprage_output, spine_output: what one method made of them.
      method: its name.

    Returns:
      The figure; and by "brain" and "spine", of `raw`, the method and `noise-free`: signal, SNR and fidelity of every tissue, RMSE;
      of the brain also `contrast`, white over grey matter.

    Raises:
      InputError: naming the case that has no points of a tissue, or whose output is not its own.
    """
    cases = {"brain": (mprage, mprage_output, BRAIN), "spine": (spine, spine_output, SPINE)}
    heights = [picture_height(4, panels.aspect(mprage)), picture_height(4, panels.aspect(spine)), 2.6]
    sheet = Sheet(rows=heights, columns=[4, 4, 3], head=0.95, gaps=[0.85, 0.55, 0.1], dpi=panels.RESOLUTION)
    sheet.title("Figure 6: other anatomies", f"{mprage.name} and {spine.name}, simulated; SNR and intensities of what is shown")
    found: Numbers = {}
    for row, (part, (case, output, labels)) in enumerate(cases.items()):
        panels.check(case, {method: output})
        shown, masks = _shown(case, panels.regions(case, labels))
        columns = {RAW: panels.raw(case), method: output, TRUTH: Output(case.truth)}
        found[part] = {name: panels.numbers(case, one, masks) for name, one in columns.items()}
        for numbers in found[part].values():
            numbers.pop("CNR", None)
            if part == "brain":
                numbers["contrast"] = numbers["signal white matter"] / numbers["signal grey matter"]
        _before_after(sheet, row, case, columns, found[part], shown, method)
        _intensities(sheet.chart(2, row + 1), f"{part}: mean magnitude, SD over points", columns, masks)
        if part == "brain":
            _histograms(sheet.chart(2, 0), {RAW: case.noisy, method: output.series}, masks)
    return sheet.figure, found


def _shown(case: ScanCase, masks: Mapping[str, np.ndarray]) -> tuple[int, dict[str, np.ndarray]]:
    """The slice with the most signal in all regions together, and the regions in it alone: at its ends a slab has little signal."""
    signal = np.where(np.any(list(masks.values()), axis=0), np.abs(case.truth), 0).sum(axis=(1, 2))
    complete = np.all([mask.any(axis=(1, 2)) for mask in masks.values()], axis=0)
    if not complete.any():
        raise InputError(f"{case.name}: no slice of it has all of {', '.join(masks)}; take another case")
    number_of = int(np.argmax(np.where(complete, signal, -1)))
    in_slice = (np.arange(len(case.truth)) == number_of)[:, None, None]
    return number_of, {name: mask & in_slice for name, mask in masks.items()}


def _before_after(
    sheet: Sheet,
    row: int,
    case: ScanCase,
    columns: Mapping[str, Output],
    found: Mapping[str, Mapping[str, float]],
    shown: int,
    method: str,
) -> None:
    """Four images of a slice: before and after, whole and enlarged."""
    window = panels.busiest_window(case.labels[shown], 0.35)
    which = f", no. {shown + 1} shown" if len(case.labels) > 1 else ""
    sheet.heading(row, f"({'ab'[row]}) {case.name}: {panels.scanned(case)}{which}", 0.42)
    # a brain shall not be lost in its bright parts, a spine not in the dark far from its coils
    labelled = np.abs(case.truth[shown][case.labels[shown] > 0])
    top = float(np.percentile(labelled, 99.8 if len(case.labels) > 1 else 98)) or 1.0
    for column, name in enumerate((RAW, method)):
        image = np.abs(columns[name].series[shown])
        snr = [key for key in found[name] if key.startswith("SNR ")]
        below = panels.words_of(found[name], snr, {key: SHORT.get(key[4:], key[4:]) for key in snr})
        below = f"SNR {below}" if below else f"RMSE {number(found[name]['RMSE'])}"
        panel(sheet, row, column, image, (0, top), title=name, below=below)
        panels.outline(sheet.axes(row, column), window)
        panel(sheet, row, 2 + column, image[window], (0, top), title=f"{name}, enlarged")


def _intensities(axes: "Axes", title: str, columns: Mapping[str, Output], masks: Mapping[str, np.ndarray]) -> None:
    """Bars of the mean magnitude of every region, with the SD over its points."""
    colours = ("#8c959f", panels.COLOURS[0], "#d0d7de")
    for index, ((name, output), colour) in enumerate(zip(columns.items(), colours, strict=True)):
        values = [np.abs(output.series)[mask] for mask in masks.values()]
        places = np.arange(len(values)) + (index - 1) * 0.27
        means, spread = [float(v.mean()) for v in values], [float(v.std()) for v in values]
        axes.bar(places, means, 0.25, yerr=spread, color=colour, ecolor=QUIET, label=name, error_kw={"linewidth": 0.8})
    axes.set_xticks(range(len(masks)), [name.replace(" ", "\n") for name in masks])
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_axisbelow(True)
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.legend(fontsize=7, frameon=False, labelcolor=INK, ncols=3, loc="upper center")


def _histograms(axes: "Axes", series: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> None:
    """Distributions of the magnitude in every region, before and after."""
    values = {(name, region): np.abs(one)[mask] for name, one in series.items() for region, mask in masks.items()}
    edges = np.linspace(0, max(float(np.percentile(v, 99.8)) for v in values.values()), 80)
    styles = dict(zip(series, ("--", "-"), strict=True))
    colours = dict(zip(masks, panels.COLOURS, strict=False))
    for (name, region), v in values.items():
        label = f"{region}, {name}: {number(float(v.mean()))}"
        axes.hist(v, edges.tolist(), density=True, histtype="step", linestyle=styles[name], color=colours[region], label=label)
    axes.set_title("brain: intensities", fontsize=10, color=INK)
    axes.set_xlabel("magnitude", fontsize=9, color=QUIET)
    axes.set_yticks([])
    axes.legend(fontsize=7, frameon=False, labelcolor=INK)
