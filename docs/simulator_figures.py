"""Draws the figures of docs/data.md: what the simulator makes, and how its statistics compare with those of a real cine.

    python docs/simulator_figures.py                    # into docs/images/simulator, some minutes
    python docs/simulator_figures.py --only realism --subjects 40

`realism` needs ../shared beside the checkout and prints, for every statistic, the spread of the real slices and the median of the
simulated ones. Seeds are fixed.
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data_pipeline.simulator import TABLE_1, Settings, from_magnitude, realism, simulate, study, training_sample
from data_pipeline.simulator.subject import draw_view, stream

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared" / "data"
SEED = 1
ASPECT, SQUARE = 4 / 3, ("MPRAGE", "T2 TSE", "bottles")  # pixels of the heart protocols are higher than wide, about so
# the field of view of a whole chest, at the resolution to which the real cine is brought as well
LIKE_THE_REAL = Settings(
    matrix=(160, 160),
    frames=21,
    fov_mm=(350, 350),
    zoom=(1.05, 1.3),
    coils=6,
    noise_readouts=8,
    field_strength=1.5,
    tr_ms=3.2,
    fine=2,
)
STATISTICS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, str]] = {
    "spatial power, log10": (
        lambda x: np.log10(realism.radial_spectrum(x)),
        (realism.FREQUENCIES[1:] + realism.FREQUENCIES[:-1]) / 2,
        "cycles per pixel",
    ),
    "temporal power, log10": (lambda x: np.log10(realism.temporal_spectrum(x)), np.arange(1, 9), "harmonic of the beat"),
    "gradient over signal": (realism.gradients, np.array(realism.QUANTILES), "quantile"),
    "local SD over signal": (realism.local_variances, np.array(realism.QUANTILES), "quantile"),
}


def first_with(plane: str, settings: Settings, number: int = 0) -> int:
    """The number-th subject whose first view shows `plane`, its level within the heart."""
    fits = (
        k
        for k in itertools.count()
        if (view := draw_view(stream(SEED, k, "subject", 0), settings))["plane"] == plane and 0.35 < view["level"] < 0.95
    )
    return next(itertools.islice(fits, number, None))


def tiles() -> list[tuple[str, np.ndarray]]:
    """Magnitude pictures of every protocol, with their titles."""
    cine = dataclasses.replace(TABLE_1["retro_cine"], frames=12, coils=8, zoom=(0.7, 0.9), noise_readouts=16, fine=2)
    made = []
    for plane in ("two_chamber", "three_chamber", "four_chamber", "short_axis"):
        truth = np.abs(simulate(SEED, first_with(plane, cine, 1), cine).truth)
        made.append((f"{plane.replace('_', ' ')}, diastole", truth[0]))
        made.append((f"{plane.replace('_', ' ')}, systole", truth[4]))
    first_pass = dataclasses.replace(
        TABLE_1["perfusion_stress"], slices=1, coils=8, noise_readouts=16, frames=40, zoom=(0.8, 0.9), fine=2
    )
    truth = np.abs(simulate(SEED, first_with("short_axis", first_pass), first_pass).truth)
    levels = [truth[t] / np.percentile(truth, 99.8) for t in (0, 9, 14, 30)]
    made += [(f"first pass, beat {t}", level) for t, level in zip((1, 10, 15, 31), levels, strict=True)]
    real_time = dataclasses.replace(TABLE_1["realtime_cine"], frames=20, coils=8, noise_readouts=16, zoom=(0.8, 0.9), fine=2)
    made.append(("real time", np.abs(simulate(SEED, first_with("four_chamber", real_time), real_time).truth)[7]))
    brain = dataclasses.replace(TABLE_1["mprage"], partitions=24, coils=8)
    made.append(("MPRAGE", np.abs(simulate(SEED, 1, brain).truth)[12]))
    spine = dataclasses.replace(TABLE_1["spine"], slices=2, coils=8)
    made.append(("T2 TSE", np.abs(study(SEED, 1, spine)[0].truth)[0]))
    made.append(("bottles", np.abs(simulate(SEED, 1, TABLE_1["phantom_r2"]).truth)[0]))
    return made


def overview(_: int) -> plt.Figure:
    """A sheet of all protocols; up to the 99.5th percentile of each (of the whole first pass), to the power of 0.6."""
    made = tiles()
    figure, axes = plt.subplots(4, 4, figsize=(12, 10))
    for axis, (title, picture) in zip(axes.ravel(), made, strict=True):
        top = 1.0 if title.startswith("first") else np.percentile(picture, 99.5)
        shown = np.minimum(picture / top, 1) ** 0.6  # coils nearby outshine what is deep
        axis.imshow(shown, cmap="gray", aspect=ASPECT if title not in SQUARE else 1)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.96, 0.02, 0.12)
    return figure


def compare(subjects: int) -> plt.Figure:
    """Spread of the real slices (grey) beside median and 10th to 90th percentile of simulated short-axis views (blue)."""
    slices = np.load(SHARED / "cine_sax_sunnybrook.npz")["images"].astype(np.float32)
    real = [np.abs(from_magnitude(x, LIKE_THE_REAL, np.random.default_rng(0), "real").truth) for x in slices]
    views = (k for k in itertools.count() if draw_view(stream(SEED, k, "subject", 0), LIKE_THE_REAL)["plane"] == "short_axis")
    made = [np.abs(training_sample(SEED, k, LIKE_THE_REAL).image) for k in itertools.islice(views, subjects)]
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2))
    for axis, (name, (statistic, places, label)) in zip(axes, STATISTICS.items(), strict=True):
        measured, found = (np.array([statistic(x) for x in series]) for series in (real, made))
        low, median, high = np.quantile(found, (0.1, 0.5, 0.9), axis=0)
        axis.fill_between(places, measured.min(0), measured.max(0), color="0.8", label=f"{len(real)} slices of a real heart")
        axis.plot(places, median, color="C0", label=f"{subjects} simulated views")
        axis.fill_between(places, low, high, color="C0", alpha=0.2)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel(label, fontsize=8)
        axis.tick_params(labelsize=7)
        inside = np.mean((median >= measured.min(0)) & (median <= measured.max(0)))
        print(f"realism: {name}: median within the real spread at {100 * inside:.0f} % of the places")
    axes[0].legend(fontsize=7)
    for name, statistic in {
        "slope": lambda x: realism.slope(realism.radial_spectrum(x)),
        "moving share": realism.moving_share,
        "share of the field of view with signal": realism.inside_body,
    }.items():
        measured, found = ([statistic(x) for x in series] for series in (real, made))
        print(
            f"realism: {name}: real {min(measured):.3f} to {max(measured):.3f}, median {np.median(measured):.3f}; simulated median "
            f"{np.median(found):.3f}, 10th to 90th percentile {np.quantile(found, 0.1):.3f} to {np.quantile(found, 0.9):.3f}"
        )
    figure.tight_layout()
    return figure


FIGURES = {"overview": overview, "realism": compare}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draws the figures of docs/data.md.")
    parser.add_argument("--only", choices=list(FIGURES), action="append", help="may be repeated")
    parser.add_argument("--subjects", type=int, default=40, help="simulated views of `realism` [40]")
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "docs" / "images" / "simulator", help="folder for the pictures"
    )
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.only or FIGURES:
        if name == "realism" and not SHARED.is_dir():
            print(f"realism: skipped, needs {SHARED}")
            continue
        figure = FIGURES[name](options.subjects)
        figure.savefig(options.output / f"{name}.png", dpi=80)
        plt.close(figure)


if __name__ == "__main__":
    main()
