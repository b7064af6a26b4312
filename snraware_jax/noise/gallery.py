"""A picture of what the augmentation does: one clean series, four noisy samples of it, and the filters behind them.

    python -m snraware_jax.noise.gallery                                 # a simulated heart; --output noise_gallery.png
    python -m snraware_jax.noise.gallery --data=RECORDS --series=3 --preset=upstream --seed=7

After Figure 1b of the paper. The four samples have sigma of 0.5, 2, 6 and 16 and g-maps of rising acceleration; everything else is
drawn. SNR is the median of |signal| / noise SD over the body, the SD in every pixel being that which theory gives.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from snraware_jax.errors import InputError, describe
from snraware_jax.noise.pairs import realise, sample_key
from snraware_jax.noise.sampling import Draw, draw
from snraware_jax.noise.settings import PRESETS, NoiseSettings
from snraware_jax.noise.synthesis import deviation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGMAS, MAPS = (0.5, 2.0, 6.0, 16.0), (0, 2, 4, 6)  # R = 2, 4, 6, 8 of maps for R = 2 to 8
BODY = 0.1  # of the 99.5th percentile: what is brighter counts as body
CELL = 2.6  # inches


class Sample(NamedTuple):
    """One noisy sample: `[T, H, W]` noisy and clean, `[H, W]` g-map and noise SD in units of `noisy`, what was drawn, its SNR."""

    noisy: np.ndarray
    clean: np.ndarray
    g_map: np.ndarray
    sd: np.ndarray
    choices: Draw
    snr: float


def samples(clean: np.ndarray, g_maps: np.ndarray, native_noise: float, settings: NoiseSettings, seed: int) -> list[Sample]:
    """The four samples of a series `[T, H, W]` with g-maps `[R, H, W]`."""
    make = jax.jit(realise, static_argnums=4)
    found = []
    for number, (sigma, of_map) in enumerate(zip(SIGMAS, MAPS, strict=True)):
        of_choices, of_noise = jax.random.split(sample_key(seed, 0, number))
        choices = draw(of_choices, settings, len(g_maps))
        choices = choices._replace(sigma=jnp.float32(sigma), g_index=jnp.int32(min(of_map, len(g_maps) - 1)))
        pair = make(of_noise, clean, g_maps, choices, settings, native_noise)
        sd = np.asarray(deviation(pair.g_map, choices, settings, clean.shape)) / np.hypot(sigma, native_noise)
        magnitude = np.abs(np.asarray(pair.target))
        body = magnitude.mean(axis=0) > BODY * np.percentile(magnitude, 99.5)
        snr = float(np.median((magnitude / sd)[:, body]))
        found.append(Sample(np.asarray(pair.noisy), np.asarray(pair.target), np.asarray(pair.g_map), sd, choices, snr))
    return found


def picture(clean: np.ndarray, made: list[Sample], title: str) -> "Figure":
    """Rows: clean and noisy magnitude of the middle frame, each on its own scale; noise in units of its level; its SD; filters."""
    from matplotlib.figure import Figure

    frame, shape = len(clean) // 2, clean.shape[1:]
    height = CELL * shape[0] / shape[1]
    figure = Figure(figsize=(CELL * 5, 3 * height + 2.4), dpi=100, layout="constrained")
    rows = figure.subplots(4, 5, height_ratios=(height, height, height, 1.3), squeeze=False)
    for axes in rows.flat:
        axes.set_axis_off()
    grey(rows[0, 0], np.abs(clean[frame]))
    rows[0, 0].set_title("clean", fontsize=10)
    for row, words in enumerate(
        (
            "",
            "noise, real part,\nin units of its level\n(grey: -4 to 4)",
            "noise SD",
            "response of the\nfilters along\nky (blue),\nkx (orange)",
        )
    ):
        if words:
            rows[row, 0].text(0.95, 0.5, words, ha="right", va="center", fontsize=10, transform=rows[row, 0].transAxes)
    for column, one in enumerate(made, 1):
        choices = one.choices
        grey(rows[0, column], np.abs(one.noisy[frame]))
        rows[0, column].set_title(f"sigma {float(choices.sigma):g}, SNR {one.snr:.1f}", fontsize=10)
        noise = (one.noisy - one.clean)[frame].real
        rows[1, column].imshow(noise, cmap="gray", vmin=-4, vmax=4)
        shown = rows[2, column].imshow(one.sd, cmap="viridis", vmin=0, vmax=max(2.0, float(np.percentile(one.sd, 99))))
        bar = figure.colorbar(shown, ax=rows[2, column], fraction=0.04, pad=0.02)
        bar.ax.tick_params(labelsize=7)
        responses(rows[3, column], choices, shape)
    figure.suptitle(title, fontsize=11)
    return figure


def responses(axes, choices: Draw, shape: tuple[int, int]) -> None:
    """The filters of both axes, and what they are made of."""
    from snraware_jax.noise.response import full, of_axes

    axes.set_axis_on()
    words = []
    for (axis, filters), size, colour in zip(of_axes(choices, PRESETS["paper"], 2), shape, ("#0072B2", "#E69F00"), strict=True):
        response = np.fft.fftshift(np.asarray(full(size, filters, PRESETS["paper"].taper_samples)))
        axes.plot(np.linspace(-0.5, 0.5, size), response, color=colour, linewidth=1.4)
        gaussian, ratio, _, resolution = (float(np.asarray(value)) for value in filters)
        partial = f", PF {ratio:g}" if ratio < 1 else ""
        words.append(f"{'ky' if axis == -2 else 'kx'}: {gaussian:g}{partial}, res {resolution:g}")
    axes.set_title("\n".join(words), fontsize=8)
    axes.set_ylim(0)
    axes.tick_params(labelsize=7)


def grey(axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=np.percentile(image, 99))


def series_of(data: str | None, number: int, seed: int) -> tuple[np.ndarray, np.ndarray, float, str]:
    """Clean series, g-maps, their own noise and a name: a record, or a simulated heart where there are no data."""
    if data is None:
        from data_pipeline import simulator

        settings = simulator.Settings(matrix=(144, 192), frames=16, coils=8, calibration_lines=48, fine=2)
        made = simulator.training_sample(seed, number, settings)
        return made.image, made.gmaps, 0.0, f"simulated heart {number}, seed {seed}"
    from data_pipeline.sources import open_source

    source = open_source(data, "all")
    if not 0 <= number < len(source):
        raise InputError(f"--series={number}: {data} has {len(source)} series, 0 to {len(source) - 1}")
    record = source[number]
    return record.image, record.gmaps, record.native_noise, f"record {record.sample_id} of {data}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of records [a heart is simulated]")
    parser.add_argument("--series", type=int, default=0, help="which record or simulated subject [0]")
    parser.add_argument("--preset", choices=PRESETS, default="paper", help="of the noise [paper]")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn [0]")
    parser.add_argument("--output", type=Path, default=Path("noise_gallery.png"), help="PNG file [noise_gallery.png]")
    options = parser.parse_args()
    if min(options.series, options.seed) < 0:
        parser.error("--series and --seed are 0 or more")
    from snraware_jax.formats.atomic import replacing

    try:
        clean, g_maps, native_noise, name = series_of(options.data, options.series, options.seed)
        made = samples(clean, g_maps, native_noise, PRESETS[options.preset], options.seed)
        figure = picture(clean, made, f"{name}; noise of the preset {options.preset}")
        with replacing(options.output) as temporary:
            figure.savefig(temporary, format="png")
    except (InputError, OSError) as error:
        print(f"gallery: {describe(error)}", file=sys.stderr)
        return 2
    print(f"gallery: SNR {', '.join(f'{one.snr:.1f}' for one in made)}; {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
