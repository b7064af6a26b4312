"""Counterparts of the paper's Figures 4 and 5: real-time cine and the first pass of a bolus."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.evaluation.generalisation import HEART, RAW
from snraware_jax.evaluation.paper_figures import panels
from snraware_jax.evaluation.paper_figures.panels import TRUTH, Numbers, Output, panel
from snraware_jax.evaluation.pictures import G_MAP, INK, QUIET, Sheet, inner_bar, liveliest_line, picture_height
from snraware_jax.evaluation.scans import ScanCase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHORT = {"SNR blood pool": "SNR blood", "SNR myocardium": "myocardium"}


def figure_4(case: ScanCase, outputs: Mapping[str, Output]) -> tuple["Figure", Numbers]:
    """One real-time cine: images, SNR, what was removed beside the g-map, the heart enlarged, a line over time.

    What was removed is |raw| - |output|. Its SD over the frames, point by point, is correlated with the g-map over the body.

    Returns:
      The figure; and by method, `raw` and `noise-free` (of the truth) included: signal, SNR and fidelity of blood pool and
      myocardium, CNR, RMSE, `removed noise, correlation with g`.

    Raises:
      InputError: if the case has no blood or myocardium, or an output is not of it.
    """
    panels.check(case, outputs)
    masks = panels.regions(case, HEART)
    columns = {RAW: panels.raw(case), TRUTH: Output(case.truth), **outputs}
    found: Numbers = {name: panels.numbers(case, output, masks) for name, output in columns.items()}
    for name, output in columns.items():
        if name != RAW:
            found[name]["removed noise, correlation with g"] = removed_like_g(case, output.series)

    frame = len(case.truth) // 2
    window = panels.window_about(np.any(case.labels > 0, axis=0))
    line = window[0].start + liveliest_line(case.truth[:, window[0], window[1]])
    top = panels.white(case)
    picture = picture_height(len(columns), panels.aspect(case))
    rows = [picture, picture, picture, picture_height(len(columns), panels.aspect(case, window)), 0.8 * picture]
    gaps = [0.32, 0.1, 0.3, 0.1, 0.1]
    sheet = Sheet(rows=rows, columns=len(columns), head=0.7, gaps=gaps, dpi=panels.RESOLUTION)
    sheet.title(
        "Figure 4: real-time cine",
        f"{case.name}: {panels.scanned(case)}; frame {frame + 1}; heart enlarged; dashed line over time",
    )
    snr = {
        name: panels.snr_image(np.abs(output.series[frame]), panels.of_frame(output.noise, frame))
        for name, output in columns.items()
        if output.noise is not None
    }
    snr_top = max(10.0, *(float(np.percentile(image, 99.5)) for image in snr.values()))
    removed = {name: np.abs(case.noisy[frame]) - np.abs(output.series[frame]) for name, output in columns.items()}
    largest = 3 * float(np.std(removed[TRUTH])) or 1.0
    for column, (name, output) in enumerate(columns.items()):
        image = np.abs(output.series)
        panel(sheet, 0, column, image[frame], (0, top), title=name, below=_heart_words(found[name]))
        if name in snr:
            shown = panel(sheet, 1, column, snr[name], (1, snr_top), colours="magma", tag=f"SNR, {name}", logarithmic=True)
            if name == RAW:
                panels.snr_bar(sheet.axes(1, 0), shown)
        else:
            panels.note(
                sheet.axes(1, column),
                "SNR: magnitude /\nnoise SD, one\nlogarithmic scale" if name == TRUTH else "noise not measured",
            )
        if name == RAW:
            panels.show_g_map(sheet, 2, 0, case.g_map)
        else:
            words = f"correlation with g {found[name]['removed noise, correlation with g']:.2f}"
            panel(sheet, 2, column, removed[name], (-largest, largest), below=words, tag=f"raw - {name}")
        panel(sheet, 3, column, image[frame][window], (0, top))
        panel(sheet, 4, column, image[:, line, window[1]], (0, top))
    panels.outline(sheet.axes(0, 0), window)
    across = (window[1].start, window[1].stop - 1)
    sheet.axes(0, 0).plot(across, (line, line), color="#ffd33d", linewidth=0.8, linestyle=(0, (5, 3)))
    panels.write(sheet.axes(2, 0), 0.02, 0.97, "g-map")
    panels.write(sheet.axes(4, 0), 0.02, 0.97, "time downwards")
    return sheet.figure, found


def removed_like_g(case: ScanCase, series: np.ndarray) -> float:
    """Correlation over the body of the g-map with the SD over frames of |noisy| - |series|; 0 if nothing was removed."""
    removed = np.std(np.abs(case.noisy) - np.abs(series), axis=0)[panels.body(case)]
    g = np.asarray(case.g_map)[panels.body(case)]
    if not (np.std(removed) and np.std(g)):
        return 0.0
    return float(np.corrcoef(removed, g)[0, 1])


class Passage(NamedTuple):
    """The passage of a bolus through the heart.

    Attributes:
      frames: by what is shown: "before the bolus", "right ventricle", "left ventricle", "myocardium".
      masks: `[T, H, W]` bool of "right ventricle", "left ventricle" and "myocardium".
    """

    frames: Mapping[str, int]
    masks: Mapping[str, np.ndarray]


def passage(case: ScanCase) -> Passage:
    """Finds the frames from the truth: where blood is darkest, where each ventricle is brightest over the other, then myocardium.

    The ventricles, one label, are told apart by when the bolus reaches each point of blood.

    Raises:
      InputError: if there is no blood or myocardium, or the bolus comes to all blood at once.
    """
    masks = panels.regions(case, HEART)
    right, left = (masks["blood pool"] & chamber for chamber in _chambers(case))
    if not (right.any() and left.any()):
        raise InputError(
            f"{case.name}: a ventricle has no points off its edge; figure 5 needs a slice of both, take another case"
        )
    found = {"right ventricle": right, "left ventricle": left, "myocardium": masks["myocardium"]}
    r, lv, myocardium = (mean_curve(case.truth, mask) for mask in found.values())
    peak = int(np.nanargmax(lv))
    frames = {
        "before the bolus": int(np.nanargmin((r + lv)[: int(np.nanargmax(r)) + 1])),
        "right ventricle": int(np.nanargmax(r - lv)),
        "left ventricle": peak,
        "myocardium": peak + int(np.argmax(np.nan_to_num(myocardium[peak:]))),
    }
    return Passage(frames, found)


def _chambers(case: ScanCase) -> tuple[np.ndarray, np.ndarray]:
    """Points `[H, W]` that are blood in nearly all frames, those that the bolus reaches early and those that it reaches late."""
    steady = np.mean(case.labels == HEART["blood pool"], axis=0) > 0.8
    curves = np.abs(case.truth[:, steady])
    if curves.size:
        least = curves.min(axis=0)
        arrival = np.argmax(curves >= (least + curves.max(axis=0)) / 2, axis=0)
        early, late = np.percentile(arrival, (5, 95))
        if late - early >= 2:
            chambers = np.zeros((2, *steady.shape), bool)
            chambers[0, steady] = arrival <= (early + late) / 2
            chambers[1, steady] = arrival > (early + late) / 2
            return chambers[0], chambers[1]
    raise InputError(f"{case.name}: one ventricle only, or no bolus in it; figure 5 needs a slice of both, take another case")


def mean_curve(series: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`[T]` mean magnitude of a region in every frame; NaN where it has no points."""
    count = mask.sum(axis=(1, 2))
    total = np.where(mask, np.abs(series), 0).sum(axis=(1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def figure_5(case: ScanCase, outputs: Mapping[str, Output]) -> tuple["Figure", Numbers]:
    """One first pass: four frames of the bolus by method, the g-map, and mean signal of ventricles and myocardium over the frames.

    Returns:
      The figure; and `frames` by what they show, counted from 1; by method the numbers of blood pool and myocardium over all frames,
      and `curve error NAME`, the RMS difference of a region's curve from that of the truth over the latter's range.

    Raises:
      InputError: as `passage`, or if an output is not of the case.
    """
    panels.check(case, outputs)
    found_passage = passage(case)
    masks = panels.regions(case, HEART)
    columns = {RAW: panels.raw(case), TRUTH: Output(case.truth), **outputs}
    found: Numbers = {"frames": {name: frame + 1 for name, frame in found_passage.frames.items()}}
    curves = {name: {m: mean_curve(o.series, mask) for m, o in columns.items()} for name, mask in found_passage.masks.items()}
    for method, output in columns.items():
        found[method] = panels.numbers(case, output, masks)
        found[method] |= {f"curve error {name}": _curve_error(of[method], of[TRUTH]) for name, of in curves.items()}

    top, window = panels.white(case), panels.window_about(np.any(case.labels > 0, axis=0), margin=0.35)
    rows = [picture_height(len(columns), panels.aspect(case, window))] * len(found_passage.frames) + [2.3]
    sheet = Sheet(
        rows=rows,
        columns=[len(columns)] * len(found_passage.frames) + [4],
        head=0.7,
        gaps=[0.1] * (len(rows) - 2) + [0.55, 0.4],
        dpi=panels.RESOLUTION,
    )
    sheet.title("Figure 5: myocardial perfusion", f"{case.name}: {panels.scanned(case)}; part around the heart")
    last = len(found_passage.frames) - 1
    for row, (moment, frame) in enumerate(found_passage.frames.items()):
        for column, (method, output) in enumerate(columns.items()):
            title, below = method if not row else "", _heart_words(found[method]) if row == last else ""
            tag = f"{moment}, frame {frame + 1}" if not column else ""
            panel(sheet, row, column, np.abs(output.series[frame][window]), (0, top), title=title, below=below, tag=tag)
    g_axes = sheet.axes(last + 1, 0)
    shown = g_axes.imshow(case.g_map, cmap=G_MAP, vmin=0, interpolation="nearest")
    g_axes.set_aspect(panels.aspect(case) * case.g_map.shape[1] / case.g_map.shape[0])
    inner_bar(g_axes, shown)
    g_axes.set_title("g-map", fontsize=10, color=INK, pad=4)
    panels.outline(g_axes, window)
    for column, (name, of_methods) in enumerate(curves.items(), 1):
        axes = sheet.chart(last + 1, column)
        _curves(axes, name, of_methods)
    sheet.figure.legend(*axes.get_legend_handles_labels(), ncols=len(columns), loc="lower center", fontsize=9, frameon=False)
    return sheet.figure, found


def _heart_words(found: Mapping[str, float]) -> str:
    names = ("SNR blood pool", "SNR myocardium") if "SNR blood pool" in found else ("RMSE",)
    return panels.words_of(found, names, SHORT) if found["RMSE"] else ""


def _curve_error(curve: np.ndarray, truth: np.ndarray) -> float:
    extent = float(np.nanmax(truth) - np.nanmin(truth))
    return float(np.sqrt(np.nanmean((curve - truth) ** 2))) / extent if extent else 0.0


def _curves(axes: "Axes", name: str, curves: Mapping[str, np.ndarray]) -> None:
    colours = iter(panels.COLOURS * (1 + len(curves) // len(panels.COLOURS)))
    for method, curve in curves.items():
        # the widest below, the dots on top: they often lie on each other
        style = {RAW: {"color": "#afb8c1", "lw": 2.6}, TRUTH: {"color": "black", "ls": ":", "lw": 1.4, "zorder": 5}}.get(method)
        axes.plot(np.arange(1, len(curve) + 1), curve, label=method, **(style or {"color": next(colours), "lw": 1.1}))
    axes.set_title(f"mean magnitude, {name}", fontsize=10, color=INK)
    axes.set_xlabel("frame", fontsize=9, color=QUIET)
    axes.set_ylim(bottom=0)
