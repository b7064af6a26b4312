"""The counterpart of the paper's Figure 1: how a noisy sample of a training is made, and four of one series."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.evaluation.paper_figures.panels import RESOLUTION, number, panel, snr_bar
from snraware_jax.evaluation.pictures import G_MAP, Sheet, inner_bar, picture_height
from snraware_jax.evaluation.residuals import moments
from snraware_jax.noise import NoiseSettings
from snraware_jax.noise.pairs import realise
from snraware_jax.noise.sampling import Draw, draw
from snraware_jax.noise.synthesis import noise_scale, responses, synthesise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARES = (0.02, 0.04, 0.08, 0.16)  # of the signal in the disc: sigma, as far as the settings allow it
EXAMPLE = 2  # of the four, whose making is shown
RADIUS = 0.04  # of the image's shorter side


class Sample(NamedTuple):
    """One noisy sample: `[T, H, W]` noisy and clean in units of its noise, `[H, W]` g-map, what was drawn, sigma, acceleration."""

    noisy: np.ndarray
    clean: np.ndarray
    g_map: np.ndarray
    choices: Draw
    sigma: float
    acceleration: int


class Steps(NamedTuple):
    """How the noise of a sample was made, `[T, H, W]` each in units of sigma: white, times g, filtered; the filter `[H, W]`."""

    white: np.ndarray
    amplified: np.ndarray
    filtered: np.ndarray
    response: np.ndarray


def figure_1(
    clean: np.ndarray,
    g_maps: np.ndarray,
    settings: NoiseSettings,
    key: Array,
    *,
    native_noise: float = 1.0,
    accelerations: Sequence[int] = (2, 3, 4, 5, 6, 7, 8),
    pixel_aspect: float = 1.0,
) -> tuple["Figure", dict[str, Any]]:
    """(a) From g-maps and white noise to a noisy sample; (b) four samples of one series, with the SNR in a region of interest.

    sigma rises from 2 to 16 % of the signal in a disc near the middle, and with it the acceleration; all else is drawn. The SNR in the
    disc is mean magnitude over noise SD, the latter measured in noisy - clean, with the clean series' own noise if it has any.

    Args:
      clean: `[T, H, W]` complex in SNR units.
      g_maps: `[R, H, W]`, one for each of `accelerations`.
      settings: of the noise; of the paper's order.
      key: of all that is drawn.
      native_noise: noise SD of `clean`: 1, or 0 for a simulated truth.
      accelerations: of the g-maps.
      pixel_aspect: height of a pixel over its width.

    Returns:
      The figure; and its numbers: `noise` (SD, correlation of neighbours), `samples` (acceleration, sigma, SNR), `original SNR`.

    Raises:
      InputError: if shapes do not fit, or the settings have no g-map or filters, or filter before they amplify.
    """
    if g_maps.shape != (len(accelerations), *clean.shape[1:]):
        raise InputError(
            f"figure 1: series {clean.shape} and g-maps {g_maps.shape}: need [T, H, W] and [{len(accelerations)}, H, W]"
        )
    if settings.order != "g_then_filter" or not settings.filters or settings.g_maps == "ones":
        raise InputError(
            "figure 1 shows noise that g-maps amplify and filters then colour; these settings make another, take the preset paper"
        )
    keys = jax.random.split(key, len(SHARES))
    which = np.linspace(0, len(g_maps) - 1, len(SHARES)).round().astype(int)
    disc = brightest_disc(clean)
    signal = float(np.abs(clean[:, disc]).mean())
    sigmas = [float(np.clip(share * signal, settings.sigma_min, settings.sigma_max)) for share in SHARES]
    samples = [
        _sample(one, clean, g_maps, settings, native_noise, sigma, index, accelerations[index])
        for one, sigma, index in zip(keys, sigmas, which, strict=True)
    ]
    steps = _steps(keys[EXAMPLE], samples[EXAMPLE], settings, native_noise)
    found = {
        "noise": {name: _moments(getattr(steps, name)) for name in ("white", "amplified", "filtered")},
        "original SNR": signal / (native_noise or 1.0),
        "samples": [
            {
                "acceleration": one.acceleration,
                "sigma": one.sigma,
                "SNR": region_snr(one.noisy, one.clean, disc, native_noise / _scale(one, native_noise)),
            }
            for one in samples
        ],
    }
    return _draw(clean, g_maps, samples, steps, disc, found, accelerations, pixel_aspect, native_noise), found


def region_snr(noisy: np.ndarray, clean: np.ndarray, disc: np.ndarray, own_noise: float) -> float:
    """Mean magnitude of `clean` `[T, H, W]` in a region `[H, W]` over the noise SD there, per real component.

    The noise is noisy - clean, to which `own_noise`, the SD that the clean series itself has in these units, is added in squares.
    """
    added = np.mean(np.abs((noisy - clean)[:, disc]) ** 2) / 2
    return float(np.abs(clean[:, disc]).mean() / np.sqrt(added + own_noise**2))


def brightest_disc(clean: np.ndarray) -> np.ndarray:
    """`[H, W]` bool: of the discs in the middle half of the image the one whose darkest point is the brightest."""
    from scipy import ndimage

    magnitude = np.abs(clean).mean(axis=0)
    height, width = magnitude.shape
    radius = max(1.0, RADIUS * min(height, width))
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    darkest = ndimage.minimum_filter(magnitude, footprint=np.hypot(y, x) <= radius)
    top, left = height // 4, width // 4
    middle = darkest[top : height - top, left : width - left]
    row, column = np.unravel_index(np.argmax(middle), middle.shape)
    y, x = np.ogrid[:height, :width]
    return np.hypot(y - row - top, x - column - left) <= radius


def _sample(
    key: Array,
    clean: np.ndarray,
    g_maps: np.ndarray,
    settings: NoiseSettings,
    native_noise: float,
    sigma: float,
    index: int,
    acceleration: int,
) -> Sample:
    of_choices, of_noise = jax.random.split(key)
    choices = jax.jit(draw, static_argnums=(1, 2))(of_choices, settings, len(g_maps))
    choices = choices._replace(sigma=jnp.float32(sigma), g_index=jnp.int32(index))
    pair = jax.jit(realise, static_argnums=4)(of_noise, clean, g_maps, choices, settings, native_noise)
    return Sample(
        np.asarray(pair.noisy), np.asarray(pair.target), np.asarray(pair.g_map), choices, float(pair.sigma), acceleration
    )


def _scale(sample: Sample, native_noise: float) -> float:
    return float(noise_scale(sample.sigma, native_noise))


def _steps(key: Array, sample: Sample, settings: NoiseSettings, native_noise: float) -> Steps:
    """The noise of a sample, white once more from its key."""
    _, of_noise = jax.random.split(key)
    shape, choices = sample.noisy.shape, sample.choices._replace(sigma=jnp.float32(1))
    make = jax.jit(synthesise, static_argnums=(3, 4))
    white = np.asarray(make(of_noise, jnp.ones(shape[1:]), choices, replace(settings, filters=False), shape))
    filtered = (sample.noisy - sample.clean) * (_scale(sample, native_noise) / sample.sigma)
    *_, ky, kx = jax.jit(lambda choices: [f for _, f in responses(choices, settings, shape)])(choices)
    return Steps(white, white * sample.g_map, filtered, np.fft.fftshift(np.outer(ky, kx)))


def _moments(noise: np.ndarray) -> dict[str, float]:
    sd, _, along_ky, along_kx = map(float, np.asarray(jax.jit(moments)(noise)))
    return {"SD": sd, "correlation along ky": along_ky, "correlation along kx": along_kx}


def _draw(
    clean: np.ndarray,
    g_maps: np.ndarray,
    samples: Sequence[Sample],
    steps: Steps,
    disc: np.ndarray,
    found: dict[str, Any],
    accelerations: Sequence[int],
    pixel_aspect: float,
    native_noise: float,
) -> "Figure":
    frame, (height, width) = len(clean) // 2, clean.shape[1:]
    aspect = pixel_aspect * height / width
    columns = (len(g_maps), 7, 1 + len(samples), 1 + len(samples))
    rows = [picture_height(count, aspect) for count in columns]
    sheet = Sheet(rows=rows, columns=columns, head=0.95, gaps=[0.55, 0.98, 0.3, 0.3], dpi=RESOLUTION)
    own = "noise-free" if not native_noise else f"noise SD {native_noise:g}"
    sheet.title("Figure 1: training samples", f"simulated noise; clean series {len(clean)} x {height} x {width}, {own}")

    sheet.heading(0, "(a) g-maps from the calibration lines, and the noise made with one of them", 0.38)
    top = float(np.percentile(g_maps, 99))
    for column, (r, g_map) in enumerate(zip(accelerations, g_maps, strict=True)):
        median = np.median(g_map)
        shown = panel(sheet, 0, column, g_map, (0, top), colours=G_MAP, title=f"R = {r}", below=f"median g {median:.2f}")
        if not column:
            inner_bar(sheet.axes(0, 0), shown)
    _draw_steps(sheet, samples[EXAMPLE], steps, found, frame)

    sheet.heading(2, "(b) four noisy samples of one clean series, magnitude, and their SNR images: magnitude / g", 0.38)
    original = f"{'SNR' if native_noise else 'signal'} {number(found['original SNR'])} in the disc"
    snr_limits = (1.0, max(10.0, float(np.percentile(np.abs(clean), 99.7))))
    panels = [("clean", np.abs(clean[frame]), np.abs(clean[frame]) / (native_noise or 1.0), original)]
    for one, numbers in zip(samples, found["samples"], strict=True):
        magnitude = np.abs(one.noisy[frame])
        words = f"SNR {number(numbers['SNR'])} in the disc"
        panels.append((f"R = {one.acceleration}, sigma = {number(numbers['sigma'])}", magnitude, magnitude / one.g_map, words))
    for column, (title, magnitude, snr, words) in enumerate(panels):
        panel(sheet, 2, column, magnitude, (0, float(np.percentile(magnitude, 98.5))), title=title, below=words)
        sheet.axes(2, column).contour(disc, levels=[0.5], colors="#ffd33d", linewidths=0.9)
        shown = panel(sheet, 3, column, snr, snr_limits, colours="magma", logarithmic=True)
        if not column:
            snr_bar(sheet.axes(3, 0), shown)
    sheet.axes(3, 0).set_xlabel("SNR, logarithmic, one scale", fontsize=7.5, labelpad=3)
    return sheet.figure


def _draw_steps(sheet: Sheet, sample: Sample, steps: Steps, found: dict[str, Any], frame: int) -> None:
    """The second row: what becomes of white noise."""
    of = found["noise"]
    largest = 3 * of["amplified"]["SD"]

    def noise(name: str) -> str:
        ky, kx = (max(of[name][f"correlation along {axis}"], 0) for axis in ("ky", "kx"))  # no "-0.00"
        return f"SD {of[name]['SD']:.2f}\ncorrelation: ky {ky:.2f}, kx {kx:.2f}"

    panel(sheet, 1, 0, steps.white[frame].real, (-3, 3), title="white noise", below=noise("white"))
    g_top = float(np.percentile(sample.g_map, 99))
    panel(sheet, 1, 1, sample.g_map, (0, g_top), colours=G_MAP, title=f"times g, R = {sample.acceleration}", below="")
    amplified = steps.amplified[frame].real
    panel(sheet, 1, 2, amplified, (-largest, largest), title="= amplified", below=noise("amplified"))
    panel(
        sheet,
        1,
        3,
        steps.response,
        (0, float(steps.response.max())),
        title="k-space filter",
        below="response; ky down, kx across",
    )
    panel(sheet, 1, 4, steps.filtered[frame].real, (-largest, largest), title="= filtered", below=noise("filtered"))
    top = float(np.percentile(np.abs(sample.noisy[frame]), 98.5))
    panel(
        sheet,
        1,
        5,
        np.abs(sample.clean[frame]),
        (0, top),
        title="+ clean, scaled",
        below=f"divided by sigma = {number(sample.sigma)}",
    )
    panel(sheet, 1, 6, np.abs(sample.noisy[frame]), (0, top), title="= noisy", below="noise SD 1 before g")
