"""Noise of a patch beside that of its series: section 18 of docs/physics.md."""

import dataclasses

import jax
import numpy as np

from data_pipeline import simulator
from docs.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Drawn,
    bar,
    curve,
    drawn,
    plain,
    sheet,
    show_g,
    show_ratio,
    titled,
)
from snraware_jax.noise import PRESETS, response
from snraware_jax.noise.response import Filters
from snraware_jax.noise.sampling import draw
from snraware_jax.noise.synthesis import deviation

SERIES, PATCH, TAPER = (192, 144), 64, 10
PAPER = PRESETS["paper"]
COLOURS = {4: ORANGE, 8: BLUE, 16: GREEN}  # by margin


@drawn
def noise_of_patches() -> Drawn:
    """Correlation of filtered noise on windows against that on the whole axis, and SD of amplified and filtered noise."""
    errors, cut = correlation_errors()
    made = simulator.training_sample(0, 3, simulator.Settings(matrix=SERIES, frames=2, coils=12, fov_mm=(360.0, 270.0), fine=2))
    g_map, start = made.gmaps[2], (64, 40)
    of_sd = {margin: sd_errors(made.gmaps, margin) for margin in COLOURS}
    ratio = one_ratio(g_map, start)

    figure = sheet(2.9)
    first, second, third, fourth = figure.subplots(1, 4, width_ratios=(1.3, 1.3, 1, 1))
    distance, harsh = np.arange(PATCH), Filters(0.8, 1.0, False, 0.55)
    whole = correlation(np.asarray(response.full(SERIES[0], harsh, TAPER)))
    window = correlation(np.asarray(response.window(SERIES[0], PATCH + 16, harsh, TAPER)))
    curve(first, distance, whole.real, "-", "black", "whole axis, N = 192")
    curve(first, distance, window.real, "--", BLUE, "window, K = 80")
    first.set_ylim(-0.3, 1)
    plain(first, "correlation, one filter", "distance", "", key="upper right")
    for margin, colour in COLOURS.items():
        curve(second, distance, errors[margin].max(axis=0), "-", colour, f"window, margin {margin}")
    curve(second, distance, cut.max(axis=0), ":", RED, "point spread cut at 8")
    second.set_ylim(0, 0.19)
    plain(second, "largest error, 250 filters", "distance", "", key="upper left")
    show_g(third, g_map, "g, R = 4; patch")
    third.add_patch(rectangle(start))
    show_ratio(fourth, ratio, "SD over that of the series", 0.05)
    bar(figure, fourth, "", shrink=0.7)
    near = errors[8][:, : (PATCH + 16) // 2].max()
    found = {f"sd_95_margin_{margin}": float(np.quantile(of_sd[margin], 0.95)) for margin in COLOURS}
    return titled(
        figure,
        "Noise of a patch: amplified and filtered on a window of K = patch + 2 margins, with the response of the whole axis",
        f"correlation within {near:.3f} up to K/2, {errors[8].max():.3f} beyond (margin 8; point spread cut at 8: {cut.max():.3f}); "
        f"SD, g then filter: within {np.median(of_sd[8]):.4f} (median) and {found['sd_95_margin_8']:.4f} (95 %), R = 4 to 8",
        near=float(near), far=float(errors[8].max()), cut=float(cut.max()), sd_median=float(np.median(of_sd[8])), **found,
    )  # fmt: skip


def correlation(f: np.ndarray, distances: int = PATCH) -> np.ndarray:
    """Of unit white noise filtered with f (DC first)."""
    return np.fft.ifft(np.abs(f.astype(float)) ** 2, axis=-1)[..., :distances]


def correlation_errors() -> tuple[dict[int, np.ndarray], np.ndarray]:
    """By margin `[filters, distance]`, of every combination of the paper's filters; and of point spreads cut at 8 and rescaled."""
    ratios, sides = PAPER.partial_fourier_ratios, (0.0, 1.0)
    chosen = np.array(
        [(g, p, s, r) for g in PAPER.gaussian_sigmas for p in ratios for s in sides for r in PAPER.resolution_ratios]
    )
    filters = lambda row: Filters(row[0], row[1], row[2] > 0, row[3])
    whole = np.asarray(jax.vmap(lambda row: response.full(SERIES[0], filters(row), TAPER))(chosen), float)
    expected = correlation(whole)
    errors = {}
    for margin in COLOURS:
        points = PATCH + 2 * margin
        made = jax.vmap(lambda row, points=points: response.window(SERIES[0], points, filters(row), TAPER))(chosen)
        errors[margin] = np.abs(correlation(np.asarray(made)) - expected)
    spread = np.fft.ifft(whole, axis=1)
    far = np.minimum(np.arange(SERIES[0]), SERIES[0] - np.arange(SERIES[0])) > 8
    spread[:, far] = 0
    power = np.abs(np.fft.fft(spread, axis=1)) ** 2
    return errors, np.abs(correlation(np.sqrt(power / power.mean(axis=1, keepdims=True))) - expected)


def sd_errors(g_maps: np.ndarray, margin: int, count: int = 40) -> np.ndarray:
    """|SD of a patch / SD of the series there - 1| of random filters, patches and g-maps of R = 4, 6 and 8."""
    rng = np.random.default_rng(0)
    settings = dataclasses.replace(PAPER, margin=margin)
    of_patch = jax.jit(lambda g, d: deviation(g, d, settings, (1, PATCH, PATCH), (1, *SERIES)))
    of_series = jax.jit(lambda g, d: deviation(g, d, settings, (1, *SERIES)))
    errors = []
    for number in range(count):
        choices = draw(jax.random.key(number), settings, 7)
        g_map = g_maps[(2, 4, 6)[number % 3]]
        h, w = (int(rng.integers(n - PATCH + 1)) for n in SERIES)
        around = np.pad(g_map, margin, mode="edge")[h : h + PATCH + 2 * margin, w : w + PATCH + 2 * margin]
        whole = np.asarray(of_series(g_map, choices))[h : h + PATCH, w : w + PATCH]
        errors.append(np.abs(np.asarray(of_patch(around, choices)) / whole - 1))
    return np.array(errors)


def one_ratio(g_map: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """SD of one patch over that of the series there, with the filters of key 3."""
    (h, w), margin = start, PAPER.margin
    choices = draw(jax.random.key(3), PAPER, 7)
    window = g_map[h - margin : h + PATCH + margin, w - margin : w + PATCH + margin]
    whole = np.asarray(deviation(g_map, choices, PAPER, (1, *SERIES)))
    patch = np.asarray(deviation(window, choices, PAPER, (1, PATCH, PATCH), (1, *SERIES)))
    return patch / whole[h : h + PATCH, w : w + PATCH]


def rectangle(start: tuple[int, int]):
    from matplotlib.patches import Rectangle

    return Rectangle((start[1], start[0]), PATCH, PATCH, fill=False, edgecolor=GREY, linewidth=1.2)
