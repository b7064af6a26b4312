"""What the report shows of one series: panels, cines, charts and figures, and what is absent."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from snraware_jax.evaluation import residual_curves
from snraware_jax.evaluation.in_distribution import moving_pixels
from snraware_jax.evaluation.pictures import ERROR_MAP, G_MAP, liveliest_line
from snraware_jax.evaluation.report_pictures import Draw, Panel, curves
from snraware_jax.evaluation.results import Entry
from snraware_jax.progress import format_figure

GREY, SIGNED_MAP = "gray", "PuOr"
COLOUR_MAPS = (GREY, SIGNED_MAP, ERROR_MAP, G_MAP)
MOST_POINTS = 512  # of a side of a picture
MOST_NAMES = 8  # in a warning
LOUD = 1.1  # SD of residual over g above which something other than the noise was removed


class Chart(NamedTuple):
    """Curves, and their numbers by column for a CSV file."""

    key: str
    title: str
    draw: Draw
    x: str
    y: str
    note: str
    numbers: Mapping[str, np.ndarray]


class View(NamedTuple):
    """A series with what its pictures share.

    Attributes:
      entry: the series.
      frame: the one that is shown.
      line: the row of profiles, where the most moves.
      point: the column on that row that moves most.
      top: the end of the grey scale.
      step: every so many-th pixel is shown.
      residual: (noisy - denoised) / g.
    """

    entry: Entry
    frame: int
    line: int
    point: int
    top: float
    step: int
    residual: np.ndarray


def view(entry: Entry) -> View:
    """Chooses what to show of a series."""
    frames, height, width = entry.noisy.shape
    shown = entry.denoised if entry.reference is None else entry.reference
    line = liveliest_line(shown)
    point = int(np.argmax(np.std(shown[:, line], axis=0))) if moving_pixels(shown) is not None else width // 2
    residual = residual_curves.over_g(entry.noisy - entry.denoised, entry.g_map)
    return View(entry, frames // 2, line, point, _top(np.abs(shown)), -(-max(height, width) // MOST_POINTS), residual)


def images(of: View) -> list[Panel]:
    """Noisy, denoised, reference, difference of the middle frame, on one grey scale but for the difference."""
    entry = of.entry
    panels = [_grey(of, name, np.abs(series[of.frame])) for name, series in _series(entry).items()]
    if entry.reference is not None:
        error = np.abs(entry.denoised - entry.reference)
        note = (
            "|denoised − reference|, complex, on a scale of its own. Noise that is left and detail that is lost are both in it."
        )
        panels.append(_panel(of, "difference", "Difference", error[of.frame], ERROR_MAP, (0, _top(error)), "SNR units", note))
    return panels


def noise(of: View) -> list[Panel]:
    """Residual over g, g-map, SNR before and after, noise map of the middle frame."""
    entry = of.entry
    g_map = entry.g_map if entry.g_map.ndim == 2 else entry.g_map[of.frame]
    in_phase = (of.residual[of.frame] * np.exp(-1j * np.angle(entry.denoised[of.frame]))).real
    note = "(noisy − denoised) / g, the part in phase with the output. Anatomy in it has been removed from the image."
    panels = [_panel(of, "residual", "Residual / g", in_phase, SIGNED_MAP, (-4, 4), "SD of unit noise", note)]
    note = "Noise SD of the noisy series, as the reconstruction says."
    panels.append(_panel(of, "g_map", "g-map", g_map, G_MAP, (0, _top(entry.g_map)), "SD per component", note))
    note = "|noisy| / g. Noise alone has 1.25 here, not 0."
    before = _ratio(np.abs(entry.noisy[of.frame]), g_map)
    panels.append(_panel(of, "snr_before", "SNR before", before, GREY, (0, _top(before)), "SNR", note))
    if entry.noise_map is not None:
        after = _ratio(np.abs(entry.denoised[of.frame]), entry.noise_map[of.frame])
        note = "|denoised| / noise map. Blur and bias do not lower it."
        panels.append(_panel(of, "snr_after", "SNR after", after, GREY, (0, _top(after)), "SNR", note))
        note = "Noise SD of the output, to first order or by replicas. It says nothing about what was smoothed away."
        level = entry.noise_map[of.frame]
        panels.append(_panel(of, "noise_map", "Noise map", level, G_MAP, (0, _top(entry.noise_map)), "SD per component", note))
    return panels


def profiles_over_time(of: View) -> list[Panel]:
    """Magnitude along the marked row (x) against the frame (downwards); none of a single frame."""
    if len(of.entry.noisy) == 1:
        return []
    return [_grey(of, name, np.abs(series[:, of.line])) for name, series in _series(of.entry).items()]


def line_profiles(of: View) -> list[Chart]:
    """Magnitude along the marked row, and over time at the point of that row that moves most."""
    rows = {name: np.abs(series[of.frame, of.line]) for name, series in _series(of.entry).items()}
    note = f"Along row {of.line + 1}, frame {of.frame + 1}. Edges of the output should be as steep as those of the reference."
    charts = [_profile("profile_x", "Along the row", rows, "column", note)]
    if len(of.entry.noisy) > 1:
        times = {name: np.abs(series[:, of.line, of.point]) for name, series in _series(of.entry).items()}
        note = f"At row {of.line + 1}, column {of.point + 1}, where it moves most. Flat curves there are motion that was smoothed away."
        charts.append(_profile("profile_t", "Over frames, at one point", times, "frame", note))
    return charts


def noise_sheet(of: View) -> list[Chart]:
    """Histogram, radial spectrum and autocorrelation of residual / g, against unit noise and, with a reference, the noise itself."""
    true = None
    if of.entry.reference is not None:
        true = residual_curves.over_g(of.entry.noisy - of.entry.reference, of.entry.g_map)
    return [_histogram(of.residual, true), _spectrum(of.residual, true), _autocorrelation(of.residual, true)]


def figures(of: View) -> dict[str, str]:
    """Figures of a series in words, by name."""
    entry = of.entry
    frames, height, width = entry.noisy.shape
    found = {"Size": f"{height} x {width}, {frames} frame{'s' if frames > 1 else ''}"}
    if entry.reference is not None:
        # as in `metrics`, but in NumPy: a report must not take the memory of a GPU that trains
        before, after = (
            np.sqrt(np.mean(np.abs(series - entry.reference) ** 2) / 2) for series in (entry.noisy, entry.denoised)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = 20 * np.log10(before / after)
        found["Gain, complex squared error"] = f"{gain:.2f} dB over the noisy input"
        found["Error, RMS per component"] = f"{format_figure(before)} before, {format_figure(after)} after"
    known = entry.g_map[entry.g_map > 0]
    found["g-factor"] = f"median {np.median(known):.2f}, largest {known.max():.2f}"
    real, imaginary = residual_curves.sd(of.residual)
    found["SD of residual / g"] = f"{real:.2f} real, {imaginary:.2f} imaginary"
    if entry.noise_map is not None:
        left = _ratio(entry.noise_map, np.broadcast_to(entry.g_map, entry.noisy.shape))
        found["Noise left, noise map / g"] = f"median {np.nanmedian(left):.3f}"
    return found


def absent(of: View) -> list[str]:
    """What cannot be shown of a series, and why."""
    entry, lines = of.entry, []
    if entry.reference is None:
        lines.append("No reference: reference, difference, gain and the noise itself are left out.")
    if entry.noise_map is None:
        lines.append("No noise map: SNR after and noise map are left out.")
    if len(entry.noisy) == 1:
        lines.append("One frame: cine and profiles over time are left out.")
    if of.step > 1:
        lines.append(f"Large images: one pixel in {of.step} along each side is shown; figures and curves are of all.")
    return lines


def suspicions(loudness: Mapping[str, float]) -> list[str]:
    """What a reader has to know before believing the pictures, from the SD of residual / g by series."""
    loud = {name: value for name, value in loudness.items() if value > LOUD}
    if not loud:
        return []
    names = [f"{name} ({value:.2f})" for name, value in sorted(loud.items(), key=lambda item: -item[1])]
    rest = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return [
        f"Residual / g has an SD above {LOUD} per component, more than noise of SD 1, in {len(names)} of {len(loudness)} series: "
        f"{', '.join(names[:MOST_NAMES])}{rest}. There signal was removed, or the g-map is not that of the noise."
    ]


def _series(entry: Entry) -> dict[str, np.ndarray]:
    known = {"Noisy": entry.noisy, "Denoised": entry.denoised, "Reference": entry.reference}
    return {name: series for name, series in known.items() if series is not None}


def _grey(of: View, title: str, values: np.ndarray) -> Panel:
    return _panel(of, title.lower(), title, values, GREY, (0, of.top), "SNR units")


def _panel(
    of: View, key: str, title: str, values: np.ndarray, colours: str, ends: tuple[float, float], unit: str, note: str = ""
) -> Panel:
    return Panel(key, title, values[:: of.step, :: of.step], colours, *ends, unit, note)


def _top(values: np.ndarray) -> float:
    """The end of a scale: all but the largest 0.3 % of the values fit."""
    known = values[np.isfinite(values)]
    return float(np.percentile(known, 99.7)) or float(known.max()) or 1.0


def _ratio(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Their ratio; NaN where `by` is 0."""
    return np.divide(values, by, out=np.full(values.shape, np.nan, np.float32), where=by > 0)


COLOURS = {"Noisy": ("faint", "-"), "Denoised": ("first", "-"), "Reference": ("second", "--")}


def _profile(key: str, title: str, values: Mapping[str, np.ndarray], x: str, note: str) -> Chart:
    places = np.arange(1, 1 + len(next(iter(values.values()))))
    lines = {name.lower(): (places, curve, *COLOURS[name]) for name, curve in values.items()}
    numbers = {x: places} | {name.lower(): curve for name, curve in values.items()}
    return Chart(key, title, curves(lines), x, "magnitude, SNR units", note, numbers)


def _histogram(residual: np.ndarray, true: np.ndarray | None) -> Chart:
    edges = residual_curves.EDGES
    centres = (edges[1:] + edges[:-1]) / 2
    normal = np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi)
    real, imaginary = residual_curves.histogram(residual)
    lines = {"real": (centres, real, "first", "-"), "imaginary": (centres, imaginary, "third", "-")}
    if not np.imag(residual)[np.isfinite(residual)].any():
        del lines["imaginary"]  # a magnitude series
    numbers = {"value": centres, "real": real, "imaginary": imaginary, "unit_normal": normal}
    if true is not None:
        numbers["noise"] = residual_curves.histogram(true).mean(axis=0)
        lines["noise itself"] = (centres, numbers["noise"], "second", "--")
    lines["unit normal"] = (centres, normal, "faint", ":")

    def draw(axes, theme) -> None:
        visible = {label: (x, np.where(y > 0, y, np.nan), colour, style) for label, (x, y, colour, style) in lines.items()}
        curves(visible)(axes, theme)
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_ylim(1e-5, 8)

    outside = residual_curves.beyond(residual)
    note = (
        "Residual / g should be no wider than the unit normal, and narrower where the denoiser keeps noise: SD 1 is not required. "
        f"Tails are structure that was removed; {outside} of {2 * np.count_nonzero(np.isfinite(residual))} values lie beyond 5 SD."
    )
    return Chart("histogram", "Histogram of residual / g", draw, "residual / g", "density", note, numbers)


def _spectrum(residual: np.ndarray, true: np.ndarray | None) -> Chart:
    frequency, power = residual_curves.radial_spectrum(residual)
    lines = {"residual / g": (frequency, power, "first", "-")}
    numbers = {"cycles_per_pixel": frequency, "residual": power}
    if true is not None:
        numbers["noise"] = residual_curves.radial_spectrum(true)[1]
        lines["noise itself"] = (frequency, numbers["noise"], "second", "--")
    lines["white unit noise"] = (frequency, np.ones_like(frequency), "faint", ":")

    def draw(axes, theme) -> None:
        curves(lines)(axes, theme)
        axes.set_xlim(0, 0.5)
        axes.set_yscale("log")
        axes.minorticks_off()
        every = np.concatenate([y for _, y, *_ in lines.values()])
        axes.set_ylim(max(1e-3, min(0.1, 0.5 * every.min())), 5 * max(2.0, every.max()))

    note = (
        "Below the noise at low frequencies: noise is kept there with the signal. Above it: signal was removed. It need not be flat "
        + (
            "where the noise is coloured; the noise itself is the measure."
            if true is not None
            else "where the noise is coloured."
        )
    )
    return Chart(
        "spectrum", "Radial power spectrum of residual / g", draw, "cycles per pixel", "power per component", note, numbers
    )


def _autocorrelation(residual: np.ndarray, true: np.ndarray | None) -> Chart:
    lags = np.arange(residual_curves.LAGS + 1)
    numbers: dict[str, np.ndarray] = {"lag": lags}
    lines = {}
    of_true = None if true is None else residual_curves.autocorrelation(true)
    for axis, (name, colour) in enumerate({"frames": "third", "rows": "first", "columns": "second"}.items()):
        curve = residual_curves.autocorrelation(residual)[axis]
        if np.isfinite(curve[1:]).any():
            numbers[name] = curve
            lines[f"along {name}"] = (lags, curve, colour, "o-")
            if of_true is not None:
                numbers[f"noise_{name}"] = of_true[axis]
                lines["_" + name] = (lags, of_true[axis], colour, ":")
    note = "0 from lag 1 on if noise and denoiser are white; not required where the noise is coloured. " + (
        "Dotted: the noise itself." if true is not None else "Negative at lag 1: the denoiser smooths."
    )
    return Chart(
        "autocorrelation", "Autocorrelation of residual / g", curves(lines), "lag, samples", "correlation", note, numbers
    )
