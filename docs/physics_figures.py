"""Draws the figures of docs/physics.md: one for each identity of the reconstruction, measured by the code that is shipped.

    python docs/physics_figures.py                                    # all of them into docs/images/physics, some minutes
    python docs/physics_figures.py --only replicas --only g_factor    # --output DIR puts them elsewhere

Prints a line of measured numbers for each figure. Seeds are fixed. Figures of goldens and measured data need ../shared beside the
checkout, and are skipped with a line where it is absent.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure

from data_pipeline.simulator import Settings
from data_pipeline.simulator import coils as receive
from data_pipeline.simulator.acquisition import acquire, grid_mm
from snraware_jax.evaluation import scan_checks
from snraware_jax.formats.mrd import read_scan
from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import chain, coils, filters, gating, grappa, prewhiten, resize
from snraware_jax.recon.averaging import temporal_average
from snraware_jax.recon.fourier import fft2c, ifft2c, remove_oversampling

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
WIDTH, DPI = 10.0, 96
BLUE, ORANGE, GREEN, RED, PINK, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"  # Okabe and Ito
GREY, INK = "#8a8f98", "#1f2328"
ALL = (2, 3, 4, 5, 6, 7, 8)


class NotHere(Exception):
    """A figure needs data that are not part of the repository."""


class Drawn(NamedTuple):
    """A figure and what was measured for it, by name."""

    figure: Figure
    measured: dict[str, float]


FIGURES: dict[str, Callable[[], Drawn]] = {}


def drawn(function: Callable[[], Drawn]) -> Callable[[], Drawn]:
    """Registers a figure under the name of its function, which is that of its file."""
    FIGURES[function.__name__] = function
    return function


# ---------------------------------------------------------------- phantom and noise


class Scene(NamedTuple):
    """`image` `[ky, kx]` with smooth phase, `maps` `[C, ky, kx]` of unit norm, `kspace` of peak SNR near 60, `inside` the object."""

    image: np.ndarray
    maps: np.ndarray
    kspace: np.ndarray
    inside: np.ndarray


@cache
def scene(channels: int = 8, lines: int = 96, readout: int = 80, seed: int = 3) -> Scene:
    """An ellipse with an insert, seen by loops of the simulator (Biot-Savart) around it; complex128, without noise."""
    fov_mm = (300.0, 250.0)
    down, across = grid_mm((lines, readout), fov_mm)
    points, half_axes = np.stack([across, down, 0 * down]), (0.5 * fov_mm[1] + 45, 0.5 * fov_mm[0] + 45)
    maps = receive.sensitivities(np.random.default_rng(seed), channels, points, half_axes).astype(complex)
    maps /= np.linalg.norm(maps, axis=0)
    soft = lambda radius, edge: 1 / (1 + np.exp(edge * (radius - 1)))
    body, insert = soft(np.hypot(across / 95, down / 115), 25), soft(np.hypot((across - 25) / 30, (down + 20) / 38), 15)
    image = (
        60 * body * (1 - 0.5 * insert) * (1 + 0.3 * np.cos(across / 30 + down / 60)) * np.exp(1j * (across / 120 - down / 200))
    )
    return Scene(image, maps, np.asarray(centred(image * maps, inverse=False)), body > 0.5)


def centred(x: np.ndarray, inverse: bool = True) -> np.ndarray:
    """The transforms of `recon.fourier` in the precision of `x`."""
    with jax.enable_x64(x.dtype == complex):
        return np.asarray((ifft2c if inverse else fft2c)(x))


def unit(rng: np.random.Generator, *shape: int, dtype: type = np.complex64) -> np.ndarray:
    """Unit noise: SD 1 in the real and 1 in the imaginary part."""
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def calibration(one: Scene, lines: int = 48, noise: float = 1.0, dtype: type = complex) -> np.ndarray:
    """Calibration lines about DC with unit noise."""
    kspace = one.kspace + noise * unit(np.random.default_rng(11), *one.kspace.shape, dtype=complex)
    start = kspace.shape[1] // 2 - lines // 2
    return kspace[:, start : start + lines].astype(dtype)


def aliased(kspace: np.ndarray, acquired: np.ndarray) -> np.ndarray:
    """Coil images of the acquired lines, sqrt(f_y) included."""
    return np.sqrt(acquired.size / acquired.sum()) * centred(np.where(acquired[:, None], kspace, 0))


def every(acceleration: int, lines: int = 96, phase: int = 0) -> np.ndarray:
    """`[ky]` bool: the lines phase, phase + R, ..."""
    return (np.arange(lines) - phase) % acceleration == 0


def nrmse(found: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    return float(np.linalg.norm((found - truth)[mask]) / np.linalg.norm(truth[mask]))


def sd(noise: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """SD of zero-mean complex noise, of each of its two parts."""
    return np.sqrt(np.mean(np.abs(noise) ** 2, axis=axis, dtype=np.float64) / 2)


def replicas_over_g(unmixing: np.ndarray, acquired: np.ndarray, count: int, seed: int) -> np.ndarray:
    """SD of `count` noise replicas through a frozen unmixing, over g: `[ky, kx]`."""
    rng, power, at_once = np.random.default_rng(seed), 0.0, 50
    for _ in range(count // at_once):
        images = aliased(unit(rng, at_once, *unmixing.shape), acquired)
        power = power + np.sum(np.abs(np.asarray(grappa.unmix(images, unmixing))) ** 2, axis=0)
    return np.sqrt(power / (2 * count)) / np.asarray(grappa.g_factor(unmixing))


# ---------------------------------------------------------------- style


def sheet(height: float) -> Figure:
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def titled(figure: Figure, identity: str, found: str, **measured: float) -> Drawn:
    """The figure with its title: the identity, and below it what was found."""
    figure.suptitle("\n".join([identity, *wrap(found, 132)]), fontsize=10.5, color=INK, x=0.01, ha="left")
    return Drawn(figure, measured)


def plain(axes: Axes, title: str, x: str = "", y: str = "", key: object = None, **options: object) -> Axes:
    """Words of a panel; `key` is the place of its legend, none without it."""
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if key is not None:
        axes.legend(frameon=False, fontsize=8, loc=key, **options)
    return axes


def curve(
    axes: Axes, x: object, y: object, style: str, colour: str, label: str | None = None, size: float = 4, lw: float = 1
) -> None:
    axes.plot(x, y, style, color=colour, label=label, ms=size, lw=lw)


def steps(axes: Axes, values: np.ndarray, edges: np.ndarray, colour: str, label: str | None = None) -> None:
    """Density of values as an outline."""
    axes.hist(np.ravel(values), edges, density=True, histtype="step", color=colour, label=label)


def ones(axes: Axes, half_width: float, label: str) -> None:
    """A band about 1."""
    axes.axhspan(1 - half_width, 1 + half_width, color=GREY, alpha=0.25, lw=0, label=label)


def normal(axes: Axes, mean: float, width: float, label: str) -> None:
    x = np.linspace(-4.5, 4.5, 200)
    curve(axes, mean + width * x, np.exp(-(x**2) / 2) / (width * np.sqrt(2 * np.pi)), "--", "black", label)


def show(axes: Axes, image: np.ndarray, title: str, colours: str, norm: Normalize) -> Axes:
    axes.imshow(image, cmap=colours, norm=norm, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9, color=INK)
    return axes


def bar(figure: Figure | SubFigure, axes: Axes | Sequence[Axes], unit_of: str, **options: object) -> None:
    last = axes if isinstance(axes, Axes) else axes[-1]
    colour_bar = figure.colorbar(last.images[0], ax=axes, pad=0.02, aspect=18, **options)
    colour_bar.outline.set_visible(False)
    colour_bar.ax.tick_params(labelsize=8)
    colour_bar.ax.set_title(unit_of, fontsize=8)


# ---------------------------------------------------------------- noise, transforms, sampling


@drawn
def whitening() -> Drawn:
    """T1: the sample covariance becomes 2 I; the true one within O(sqrt(C/M)); unseen noise has an excess of (M-1)/(M-C)."""
    rng, colours = np.random.default_rng(1), {4: SKY, 8: BLUE, 16: RED}
    counts, deviation, unseen = (256, 1024, 4096, 16384, 65536), {}, {}
    with jax.enable_x64(True):
        mixing = {c: np.eye(c) + 0.3 * unit(rng, c, c, dtype=complex) for c in colours}
        for c, m in ((c, m) for c in colours for m in counts):
            trials = []
            for _ in range(max(4, 20000 // m)):
                noise = mixing[c] @ unit(rng, c, m, dtype=complex)
                w = np.asarray(prewhiten.whitening_matrix(prewhiten.noise_covariance(noise)))
                trials.append(w @ (2 * mixing[c] @ mixing[c].conj().T) @ w.conj().T)
            deviation[c, m] = np.mean([np.abs(t - 2 * np.eye(c)).max() for t in trials])
            unseen[c, m] = np.sqrt(np.mean([np.trace(t).real / (2 * c) for t in trials]))
        noise = mixing[8] @ unit(rng, 8, 16384, dtype=complex)
        sample = np.asarray(prewhiten.noise_covariance(noise))
        w = np.asarray(prewhiten.whitening_matrix(sample, 0.12, 0.793))
        exact = float(np.abs(w @ sample @ w.conj().T / (0.12 * 0.793) - 2 * np.eye(8)).max())
    truth = 2 * mixing[8] @ mixing[8].conj().T
    after = w @ truth @ w.conj().T / (0.12 * 0.793)
    found = float(np.abs(after - 2 * np.eye(8)).max())
    figure = sheet(2.9)
    before_axes, after_axes, error_axes, excess_axes = figure.subplots(1, 4, width_ratios=(1, 1, 1.25, 1.25))
    show(before_axes, np.abs(truth), "|Ψ| of 8 coils", "viridis", Normalize(0))
    bar(figure, before_axes, "", shrink=0.7)
    show(after_axes, np.abs(after), r"|$W\Psi W^H$|, W of 16,384 samples", "viridis", Normalize(0, 2))
    bar(figure, after_axes, "", shrink=0.7)
    for c, colour in colours.items():
        curve(error_axes, counts, [deviation[c, m] for m in counts], "o-", colour, f"C = {c}")
        ratio = np.array(counts) / c
        curve(excess_axes, ratio, [unseen[c, m] for m in counts], "o", colour, f"C = {c}")
    curve(error_axes, counts, np.sqrt(8 / np.array(counts)), "--", "black", r"$\sqrt{8/M}$")
    error_axes.set(xscale="log", yscale="log")
    plain(error_axes, "error against the true Ψ", "noise samples M", r"max |$W\Psi W^H-2I$|", key="best")
    smooth = np.geomspace(16, 16384, 100)
    curve(excess_axes, smooth, np.sqrt(smooth / (smooth - 1)), "--", "black", r"$\sqrt{M/(M-C)}$")
    excess_axes.set_xscale("log")
    plain(excess_axes, "noise that W did not see", "M / C", "SD", key="best")
    worst = max(abs(unseen[c, m] / np.sqrt((m - 1) / (m - c)) - 1) for c in colours for m in counts)
    return titled(
        figure,
        r"T1  Whitening: $W\Psi W^H\,t_n/(t_d b)=2I$",
        f"sample covariance to {exact:.0e}; true covariance to {found:.3f} (C = 8, M = 16,384; tolerance 0.05)",
        sample=exact, true=found, excess_error=worst,
    )  # fmt: skip


@drawn
def fourier() -> Drawn:
    """T2: unit noise stays unit noise; an impulse at N//2 becomes a constant of phase 0, for odd and even N."""
    sizes = (144, 145, 192, 255, 256)
    rng, parts, impulse_error = np.random.default_rng(2), [], []
    for n in sizes:
        transformed = np.asarray(fft2c(unit(rng, n, 31)))
        parts.append((transformed.real.std(), transformed.imag.std(), 3 / np.sqrt(2 * transformed.size)))
        impulse = np.zeros(n, np.complex64)
        impulse[n // 2] = 1
        impulse_error.append(np.abs(np.asarray(fft2c(impulse, (-1,))) * np.sqrt(n) - 1).max())
    real, imaginary, band = np.array(parts).T
    worst = float(np.abs(np.array([real, imaginary]) - 1).max())
    figure = sheet(3.0)
    noise_axes, phase_axes = figure.subplots(1, 2)
    place = np.arange(len(sizes))
    noise_axes.fill_between(place, 1 - band, 1 + band, color=GREY, alpha=0.25, lw=0, label="1 ± 3 standard errors")
    curve(noise_axes, place, real, "o", BLUE, "real", 5)
    curve(noise_axes, place, imaginary, "s", ORANGE, "imaginary", 5)
    noise_axes.set_xticks(place, [f"{n} x 31" for n in sizes])
    noise_axes.set_ylim(0.96, 1.06)
    plain(noise_axes, "unit noise through fft2c", "size N", "SD", key="upper center", ncols=3)
    for n, colour, style in ((32, BLUE, "o"), (33, GREEN, "x")):
        impulse = np.zeros(n, np.complex64)
        impulse[n // 2] = 1
        q = np.arange(n) - n // 2
        curve(phase_axes, q, np.angle(np.asarray(fft2c(impulse, (-1,)))), style, colour, f"fft2c, N = {n}")
        swapped = np.fft.ifftshift(np.fft.fft(np.fft.fftshift(impulse)))
        if n % 2:
            curve(phase_axes, q, np.unwrap(np.angle(swapped)), ".", RED, f"shifts swapped, N = {n} (control)")
    plain(phase_axes, "phase of the transformed impulse", "q = index − N//2", "rad", key="best")
    return titled(
        figure,
        "T2  Centred orthonormal transform, odd and even N: noise keeps SD 1; impulse at N//2 → constant of phase 0",
        f"SD within {worst:.4f} of 1 (4,464 to 7,936 samples); constant to {max(impulse_error):.0e}",
        sd=worst, impulse=float(max(impulse_error)),
    )  # fmt: skip


@drawn
def oversampling() -> Drawn:
    """T15: removal of the readout oversampling scales nothing in the image: noise SD 1, signal unchanged."""
    readout, one = 80, scene()
    noise = np.asarray(remove_oversampling(unit(np.random.default_rng(3), 4000, 2 * readout), readout))
    along_x = one.image[48]
    wide = np.pad(along_x, readout // 2)
    kspace = np.asarray(fft2c(wide.astype(np.complex64), (-1,)))
    removed = np.asarray(remove_oversampling(kspace, readout))
    difference = float(np.abs(removed - along_x).max() / np.abs(along_x).max())
    sample_ratio = float(np.abs(np.asarray(fft2c(removed, (-1,)))[readout // 2] / kspace[readout]))
    by_column = sd(noise, 0)
    figure = sheet(2.9)
    noise_axes, signal_axes, kspace_axes = figure.subplots(1, 3)
    band = 3 / np.sqrt(4 * len(noise))
    ones(noise_axes, band, "1 ± 3 standard errors")
    noise_axes.plot(by_column, ".", color=BLUE, ms=4)
    noise_axes.set_ylim(0.95, 1.05)
    plain(noise_axes, "noise, 4,000 readouts", "x (pixel)", "SD", key="best")
    x = np.arange(2 * readout) - readout
    signal_axes.plot(x, np.abs(wide), color=ORANGE, lw=3, label="oversampled (160)")
    curve(signal_axes, np.arange(readout) - readout // 2, np.abs(removed), "-", BLUE, "removed (80)")
    signal_axes.set_ylim(0, 110)
    plain(signal_axes, "a line of the image", "x (pixel)", "magnitude (SNR)", key="upper right")
    q = np.arange(-8, 9)
    curve(kspace_axes, q / 2, np.abs(kspace[readout + q]), "o", ORANGE, "oversampled")
    centre = np.abs(np.asarray(fft2c(removed, (-1,))))
    curve(kspace_axes, q[4:-4], centre[readout // 2 + q[4:-4]], "s", BLUE, "removed")
    plain(kspace_axes, "its k-space: half the samples, √2 larger", "q (1 / field of view)", "magnitude", key="best")
    return titled(
        figure,
        "T15  Readout oversampling removed: cropped in the image, no scale",
        f"noise SD {sd(noise):.4f} (tolerance 0.02); signal changed by {difference:.0e}; "
        f"a sample of k-space grows by {sample_ratio:.3f} = √2",
        sd=float(sd(noise)), signal=difference, sample=sample_ratio,
    )  # fmt: skip


@drawn
def missing_samples() -> Drawn:
    """Section 3: zeros for missing samples, sqrt(f_x f_y): coil images of noise SD 1, correlated within a coil only."""
    lines, readout, count = 48, 40, 400
    cases = {  # name: (lines of the grid acquired, first acquired column of 80)
        "all": (every(1, lines), 0),
        "R = 2": (every(2, lines), 0),
        "R = 5\n(48 lines)": (every(5, lines), 0),
        "6/8 partial\nFourier": (np.arange(lines) < 36, 0),
        "5/8 echo": (every(1, lines), 30),
        "R = 3, 6/8,\n5/8 echo": (every(3, lines) & (np.arange(lines) < 36), 30),
    }
    scaled, raw, correlation = [], [], {}
    for i, (name, (acquired, first)) in enumerate(cases.items()):
        share = (2 * readout - first) / (2 * readout)
        images = [_coil_images(acquired, first, share, count, lines, readout, seed) for seed in (2 * i, 2 * i + 1)]
        scaled.append(float(sd(np.stack(images))))
        raw.append(scaled[-1] * np.sqrt(share * acquired.mean()))
        products = np.stack([np.mean(images[0] * np.roll(images[0], -d, 1).conj()) for d in range(lines)])
        correlation[name] = np.abs(products) / 2, abs(np.mean(images[0] * images[1].conj())) / 2
    worst = max(abs(value - 1) for value in scaled)
    between = max(value for _, value in correlation.values())
    figure = sheet(3.2)
    sd_axes, correlation_axes = figure.subplots(1, 2, width_ratios=(1.3, 1))
    place = np.arange(len(cases))
    sd_axes.bar(place - 0.2, raw, 0.4, color=GREY, label="zero-filled alone")
    sd_axes.bar(place + 0.2, scaled, 0.4, color=BLUE, label=r"times $\sqrt{f_x f_y}$ (chain.apply)")
    sd_axes.axhline(1, color="black", lw=1, ls="--")
    sd_axes.set_xticks(place, list(cases), fontsize=8)
    sd_axes.set_ylim(0, 1.45)
    plain(sd_axes, "noise SD of a coil image", "", "SD", key="upper right", ncols=2)
    for name, colour in (("R = 2", BLUE), ("6/8 partial\nFourier", ORANGE)):
        correlation_axes.plot(correlation[name][0], color=colour, lw=1.2, label=name.replace("\n", " "))
    plain(correlation_axes, "noise correlation within a coil", "distance along y (pixel of 48)", "|correlation|", key="best")
    return titled(
        figure,
        r"Missing samples are zeros: $a_c=\sqrt{f_x f_y}\,\mathrm{IFFT}(W s)$ has noise SD 1 at every pixel",
        f"SD within {worst:.4f} of 1; correlation between coils below {between:.3f}",
        sd=worst, between_coils=float(between),
    )  # fmt: skip


def _coil_images(acquired: np.ndarray, first: int, share: float, count: int, lines: int, readout: int, seed: int) -> np.ndarray:
    """`[count, ky, kx]` noise images of a coil as `chain.apply` makes them: white coil, unmixing and g of 1."""
    one = np.ones((1, lines, readout), np.complex64)
    plan = chain.Plan(
        whitening=np.eye(1, dtype=np.complex64), coil_maps=one, unmixing=one, g_map=one[0].real, g_maps=one.real,
        accelerations=(1,), acceleration=1, readout=readout, echo_share=share, condition=1.0,
    )  # fmt: skip
    noise = unit(np.random.default_rng(seed), count, 1, lines, 2 * readout)
    noise[..., :first] = 0
    return np.asarray(chain.apply(plan, noise, np.broadcast_to(acquired, (count, lines))))


@drawn
def averaging() -> Drawn:
    """Section 4: the average over the frames that sampled a line has noise 1/sqrt(count)."""
    rng, lines, frames = np.random.default_rng(4), 48, 30
    patterns = {
        "TPAT, R = 2": (np.arange(lines) - np.arange(frames)[:, None]) % 2 == 0,
        "TPAT, R = 4": (np.arange(lines) - np.arange(frames)[:, None]) % 4 == 0,
        "irregular": rng.uniform(size=(frames, lines)) < 0.5 * np.exp(-(((np.arange(lines) - 24) / 16) ** 2)) + 0.02,
    }
    colours, worst, at_two = (BLUE, ORANGE, GREEN), 0.0, 0.0
    figure = sheet(3.2)
    parts = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.6))
    for axes, colour, (name, acquired) in zip(parts, colours, patterns.items(), strict=False):
        average, count = temporal_average(unit(rng, frames, 64, lines, 64), acquired)
        measured = np.sqrt(np.mean(np.abs(np.asarray(average)) ** 2, axis=(0, 2)) / 2)
        count = np.asarray(count)
        sampled = count > 0
        worst = max(worst, float(np.abs(measured * np.sqrt(count) - 1)[sampled].max()))
        at_two = float(measured.mean()) if name.endswith("2") else at_two
        show(axes, acquired, name, "Greys", Normalize(0, 1))
        axes.set_aspect("auto")
        plain(axes, name, "line ky", "frame")
        axes.set_axis_on()
        curve(parts[3], count[sampled], measured[sampled], "o", colour, name)
    expected = np.array([1, 30])
    curve(parts[3], expected, 1 / np.sqrt(expected), "--", "black", r"$1/\sqrt{n}$")
    ticks = (1, 2, 5, 10, 20)
    parts[3].set(xscale="log", yscale="log")
    parts[3].set_xticks(ticks, [str(t) for t in ticks])
    parts[3].set_yticks((0.2, 0.3, 0.5, 1), ["0.2", "0.3", "0.5", "1"])
    parts[3].minorticks_off()
    plain(parts[3], "noise of a calibration line", "frames n that sampled the line", "SD", key="best")
    return titled(
        figure,
        r"TPAT: calibration lines are means over the frames that sampled them, SD $1/\sqrt{n(q)}$ by a count per line",
        f"30 frames at R = 2: SD {at_two:.3f} of 15 averages (0.258 expected); all lines within {worst:.1%}",
        sd_15_averages=at_two, worst=worst,
    )  # fmt: skip


# ---------------------------------------------------------------- coil maps, unmixing, g


@drawn
def coil_maps() -> Drawn:
    """Section 5: maps of unit norm that are the true ones up to a phase, which makes the combined image real and positive."""
    one = scene()
    images = np.asarray(coils.low_resolution_images(calibration(one, dtype=np.complex64), (24, 0), one.image.shape))
    maps = {name: np.asarray(estimate(images)) for name, estimate in (("Inati", coils.inati), ("Walsh", coils.walsh))}
    mismatch = {name: 1 - np.abs(np.sum(m.conj() * one.maps, axis=0)) for name, m in maps.items()}
    norm = max(float(np.abs(np.linalg.norm(m, axis=0) - 1).max()) for m in maps.values())
    phase = {name: np.angle(np.sum(m.conj() * images, axis=0)) for name, m in maps.items()}
    largest = {name: float(np.abs(p[one.inside]).max()) for name, p in phase.items()}
    figure = sheet(2.9)
    parts = figure.subplots(1, 6)
    scale, error = Normalize(0, 1), LogNorm(1e-7, 1e-1, clip=True)
    outline = lambda axes: axes.contour(one.inside, [0.5], colors="white", linewidths=0.7)
    for axes, image, title in zip(parts[:3], (one.maps, *maps.values()), ("true", *maps), strict=True):
        outline(show(axes, np.abs(image[0]), f"|map| of coil 0, {title}", "viridis", scale))
    bar(figure, parts[:3], "", location="bottom", shrink=0.4)
    for axes, (name, image) in zip(parts[3:5], mismatch.items(), strict=True):
        outline(show(axes, np.maximum(image, 1e-7), f"1 − |⟨map, true⟩|, {name}", "magma", error))
    bar(figure, parts[3:5], "", location="bottom", shrink=0.6)
    in_object = np.where(one.inside, np.abs(phase["Inati"]), np.nan)
    outline(show(parts[5], in_object, "|phase| combined, Inati", "viridis", Normalize(0, 0.1)))
    bar(figure, parts[5], "", location="bottom")
    median, worst = ({n: f(m[one.inside]) for n, m in mismatch.items()} for f in (np.median, np.max))
    return titled(
        figure,
        "Coil maps: unit norm, the true sensitivities up to a phase that makes the combined image real and positive",
        f"mismatch in the object, median and largest: Inati {median['Inati']:.0e}, {worst['Inati']:.0e}; Walsh {median['Walsh']:.0e}, "
        f"{worst['Walsh']:.0e}; norm to {norm:.0e}; phase to {largest['Inati']:.2f} rad",
        inati=float(worst["Inati"]), walsh=float(worst["Walsh"]), norm=norm, phase=largest["Inati"],
    )  # fmt: skip


@drawn
def unaliasing() -> Drawn:
    """T6: noise-free data are unaliased; what remains grows with R and with the regularisation."""
    one, accelerations, weights = scene(), (2, 3, 4, 5, 6), {1e-8: BLUE, 1e-6: GREEN, 5e-4: ORANGE}
    error: dict[tuple[float | str, int], float] = {}
    with jax.enable_x64(True):
        for noise, name in ((0.0, ""), (1.0, "noisy")):
            lines = calibration(one, noise=noise)
            for r in accelerations:
                acquired = every(r)
                images, truth = aliased(one.kspace, acquired), one.image * np.sqrt(acquired.size / acquired.sum()) / r
                for weight in (5e-4,) if name else weights:
                    unmixing = np.asarray(grappa.unmixing(lines, one.maps, r, regularization=weight))
                    found = np.sum(unmixing * images, axis=0)
                    error[name or weight, r] = nrmse(found, truth, one.inside)
                    if name and r == 4:
                        shown = images, found, truth
    figure = sheet(3.3)
    *pictures, axes = figure.subplots(1, 4, width_ratios=(0.8, 0.8, 0.8, 1.6))
    images, found, truth = shown
    grey = Normalize(0, np.abs(truth).max())
    show(pictures[0], np.linalg.norm(images, axis=0) / 2, "R = 4, zero-filled", "gray", grey)
    show(pictures[1], np.abs(found), "unmixed, λ = 5e-4", "gray", grey)
    show(pictures[2], 20 * np.abs(found - truth), "its error x 20", "gray", grey)
    for weight, colour in weights.items():
        label = f"λ = {weight:.0e}".replace("e-0", "e-")
        curve(axes, accelerations, [error[weight, r] for r in accelerations], "o-", colour, label)
    curve(axes, accelerations, [error["noisy", r] for r in accelerations], "s--", RED, "λ = 5e-4, calibration with noise")
    curve(axes, (2, 3, 4), (1e-4, 5e-4, 5e-3), "_", "black", "tolerance for λ = 1e-8", 22)
    curve(axes, 2, 1e-2, "_", RED, "tolerance, noisy, R = 2", 22)
    axes.set_yscale("log")
    axes.set_ylim(2e-6, 20)
    axes.set_xticks(accelerations)
    plain(axes, "noise-free data, 48 calibration lines", "R", "NRMSE in the object", key="upper left", ncols=2)
    return titled(
        figure,
        "T6  Unmixed noise-free data are the full data times 1/√R",
        "NRMSE at λ = 1e-8: " + ", ".join(f"{error[1e-8, r]:.1e} (R = {r})" for r in (2, 3, 4))
        + f"; at λ = 5e-4 with noise in the calibration: {error['noisy', 2]:.1e} (R = 2)",
        r2=error[1e-8, 2], r3=error[1e-8, 3], r4=error[1e-8, 4], r2_noisy=error["noisy", 2],
    )  # fmt: skip


def mirrored(x: np.ndarray) -> np.ndarray:
    """x(-r) about N//2 of the last two axes."""
    for axis in (-2, -1):
        x = np.roll(np.flip(x, axis), 1 - x.shape[axis] % 2, axis)
    return x


@drawn
def flipped_kernel() -> Drawn:
    """T12: the kernel is flipped (target minus source), not conjugated; two negative controls."""
    one = scene()
    found, errors, gs = {}, {}, {}
    for r in (2, 4):
        weights = grappa.fit_kernels(calibration(one, dtype=np.complex64), (r,))[0]
        of = lambda w, maps, r=r: np.asarray(grappa.image_domain(w, maps.astype(np.complex64), r))
        kinds = {
            "d = t − o": of(weights, one.maps),
            "d = o − t": mirrored(of(weights, mirrored(one.maps))),
            "conjugated": of(weights.conj(), one.maps),
        }
        for name, unmixing in kinds.items():
            found[r, name] = np.sum(unmixing * aliased(one.kspace, every(r)), axis=0)
            errors[r, name] = nrmse(found[r, name], one.image / np.sqrt(r), one.inside)
            gs[r, name] = float(np.linalg.norm(unmixing, axis=0)[one.inside].mean())
    figure = sheet(2.7)
    parts = figure.subplots(1, 6)
    for axes, ((r, name), image) in zip(parts, found.items(), strict=True):
        title = f"R = {r}: {name}\nNRMSE {errors[r, name]:.2g}, g {gs[r, name]:.2f}"
        show(axes, np.abs(image), title, "gray", Normalize(0, 75 / np.sqrt(r))).title.set_fontsize(8)
    right, wrong = "d = t − o", "d = o − t"
    return titled(
        figure,
        "T12  The kernel is flipped, d = target − source, and not conjugated; the other two of each three are negative controls",
        f"NRMSE {errors[2, right]:.1e} against {errors[2, wrong]:.2f} (R = 2), "
        f"{errors[4, right]:.1e} against {errors[4, wrong]:.2f} (R = 4)",
        right_r2=errors[2, right], wrong_r2=errors[2, wrong], right_r4=errors[4, right], wrong_r4=errors[4, wrong],
    )  # fmt: skip


@drawn
def sampling_phase() -> Drawn:
    """T11: the same unmixing serves every sampled phase s: equal images, equal SD maps."""
    one, r, count = scene(lines=48, readout=40), 4, 400
    unmixing = np.asarray(grappa.unmixing(calibration(one, 28, dtype=np.complex64), one.maps.astype(np.complex64), r))
    images = np.stack([np.sum(unmixing * aliased(one.kspace, every(r, 48, s)), axis=0) for s in range(r)])
    ratios = np.stack([replicas_over_g(unmixing, every(r, 48, s), count, s) for s in range(r)])
    expected, spread = 1 / np.sqrt(4 * count), ratios.std(axis=(1, 2))
    errors = [nrmse(image, one.image / np.sqrt(r), one.inside) for image in images]
    figure = sheet(4.2)
    left, right = figure.subfigures(1, 2, width_ratios=(1.9, 1))
    (top, bottom), (profile, histogram) = left.subplots(2, r), right.subplots(2)
    for s in range(r):
        show(top[s], np.abs(images[s]), f"s = {s}: NRMSE {errors[s]:.1e}", "gray", Normalize(0, 37))
        show(bottom[s], ratios[s], f"SD/g, mean {ratios[s].mean():.4f}", "PuOr", Normalize(0.85, 1.15))
    bar(left, bottom, "", location="bottom", shrink=0.5)
    y = np.arange(48) - 24
    for s, colour in enumerate((BLUE, ORANGE, GREEN, RED)):
        curve(profile, y, np.abs(images[s][:, 20]), "-", colour, f"s = {s}")
        steps(histogram, ratios[s], np.linspace(0.85, 1.15, 40), colour)
    normal(histogram, 1, expected, r"$N(1, 1/\sqrt{4N})$")
    profile.set_ylim(0, 60)
    plain(profile, "image along y, x = 0", "y (pixel)", "magnitude", key="upper center", ncols=4, columnspacing=1)
    histogram.set_ylim(0, 21)
    plain(histogram, f"{count} replicas", "SD/g", "density", key="upper left")
    mean_error = float(np.abs(ratios.mean(axis=(1, 2)) - 1).max())
    return titled(
        figure,
        "T11  The unmixing does not depend on the sampled phase s (lines s, s + R, ...): one u for every TPAT frame, R = 4",
        f"NRMSE {min(errors):.1e} to {max(errors):.1e}; mean SD/g within {mean_error:.4f} of 1; spread {spread.max():.4f} "
        f"({expected:.4f} expected)",
        mean=mean_error, spread=float(spread.max()), expected=expected,
    )  # fmt: skip


@drawn
def invariances() -> Drawn:
    """T7, T8, T11 (linearity), T16 and the window sums of section 15: errors of what should be nothing."""
    one, rng, r = scene(), np.random.default_rng(6), 4
    rows: dict[str, dict[type, float]] = {}
    for dtype in (np.complex64, complex):
        with jax.enable_x64(dtype is complex):
            lines, maps = calibration(one, dtype=dtype), one.maps.astype(dtype)
            relative = lambda found, expected: float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())
            record = lambda name, error, kind=dtype: rows.setdefault(name, {}).__setitem__(kind, error)
            u = np.asarray(grappa.unmixing(lines, maps, r))
            scaled = [
                relative(grappa.unmixing((factor * lines).astype(dtype), maps, r), u) for factor in (1e-4, 3j, -2e3 + 1e3j)
            ]
            record("T7  calibration times α: u", max(scaled))
            g = np.asarray(grappa.g_factor(u))
            mix = np.linalg.qr(unit(rng, 8, 8, dtype=complex))[0].astype(dtype)
            of = lambda x, m=mix: np.einsum("dc,cyx->dyx", m, x)
            record("T8  unitary mix of the coils: g", relative(grappa.g_factor(grappa.unmixing(of(lines), of(maps), r)), g))
            order = rng.permutation(8)
            record("T8  coils permuted: g", relative(grappa.g_factor(grappa.unmixing(lines[order], maps[order], r)), g))
            a, b = (unit(rng, *u.shape, dtype=dtype) for _ in range(2))
            sums = grappa.unmix(((2 - 1j) * a + 0.5j * b).astype(dtype), u)
            record(
                "T11  linear: unmix(αa + βb)",
                relative(sums, np.asarray((2 - 1j) * grappa.unmix(a, u) + 0.5j * grappa.unmix(b, u))),
            )
            together = np.asarray(grappa.g_maps(lines, maps, ALL))
            apart = np.stack([grappa.g_factor(grappa.unmixing(lines, maps, one_r)) for one_r in ALL])
            record("T16  R = 2..8 at once or one by one: g", relative(together, apart))
            batch = np.stack([lines, 2j * lines[:, :, ::-1], lines[::-1]])
            mapped = jax.vmap(lambda c, m=maps: grappa.unmixing(c, m, r))(batch)
            looped = np.stack([grappa.unmixing(c, maps, r) for c in batch])
            record("T16  batched or looped series: u", relative(mapped, looped))
            weights = np.asarray(grappa.fit_kernels(lines, (r,))[0])
            record("section 15  sums over lags or all windows: w", relative(weights, _direct_kernel(lines, r)))
    tolerance = {"T7": 1e-6, "T8": 1e-5, "T11": 1e-5, "T16": 1e-5}
    figure = sheet(3.2)
    axes = figure.subplots()
    for place, (name, errors) in enumerate(rows.items()):
        for dtype, colour, marker in ((np.complex64, ORANGE, "s"), (complex, BLUE, "o")):
            label = {np.complex64: "complex64", complex: "complex128"}[dtype] if not place else None
            curve(axes, max(errors[dtype], 1e-17), place, marker, colour, label, 6)
        if name.split()[0] in tolerance:
            label = None if place else "tolerance (complex128)"
            curve(axes, tolerance[name.split()[0]], place, "|", "black", label, 14)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=9)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(3e-18, 1)
    axes.grid(axis="x", alpha=0.3, lw=0.5)
    plain(axes, "", "largest error / largest value", key=(0.36, 0.35))
    axes.tick_params(axis="y", labelsize=9)
    largest = max(errors[complex] for errors in rows.values())
    single = max(errors[np.complex64] for errors in rows.values())
    return titled(
        figure,
        "T7, T8, T11, T16  What must not matter does not: scale, basis and order of the coils, batching, and the shortcut of the sums",
        f"largest error {largest:.0e} in complex128 and {single:.0e} in complex64 "
        "(8 coils, 48 calibration lines, R = 4; exactly 0 is drawn at 1e-17)",
        double=largest, single=single,
    )  # fmt: skip


def _direct_kernel(lines: np.ndarray, acceleration: int, weight: float = grappa.REGULARIZATION) -> np.ndarray:
    """The normal equations from every window of the calibration lines, in complex128: `[C_dst, C_src, taps, k_x]`."""
    channels, count, readout = lines.shape
    width, sources = grappa.KERNEL[1], [acceleration * o for o in (-1, 0, 1, 2)]
    places = [e for e in range(count) if e + sources[0] >= 0 and e + sources[-1] < count]
    windows = np.lib.stride_tricks.sliding_window_view(lines.astype(complex), width, axis=2)  # [C, lines, x, k_x]
    flat = lambda part: np.moveaxis(part, (1, 2), (0, 1)).reshape(len(places) * (readout - width + 1), -1)
    a = np.stack([flat(windows[:, [e + o for e in places]]) for o in sources], 1).reshape(-1, len(sources) * channels * width)
    b = np.stack([flat(windows[:, [e + t for e in places]][..., width // 2, None]) for t in range(1, acceleration)], 1)
    gram, right = a.conj().T @ a, a.conj().T @ b.reshape(len(a), -1)
    found = np.linalg.solve(gram + weight * np.trace(gram).real / len(gram) * np.eye(len(gram)), right)
    found = found.reshape(len(sources), channels, width, acceleration - 1, channels)
    return np.einsum("osktd->dsotk", found).reshape(channels, channels, -1, width)


@drawn
def g_factor() -> Drawn:
    """T3, T9, T10: exactly 1 at R = 1; rises, then saturates; falls with regularisation; 1 or more in the object only."""
    one, accelerations, lambdas = scene(), tuple(range(1, 9)), np.geomspace(1e-5, 1e-1, 9)
    maps = {
        c: np.asarray(grappa.g_maps(calibration(scene(c), dtype=np.complex64), scene(c).maps, accelerations)) for c in (8, 16)
    }
    unmixing = np.asarray(grappa.unmixing(calibration(one, dtype=np.complex64), one.maps.astype(np.complex64), 1))
    at_one = float(max(np.abs(maps[8][0] - 1).max(), np.abs(unmixing - one.maps.astype(np.complex64).conj()).max()))
    inside = lambda g: g[..., one.inside]
    of_lambda = lambda weight: grappa.g_maps(
        calibration(one, dtype=np.complex64), one.maps, (2, 4, 8), regularization=float(weight)
    )
    falling = np.array([[g[one.inside].mean() for g in np.asarray(of_lambda(weight))] for weight in lambdas])
    smallest = float(inside(maps[8]).min())
    figure = sheet(5.4)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    shown = (1, 2, 3, 4, 6, 8)
    parts = top.subplots(1, len(shown))
    for axes, r in zip(parts, shown, strict=True):
        show(axes, maps[8][r - 1], f"g, R = {r}", "viridis", LogNorm(0.5, 10, clip=True))
        axes.contour(one.inside, [0.5], colors="white", linewidths=0.7)
    bar(top, parts, "g", ticks=(0.5, 1, 2, 5, 10), format="%g", shrink=0.8)
    against_r, against_weight, values = bottom.subplots(1, 3)
    for c, colour in ((8, BLUE), (16, ORANGE)):
        curve(against_r, accelerations, inside(maps[c]).mean(axis=1), "o-", colour, f"{c} coils, mean")
        curve(against_r, accelerations, np.percentile(inside(maps[c]), 95, axis=1), ":", colour, f"{c} coils, 95th percentile")
    against_r.set_ylim(0, 19)
    plain(against_r, "in the object: rises, then saturates", "R", "g", key="upper left")
    for i, (r, colour) in enumerate(((2, BLUE), (4, GREEN), (8, RED))):
        curve(against_weight, lambdas, falling[:, i], "o-", colour, f"R = {r}")
    against_weight.axvline(grappa.REGULARIZATION, color="black", ls="--", lw=1)
    against_weight.text(grappa.REGULARIZATION * 1.2, 8.5, "default", fontsize=8)
    against_weight.set(xscale="log", yscale="log", ylim=(0.9, 30))
    against_weight.set_yticks((1, 2, 5, 10), ("1", "2", "5", "10"))
    against_weight.minorticks_off()
    plain(
        against_weight,
        "in the object: falls with λ",
        "λ (relative to the mean eigenvalue)",
        "mean g",
        key="upper left",
        ncols=3,
    )
    edges = np.geomspace(0.05, 20, 60)
    for r, colour in ((2, BLUE), (4, GREEN)):
        for region, style, name in ((one.inside, "-", "object"), (~one.inside, ":", "background")):
            values.hist(maps[8][r - 1][region], edges, histtype="step", color=colour, ls=style, label=f"R = {r}, {name}")
    values.axvline(1, 0, 0.58, color="black", lw=1, ls="--")
    values.set_xscale("log")
    values.set_xticks((0.1, 0.5, 1, 2, 5), ("0.1", "0.5", "1", "2", "5"))
    values.minorticks_off()
    values.set_ylim(0, 3400)
    plain(values, "1 or more in the object alone", "g", "pixels", key="upper left")
    means = ", ".join(f"{inside(maps[8][r - 1]).mean():.1f}" for r in (2, 4, 6, 8)) + " (2, 4, 6, 8)"
    return titled(
        figure,
        r"T3, T9, T10  $g=(\Sigma_c|u_c|^2)^{1/2}$: exactly 1 at R = 1, rising until the array is spent, falling with regularisation",
        f"at R = 1: max |g − 1| = max |u − conj(map)| = {at_one:g}; smallest g: {smallest:.3f} in the object, "
        f"{maps[8][1:, ~one.inside].min():.2f} beside it; mean of 8 coils: {means}",
        at_one=at_one, smallest=smallest, falls=float(np.all(np.diff(falling, axis=0) < 0)),
    )  # fmt: skip


@drawn
def replicas() -> Drawn:
    """T4, T5: SD of replicas through the frozen unmixing over the analytic g, R = 2..8."""
    one, count = scene(lines=48, readout=40), 600
    lines, maps = calibration(one, 28, dtype=np.complex64), one.maps.astype(np.complex64)
    ratios = np.stack([replicas_over_g(np.asarray(grappa.unmixing(lines, maps, r)), every(r, 48), count, r) for r in ALL])
    error = 1 / np.sqrt(4 * count)
    figure = sheet(3.7)
    top, bottom = figure.subplots(2, len(ALL), height_ratios=(1, 1))
    for i, r in enumerate(ALL):
        acquired = int(every(r, 48).sum())
        show(top[i], ratios[i], f"R = {r}, {acquired} lines", "PuOr", Normalize(1 - 6 * error, 1 + 6 * error))
        bottom[i].hist(ratios[i].ravel(), np.linspace(1 - 6 * error, 1 + 6 * error, 41), density=True, color=SKY)
        normal(bottom[i], 1, error, "")
        plain(bottom[i], f"{ratios[i].mean():.4f} ± {ratios[i].std():.4f}", "SD/g")
        bottom[i].set_yticks([])
        bottom[i].spines["left"].set_visible(False)
    bar(figure, top, "SD/g")
    mean, spread = float(np.abs(ratios.mean(axis=(1, 2)) - 1).max()), ratios.std(axis=(1, 2)) / error
    within = float(np.mean(np.abs(ratios - 1) < 4 * error, axis=(1, 2)).min())
    return titled(
        figure,
        r"T4, T5  Noise replicas through the frozen unmixing have SD g; spread $1/\sqrt{4N}$ (dashed), also where R does not divide 48",
        f"{count} replicas: mean within {mean:.4f} of 1 (tolerance 0.005); spread {spread.min():.2f} to {spread.max():.2f} of the "
        f"expected {error:.4f}; {within:.2%} within 4 standard errors",
        mean=mean, spread_low=float(spread.min()), spread_high=float(spread.max()), within=within,
    )  # fmt: skip


@drawn
def two_axes() -> Drawn:
    """Section 9: R = 2 x 2 in a volume: images, g and replicas, beside R = 4 along ky alone."""
    image, maps, kspace, inside = _volume()
    rng, count, shape = np.random.default_rng(8), 300, image.shape
    noisy = (kspace + unit(rng, *kspace.shape)).astype(np.complex64)
    block = noisy[:, 4:20, 6:26]
    g_maps = np.asarray(grappa.g_maps(block, maps, ((2, 2), (4, 1))))
    unmixing = np.asarray(grappa.unmixing(block, maps, (2, 2)))
    acquired = every(2, shape[0])[:, None] & every(2, shape[1])
    axes, power = (-3, -2, -1), 0.0
    to_image = lambda k: np.sqrt(acquired.size / acquired.sum()) * np.asarray(ifft2c(np.where(acquired[..., None], k, 0), axes))
    for _ in range(count // 20):
        noise = to_image(unit(rng, 20, *maps.shape))
        power = power + np.sum(np.abs(np.asarray(grappa.unmix(noise, unmixing))) ** 2, axis=0)
    ratio = np.sqrt(power / (2 * count)) / g_maps[0]
    found = np.asarray(grappa.unmix(to_image(kspace.astype(np.complex64)), unmixing))
    error, expected = nrmse(found, image / 2, inside), 1 / np.sqrt(4 * count)
    mean_g = [float(g[inside].mean()) for g in g_maps]
    figure = sheet(3.0)
    *parts, axes_ = figure.subplots(1, 6, width_ratios=(1, 1, 1, 1, 1, 1.5))
    middle = shape[0] // 2
    show(parts[0], np.linalg.norm(to_image(kspace)[:, middle], axis=0), "2 x 2, zero-filled", "gray", Normalize(0, 60))
    show(parts[1], np.abs(found[middle]), "unmixed", "gray", Normalize(0, 42))
    show(parts[2], g_maps[0][middle], f"g, R = 2 x 2: {mean_g[0]:.2f}", "viridis", Normalize(0, 3))
    show(parts[3], g_maps[1][middle], f"g, R = 4 x 1: {mean_g[1]:.2f}", "viridis", Normalize(0, 3))
    bar(figure, parts[2:4], "", location="bottom", shrink=0.8)
    show(parts[4], ratio[middle], "SD/g, R = 2 x 2", "PuOr", Normalize(0.85, 1.15))
    bar(figure, parts[4], "", location="bottom")
    axes_.hist(ratio.ravel(), np.linspace(0.85, 1.15, 41), density=True, color=SKY)
    normal(axes_, 1, expected, r"$N(1, 1/\sqrt{4N})$")
    axes_.set_ylim(0, 19)
    plain(axes_, f"all {ratio.size:,} voxels, {count} replicas", "SD/g", "density", key="upper left")
    return titled(
        figure,
        "Two axes, R = 2 x 2: noise is g, and g is far below that of R = 4 along ky; middle partition of 24 x 32 x 28, 12 coils",
        f"mean SD/g {ratio.mean():.4f}, spread {ratio.std():.4f} ({expected:.4f} expected); noise-free NRMSE {error:.1e}; mean g "
        f"{mean_g[0]:.2f}, along ky alone {mean_g[1]:.2f}",
        mean=float(ratio.mean()), spread=float(ratio.std()), expected=expected, nrmse=error, g_2x2=mean_g[0], g_4x1=mean_g[1],
    )  # fmt: skip


def _volume() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An ellipsoid `[kz, ky, kx]`, 12 coils in rows around it, their k-space, and the inside."""
    shape, fov_mm = (24, 32, 28), (220.0, 300.0, 250.0)
    z, y, x = np.meshgrid(*((np.arange(n) - n // 2) * f / n for n, f in zip(shape, fov_mm, strict=True)), indexing="ij")
    points = np.stack([x, y, z]).astype(np.float32)
    maps = receive.sensitivities(np.random.default_rng(5), 12, points.reshape(3, -1, 1), (170.0, 195.0)).reshape(12, *shape)
    maps /= np.linalg.norm(maps, axis=0)
    body = 1 / (1 + np.exp(18 * (np.sqrt((x / 95) ** 2 + (y / 115) ** 2 + (z / 80) ** 2) - 1)))
    image = 60 * body * (1 + 0.3 * np.cos(x / 30 + y / 60 - z / 40)) * np.exp(1j * (x / 120 - y / 200 + z / 150))
    return image, maps, np.asarray(fft2c(image * maps, (-3, -2, -1))), body > 0.5


# ---------------------------------------------------------------- the whole chain


def _simulated(lines: int, readout: int, frames: int = 1, **settings: object) -> tuple[RawScan, np.ndarray, np.ndarray]:
    """A raw scan of `scene` by the simulator (coloured noise, oversampling 2), its noise-free k-space, and the truth at R = 1."""
    fine = scene(lines=2 * lines, readout=2 * readout)
    chosen = Settings(matrix=(lines, readout), frames=frames, coils=8, signal_snr=(80.0, 80.0), noise_readouts=256, **settings)
    made = acquire(np.stack([fine.image] * frames), fine.maps, chosen, np.random.default_rng(9), "simulated")
    return made.scan, made.noise_free, made.truth[0]


@drawn
def snr_units() -> Drawn:
    """Sections 1 to 8 at once: noise of SD 1 in both parts, the signal of the full data over sqrt(R) g."""
    scan, noise_free, truth = _simulated(96, 80, frames=8, acceleration=2, calibration_lines=48)
    plan = chain.calibrate(scan, (2,))
    images, cleans = (np.asarray(chain.apply(plan, k, scan.acquired)) for k in (scan.kspace, noise_free))
    noise, clean, inside = images - cleans, cleans[0], np.abs(truth) > 20
    # the coil maps of the scan see the same object up to a phase
    level = np.abs(clean * np.asarray(plan.g_map) * np.sqrt(2))[inside] / np.abs(truth)[inside]
    empty = np.abs(images)[:, np.abs(truth) < 0.05]
    figure = sheet(3.2)
    first, second, third, fourth = figure.subplots(1, 4, width_ratios=(1, 1, 1.1, 1.1))
    show(first, np.abs(images[0]), "|S| (SNR), R = 2", "gray", Normalize(0, 60))
    bar(figure, first, "", shrink=0.7)
    show(second, noise[0].real, "real part of the noise", "PuOr", Normalize(-4, 4))
    bar(figure, second, "", shrink=0.7)
    edges = np.linspace(-4.5, 4.5, 60)
    steps(third, noise.real, edges, BLUE, f"real, SD {noise.real.std():.3f}")
    steps(third, noise.imag, edges, ORANGE, f"imaginary, SD {noise.imag.std():.3f}")
    normal(third, 0, 1, "N(0, 1)")
    third.set_ylim(0, 0.62)
    plain(third, "S − S of noise-free data", "SNR units", "density", key="upper left")
    fourth.plot(np.abs(truth)[inside], (np.abs(clean) * np.asarray(plan.g_map) * np.sqrt(2))[inside], ".", color=BLUE, ms=1)
    fourth.plot((20, 90), (20, 90), "--", color="black", lw=1)
    plain(fourth, "signal, noise-free data", "|truth at R = 1| (SNR)", r"$|S|\,g\,\sqrt{R}$ (SNR)")
    return titled(
        figure,
        r"SNR units: $S=I/g$ has noise of SD 1 in the real and in the imaginary part, and the signal of the full data over $g\sqrt{R}$",
        f"SD {noise.real.std():.3f} real, {noise.imag.std():.3f} imaginary; signal/truth {level.mean():.4f} ± {level.std():.4f}; "
        f"magnitude where nothing is: SD {empty.std():.3f} (Rayleigh: 0.655)",
        real=float(noise.real.std()), imaginary=float(noise.imag.std()), signal=float(level.mean()), background=float(empty.std()),
    )  # fmt: skip


@drawn
def partial_chain() -> Drawn:
    """Partial Fourier, an asymmetric echo and a finer matrix: the chain's noise is still 1 everywhere."""
    scan, _, _ = _simulated(48, 40, acceleration=2, calibration_lines=30)
    cut, count = 20, 400  # columns of 80 that the echo lacks
    part = lambda k: np.where(np.arange(80) < cut, 0, k)
    partial = scan.acquired & (np.arange(48) < 38)
    short = replace(scan, acquired=partial, kspace=part(scan.kspace), calibration=part(scan.calibration), echo_samples=60)
    cases = {
        "6/8 partial Fourier": (replace(scan, acquired=partial), None),
        "and 6/8 of the echo": (short, None),
        "6/8, matrix 71 x 60": (replace(scan, acquired=partial), (71, 60)),
        "all three": (short, (71, 60)),
    }
    rng, ratios = np.random.default_rng(10), {}
    for name, (one, matrix) in cases.items():
        plan = chain.calibrate(one, (2,), matrix)
        colour = np.linalg.inv(np.asarray(plan.whitening))
        power = 0.0
        for _ in range(count // 50):
            white = unit(rng, 50, 8, 48, 80)
            white = white if one.echo_samples is None else part(white)
            noise = np.einsum("dc,tcyx->tdyx", colour, white).astype(np.complex64)
            power = power + np.sum(np.abs(np.asarray(chain.apply(plan, noise, np.repeat(one.acquired, 50, 0)))) ** 2, axis=0)
        ratios[name] = np.sqrt(power / (2 * count))
    expected = 1 / np.sqrt(4 * count)
    figure = sheet(3.3)
    *parts, axes = figure.subplots(1, 5, width_ratios=(1, 1, 1, 1, 1.6))
    for panel, colour, (name, ratio) in zip(parts, (BLUE, ORANGE, GREEN, RED), ratios.items(), strict=True):
        show(panel, ratio, f"{name}\nmean {ratio.mean():.4f}", "PuOr", Normalize(0.85, 1.15)).title.set_fontsize(8)
        steps(axes, ratio, np.linspace(0.85, 1.15, 41), colour, name)
    bar(figure, parts, "", location="bottom", shrink=0.4)
    normal(axes, 1, expected, r"$N(1, 1/\sqrt{4N})$")
    axes.set_ylim(0, 30)
    plain(axes, f"{count} replicas", "SD of S", "density", key="upper left")
    column = max(float(np.abs(ratio.mean(axis=0) - 1).max()) for ratio in ratios.values())
    worst = max(abs(float(ratio.mean()) - 1) for ratio in ratios.values())
    spread = [float(ratio.std()) / expected for ratio in ratios.values()]
    return titled(
        figure,
        "Partial Fourier, asymmetric echo, finer matrix: SD of S is 1 (noise replicas through chain.apply)",
        f"mean within {worst:.4f} of 1; spread {min(spread):.2f} to {max(spread):.2f} of the expected {expected:.4f}; "
        f"no column off by more than {column:.1%}",
        mean=worst, column=column, spread_low=min(spread), spread_high=max(spread),
    )  # fmt: skip


# ---------------------------------------------------------------- after the image


@drawn
def filter_responses() -> Drawn:
    """T13: filters keep unit noise, a product is scaled once, and missing lines do not count."""
    many, sds, names = 2**18, {}, []
    for n in (64, 65):
        kinds = {
            "Gaussian 0.8": filters.gaussian(n, 0.8), "Gaussian 2.25": filters.gaussian(n, 2.25), "Hann": filters.hann(n),
            "tapered Hann": filters.tapered_hann(n, 10), "partial Fourier 0.75": filters.partial_fourier(n, 0.75, False, 5),
            "partial Fourier 0.55": filters.partial_fourier(n, 0.55, True, 5), "resolution 0.85": filters.reduced_resolution(n, 0.85),
            "resolution 0.55": filters.reduced_resolution(n, 0.55),
        }  # fmt: skip
        noise = unit(np.random.default_rng(n), many // n, n)
        level = sd(noise)
        names = list(kinds)
        sds[n] = [float(sd(np.asarray(filters.apply(noise, [f], axes=(-1,)))) / level) for f in kinds.values()]
        if n == 64:
            shown, (first, second) = kinds, (kinds["Gaussian 2.25"], kinds["resolution 0.55"])
            once = float(sd(np.asarray(filters.apply(noise, [np.stack([first, second])], axes=(-1,)))) / level)
            twice = np.asarray(filters.apply(filters.apply(noise, [first], axes=(-1,)), [second], axes=(-1,)))
            apart = float(sd(twice) / level)
            acquired = np.arange(n) < 48
            cut = np.sqrt(64 / 48) * np.asarray(ifft2c(acquired * np.asarray(fft2c(noise, (-1,))), (-1,)))
            response = filters.partial_fourier(n, 47 / 64, False, 5)
            span = float(sd(np.asarray(filters.apply(cut, [response], (-1,), [acquired]))) / sd(cut))
            all_lines = float(sd(np.asarray(filters.apply(cut, [response], (-1,)))) / sd(cut))
    worst = max(abs(v - 1) for values in sds.values() for v in values)
    figure = sheet(3.5)
    curves, levels, controls = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
    q = np.arange(64) - 32
    for name, colour in zip(
        ("Gaussian 2.25", "Hann", "tapered Hann", "partial Fourier 0.75", "resolution 0.55"),
        (BLUE, SKY, GREEN, RED, ORANGE),
        strict=True,
    ):
        curves.plot(q, filters.unit_noise(shown[name]), color=colour, lw=1.3, label=name)
    curves.set_ylim(0, 3.2)
    plain(curves, "responses, scaled to unit noise (N = 64)", "q", "f", key="upper left", ncols=2, columnspacing=1)
    place = np.arange(len(names))
    levels.axvspan(0.997, 1.003, color=GREY, alpha=0.25, lw=0, label="tolerance 0.3 %")
    curve(levels, sds[64], place, "o", BLUE, "N = 64", 5)
    curve(levels, sds[65], place, "x", RED, "N = 65", 5)
    levels.set_yticks(place, names)
    levels.set_ylim(-2.6, len(names) - 0.5)
    levels.set_xlim(0.99, 1.01)
    plain(levels, "white noise out over in", "SD", key="lower center", ncols=3, columnspacing=0.8, handletextpad=0.3)
    bars = {"product,\nscaled once": once, "one by\none": apart, "6/8 lines,\nover 48": span, "6/8 lines,\nover 64": all_lines}
    controls.bar(list(bars), list(bars.values()), 0.6, color=(BLUE, GREY, BLUE, GREY))
    controls.axhline(1, color="black", lw=1, ls="--")
    for i, value in enumerate(bars.values()):
        controls.text(i, value + 0.02, f"{value:.3f}", ha="center", fontsize=8)
    controls.set_ylim(0, 1.45)
    plain(controls, "negative controls in grey", "", "SD out").tick_params(axis="x", labelsize=7.5)
    return titled(
        figure,
        r"T13  $f/\sqrt{\langle f^2\rangle}$ keeps unit noise: over the samples that carry noise, and once for a product",
        f"SD within {worst:.4f} of 1 for all filters, odd and even; scaled one by one {apart:.3f}; "
        f"averaged over lines that carry no noise {all_lines:.3f}",
        sd=worst, once=once, apart=apart, span=span, all_lines=all_lines,
    )  # fmt: skip


@drawn
def resizing() -> Drawn:
    """T14: zero-filling keeps signal and noise; cropping keeps the noise, and the signal grows by sqrt(N/N')."""
    rng = np.random.default_rng(12)
    sizes = [((12, 16), (20, 24)), ((11, 15), (20, 24)), ((12, 16), (19, 25)), ((11, 15), (19, 23)), ((12, 15), (36, 45))]
    noise_sd, gains, zero_gain = {"zero_fill": [], "crop_resolution": []}, [], []
    for small, large in sizes:
        frames = 2**17 // int(np.prod(small))
        noise_sd["zero_fill"].append(float(sd(np.asarray(resize.zero_fill(unit(rng, frames, *small), large)))))
        noise_sd["crop_resolution"].append(float(sd(np.asarray(resize.crop_resolution(unit(rng, frames, *large), small)))))
        few, many = (_fourier_series(shape) for shape in (small, large))
        gains.append(float(np.abs(np.vdot(few, resize.crop_resolution(many, small)) / np.vdot(few, few))))
        zero_gain.append(float(np.abs(np.vdot(many, resize.zero_fill(few, large)) / np.vdot(many, many))))
    ratio = np.array([np.sqrt(np.prod(large) / np.prod(small)) for small, large in sizes])
    figure = sheet(3.1)
    points, noise_axes, signal = figure.subplots(1, 3)
    coarse, fine = _fourier_series((15,)), _fourier_series((61,))
    filled = np.asarray(resize.zero_fill(coarse, (40,), (-1,)))
    for size, values, style, label in (
        (61, fine, "-", "Fourier series"),
        (40, filled, ".", "zero-filled, 40"),
        (15, coarse, "o", "given, 15"),
    ):
        colour = {"-": GREY, ".": BLUE, "o": ORANGE}[style]
        curve(points, (np.arange(size) - size // 2) / size, values.real, style, colour, label, 6 - size / 20)
    points.set_ylim(-3.5, 5.5)
    plain(points, "zero-filling interpolates", "x (field of view)", "real part", key="upper left", ncols=2)
    place = np.arange(len(sizes))
    for (name, values), colour, style in zip(noise_sd.items(), (BLUE, RED), "os", strict=True):
        curve(noise_axes, place, values, style, colour, name, 5)
    ones(noise_axes, 0.004, "tolerance")
    noise_axes.set_xticks(place, [f"{a[0]}x{a[1]}\n{b[0]}x{b[1]}" for a, b in sizes])
    noise_axes.set_ylim(0.985, 1.015)
    plain(noise_axes, "noise, small and large matrix", "", "SD", key="upper center", ncols=3, columnspacing=0.8)
    curve(signal, ratio, gains, "s", RED, "crop_resolution", 5)
    curve(signal, ratio, zero_gain, "o", BLUE, "zero_fill", 5)
    line = np.linspace(1, 3.2, 20)
    curve(signal, line, line, "--", "black", r"$\sqrt{N/N'}$, N the larger")
    signal.plot(line, 1 / line, ":", color=GREY, lw=1.2, label=r"$\sqrt{N'/N}$")
    plain(signal, "signal out over in", r"$\sqrt{N/N'}$", "ratio", key="upper left")
    worst = max(abs(v - 1) for values in noise_sd.values() for v in values)
    error = float(np.abs(np.array(gains) / ratio - 1).max())
    return titled(
        figure,
        r"T14  Another matrix: noise SD 1 both ways; zero-filling keeps the signal, cropping multiplies it by $\sqrt{N/N'}$",
        f"SD within {worst:.4f} of 1 (tolerance 0.004); signal of cropped images √(N/N') to {error:.0e}, of zero-filled ones 1 to "
        f"{max(abs(v - 1) for v in zero_gain):.0e}",
        sd=worst, crop=error, zero_fill=float(max(abs(v - 1) for v in zero_gain)),
    )  # fmt: skip


def _fourier_series(shape: tuple[int, ...]) -> np.ndarray:
    """A complex object of order 2 on every axis, evaluated on a grid with its origin at N//2."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5,) * len(shape)) + 1j * rng.normal(size=(5,) * len(shape))
    for n in shape:
        values = np.tensordot(values, np.exp(2j * np.pi * np.outer(np.arange(-2, 3), (np.arange(n) - n // 2) / n)), (0, 0))
    return values.astype(np.complex64)


@drawn
def retro_gating() -> Drawn:
    """Retro-gating: the noise of a phase is sqrt(sum a^2); scaled by it, unit noise, correlated as predicted."""
    rng, phases, count = np.random.default_rng(13), 30, 4096
    beats = [(np.arange(30) / 30 * rng.uniform(0.93, 1) + rng.uniform(0, 0.03)) % 1 for _ in range(8)]
    cycles = {
        "30 frames, jittered": (np.arange(30) + rng.uniform(-0.3, 0.3, 30)) / 30 % 1,
        "one frame missing": np.arange(30) / 31,
        "8 beats": np.concatenate(beats),
    }
    motion = lambda u: 1 + 0.6 * np.exp(2j * np.pi * u) + 0.3j * np.exp(-4j * np.pi * u) + 0.15 * np.exp(6j * np.pi * u)
    figure = sheet(3.2)
    motion_axes, scaling, scaled, matrix = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.1))
    worst, recovered = {"SD": 0.0, "correlation": 0.0}, 0.0
    for (name, cycle), colour in zip(cycles.items(), (BLUE, RED, GREEN), strict=True):
        weights = gating.phase_weights(cycle, phases)
        recovered = max(recovered, float(np.abs(weights @ motion(cycle) - motion(np.arange(phases) / phases)).max()))
        gated = np.asarray(gating.retro_gate(unit(rng, len(cycle), count), weights))
        raw = sd(weights @ unit(rng, len(cycle), count, dtype=complex), 1)
        expected = np.asarray(gating.noise_scaling(weights))
        correlation = np.asarray(gating.frame_correlation(weights))
        measured = (gated @ gated.conj().T).real / (2 * count)
        worst["SD"] = max(worst["SD"], float(np.abs(sd(gated, 1) - 1).max()))
        worst["correlation"] = max(worst["correlation"], float(np.abs(measured - correlation).max()))
        curve(scaling, np.arange(phases), expected, "-", colour, name)
        scaling.plot(raw, ".", color=colour, ms=4)
        scaled.plot(sd(gated, 1), ".", color=colour, ms=5)
    u = np.linspace(0, 1, 200)
    curve(motion_axes, u, motion(u).real, "-", GREY, "truth")
    curve(motion_axes, np.arange(phases) / phases, (weights @ motion(cycles["8 beats"])).real, ".", GREEN, "gated, 8 beats", 5)
    motion_axes.set_ylim(0, 2.4)
    plain(motion_axes, "a periodic signal", "place in the cycle", "real part", key="best")
    scaling.set_ylim(0, 2)
    plain(scaling, "noise before scaling", "phase", "SD (line: predicted)", key="upper left")
    band = 4 / np.sqrt(4 * count)
    ones(scaled, band, "1 ± 4 standard errors")
    scaled.set_ylim(0.94, 1.08)
    plain(scaled, "noise of S: unit", "phase", "SD", key="upper left")
    matrix.imshow(correlation, cmap="PuOr", norm=Normalize(-1, 1))
    bar(figure, matrix, "", shrink=0.8)
    plain(matrix, "correlation of phases, 8 beats", "phase", "phase")
    return titled(
        figure,
        r"Retro-gating: $S_p=\Sigma_j a_{pj}x_j\,/\,(\Sigma_j a_{pj}^2)^{1/2}$ has unit noise, correlated as predicted",
        f"SD within {worst['SD']:.3f} of 1 (standard error {1 / np.sqrt(4 * count):.3f}); "
        f"correlation within {worst['correlation']:.3f} of the predicted one; signal recovered to {recovered:.0e}",
        sd=worst["SD"], correlation=worst["correlation"], signal=recovered,
    )  # fmt: skip


# ---------------------------------------------------------------- precision, goldens, a measured scan


@drawn
def precision() -> Drawn:
    """T18: g in complex64 against complex128, and what a Gram matrix in TF32 or bf16 would do."""
    one = scene()
    lines = calibration(one)
    with jax.enable_x64(True):
        double = np.asarray(grappa.g_maps(lines, one.maps, ALL))
    single = lines.astype(np.complex64)
    of = lambda c: np.asarray(grappa.g_maps(c, one.maps.astype(np.complex64), ALL))
    error = lambda g: np.abs(g / double - 1)[:, one.inside]
    errors = {
        "complex64, highest precision": (error(of(single)), BLUE, "o"),
        "calibration rounded to TF32": (error(of(_rounded(single, 10))), ORANGE, "s"),
        "calibration rounded to bf16": (error(of(_rounded(single, 7))), RED, "^"),
    }
    figure = sheet(3.0)
    axes, image = figure.subplots(1, 2, width_ratios=(3, 1))
    for name, (values, colour, marker) in errors.items():
        curve(axes, ALL, values.max(axis=1), marker + "-", colour, f"{name}, largest", 5)
        curve(axes, ALL, np.median(values, axis=1), marker + ":", colour, "its median", 3)
    axes.axhline(1e-3, color="black", lw=1, ls="--", label="tolerance")
    axes.set_yscale("log")
    axes.set_ylim(1e-7, 30)
    plain(axes, "error of g in the object", "R", "|g / g(complex128) − 1|", key="upper left", ncols=2)
    show(image, np.abs(of(single) / double - 1)[-1], "complex64, R = 8", "magma", LogNorm(1e-6, 1e-3, clip=True))
    image.contour(one.inside, [0.5], colors="white", linewidths=0.7)
    bar(figure, image, "")
    largest = {name: float(values.max()) for name, (values, *_) in errors.items()}
    full, tf32, bf16 = largest.values()
    return titled(
        figure,
        "T18  Single precision suffices for g; that of tensor cores does not",
        f"largest error in the object, R = 2..8: {full:.1e} in complex64 (tolerance 1e-3), "
        f"{tf32:.1e} with TF32 and {bf16:.1e} with bf16 inputs",
        complex64=full, tf32=tf32, bf16=bf16,
    )  # fmt: skip


def _rounded(x: np.ndarray, bits: int) -> np.ndarray:
    """Real and imaginary part to the nearest number with a mantissa of `bits` bits."""
    mantissa, exponent = np.frexp(np.ascontiguousarray(x).view(np.float32))
    return np.ldexp(np.round(mantissa * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponent).astype(np.float32).view(np.complex64)


@drawn
def goldens() -> Drawn:
    """T17: g-maps of an independent double-precision calculation, and of ismrmrd-python-tools under its own conventions."""
    oracle, tools = (_golden(f"{kind}_c8_192x144_acs48.npz") for kind in ("oracle", "tools"))
    accelerations, mask = (2, 3, 4, 5, 6, 8), oracle["mask"]
    expected = np.stack([oracle[f"g_R{r}_fit0"] for r in accelerations])
    single = np.asarray(grappa.g_maps(oracle["acs"], oracle["csm_unit"], accelerations))
    with jax.enable_x64(True):
        lines, maps = oracle["acs"].astype(complex), oracle["csm_unit"].astype(complex)
        double = np.asarray(grappa.g_maps(lines, maps, accelerations))
        u = np.asarray(grappa.unmixing(lines, maps, 4))
        theirs = {
            r: _tools_unmixing(tools["acs"].astype(complex), tools["csm_walsh"].astype(complex), r) for r in accelerations
        }
    rows = np.arange(theirs[2].shape[1]) - theirs[2].shape[1] // 2
    phase = np.exp(-2j * np.pi * rows / len(rows))[:, None]
    relative = lambda found, wanted: float(np.abs(found - wanted).max() / np.abs(wanted).max())
    of_tools = [np.abs(np.linalg.norm(theirs[r], axis=0) / tools[f"gmap_R{r}"] - 1).max() for r in accelerations]
    error = {
        "default conventions, complex128": (np.abs(double / expected - 1).max(axis=(1, 2)), BLUE, "o"),
        "the same, complex64, in the object": (np.abs(single / expected - 1)[:, mask].max(axis=1), SKY, "s"),
        "python-tools' conventions, complex128": (of_tools, RED, "^"),
    }
    unmixing = relative(u, oracle["u_R4_fit0"]), max(relative(theirs[r] * phase, tools[f"unmix_R{r}"]) for r in (2, 4))
    figure = sheet(3.0)
    first, second, axes = figure.subplots(1, 3, width_ratios=(0.75, 0.75, 2))
    show(first, double[2], "g, R = 4, default", "viridis", LogNorm(0.5, 10, clip=True))
    show(second, tools["gmap_R4"], "g, R = 4, python-tools", "viridis", LogNorm(0.5, 10, clip=True))
    bar(figure, second, "g", ticks=(0.5, 1, 2, 5, 10), format="%g", shrink=0.6)
    for name, (values, colour, marker) in error.items():
        curve(axes, accelerations, values, marker + "-", colour, name, 5)
    axes.axhline(1e-5, color="black", lw=1, ls="--", label="tolerance, complex128")
    axes.axhline(1e-3, color="black", lw=1, ls=":", label="tolerance, complex64")
    axes.set_yscale("log")
    axes.set_ylim(1e-8, 10)
    plain(axes, "largest |g / golden − 1|", "R", "relative error", key="upper left", ncols=2)
    numbers = [max(values) for values, *_ in error.values()]
    return titled(
        figure,
        "T17  Agreement with goldens of 8 coils, 144 x 192, 48 calibration lines",
        f"g: {numbers[0]:.1e} in complex128, {numbers[1]:.1e} in complex64 in the object; python-tools {numbers[2]:.1e}; "
        f"unmixing: {unmixing[0]:.1e}, python-tools {unmixing[1]:.1e}",
        double=numbers[0], single=numbers[1], tools=numbers[2], unmixing=unmixing[0], tools_unmixing=unmixing[1],
    )  # fmt: skip


def _golden(name: str) -> dict[str, np.ndarray]:
    path = SHARED / "goldens" / "recon" / name
    if not path.is_file():
        raise NotHere(f"needs {path}, which is not part of the repository")
    return dict(np.load(path))


def _tools_unmixing(lines: np.ndarray, maps: np.ndarray, r: int) -> np.ndarray:
    """Unmixing under the conventions of ismrmrd-python-tools, from this project's line products and solver.

    Every phase s = 0..R-1 is fitted, also the acquired one, from the sources s - 2R, s - R, s, s + R; the last line and
    column of the calibration are not used; lambda_s is 1e-6 of the largest eigenvalue of G_s.
    """
    lines, size, width = lines[:, :-1, :-1], maps.shape[1], grappa.KERNEL[1]
    y, x = np.arange(size) - size // 2, np.arange(maps.shape[2]) - maps.shape[2] // 2
    total = np.zeros(maps.shape, complex)
    for s in range(r):
        sources = [s - 2 * r, s - r, s, s + r]
        place = np.arange(lines.shape[1])
        acquired = (place + min(sources) >= 0) & (place + max(*sources, 0) < lines.shape[1])
        pattern = grappa.Pattern(sources, [0], acquired)
        sums, where = grappa.line_products(lines, [pattern], width)
        gram = _gram(np.asarray(sums), where[0], sources)
        weight = 1e-6 * np.linalg.eigvalsh(gram)[-1] * len(gram) / np.trace(gram).real
        kernel = np.asarray(grappa.solve_kernel(sums, where[0], pattern, weight))
        along_y = np.exp(2j * np.pi * np.outer(y, [-o for o in sources]) / size)
        along_x = np.exp(2j * np.pi * np.outer(x, width // 2 - np.arange(width)) / len(x))
        total = total + np.einsum("dyx,dstk,yt,xk->syx", maps.conj(), kernel, along_y, along_x, optimize=True)
    return total / r


def _gram(sums: np.ndarray, where: dict[tuple[int, int], tuple[int, int]], sources: list[int]) -> np.ndarray:
    """G from the sums of `grappa.line_products`."""
    block = lambda a, b: sums[where[a, b]].transpose(0, 2, 1, 3).reshape(sums.shape[2] * sums.shape[-1], -1)
    return np.block([[block(a, b) if a <= b else block(b, a).conj().T for b in sources] for a in sources])


@drawn
def phantom_noise() -> Drawn:
    """Whitened samples of a measured scan along the oversampled readout: SD 1 beside the field of view, with all factors."""
    path = SHARED / "data" / "phantom_ssfp_r3_14ch.h5"
    if not path.is_file():
        raise NotHere(f"needs {path}, which is not part of the repository")
    scan = read_scan(path)
    plan = chain.calibrate(scan, (3,))
    whitened = np.einsum("dc,tcyx->tdyx", np.asarray(plan.whitening), scan.kspace)[0][:, scan.acquired[0]]
    hybrid = np.asarray(ifft2c(whitened, (-1,)))
    # the lines farthest from DC hold least of the object
    outer = np.argsort(-np.abs(np.flatnonzero(scan.acquired[0]) - scan.kspace.shape[2] // 2))[:12]
    by_column = sd(hybrid[:, outer], (0, 1))
    x, readout = np.arange(len(by_column)) - len(by_column) // 2, scan.readout
    near, far = (readout // 2 + round(share * len(x)) for share in scan_checks.BESIDE)
    beside = ((x >= near) & (x < far)) | ((x >= -far) & (x < -near))
    level = hybrid[..., beside]
    figure = sheet(3.1)
    axes, values = figure.subplots(1, 2, width_ratios=(2, 1))
    axes.axvspan(-readout // 2, readout // 2, color=GREY, alpha=0.15, lw=0, label="field of view (192 columns)")
    curve(axes, x, by_column, "-", BLUE, "whitened, 12 outer lines of 14 coils")
    for factor, name, colour in (
        (1, "1", "black"),
        (1 / np.sqrt(0.793), "where it were without b = 0.793", RED),
        (1 / np.sqrt(2), "without the factor 2", ORANGE),
    ):
        axes.axhline(factor, color=colour, lw=1, ls="--", label=name)
    axes.set_ylim(0, 2.4)
    plain(axes, "SD along the oversampled readout", "x (column)", "SD, real and imaginary", key="upper left", ncols=2)
    edges = np.linspace(-4.5, 4.5, 60)
    real, imaginary = level.real.std(), level.imag.std()
    steps(values, level.real, edges, BLUE, f"real, SD {real:.3f}")
    steps(values, level.imag, edges, ORANGE, f"imaginary, SD {imaginary:.3f}")
    normal(values, 0, 1, "N(0, 1)")
    values.set_ylim(0, 0.62)
    plain(values, f"{near} to {far} columns from the centre", "whitened samples", "density", key="upper left")
    edge = float(by_column[[0, 1, -2, -1]].mean())
    return titled(
        figure,
        r"Measured phantom: $W=(2\,t_d/t_n\,b)^{1/2}L^{-1}$ gives SD 1 beside the field of view (3 T, 14 coils, one noise readout)",
        f"SD {real:.3f} real, {imaginary:.3f} imaginary of {level.size:,} samples; "
        f"the receiver's anti-alias filter rolls off to {edge:.2f} at the edges of the readout",
        real=float(real), imaginary=float(imaginary), edge=edge,
    )  # fmt: skip


# ---------------------------------------------------------------- program


def save(figure: Figure, path: Path) -> None:
    """A PNG of 64 levels of red, green and blue: half the size of 256, and the same to the eye."""
    from PIL import Image

    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.minimum((pixels + 2) // 4 * 4, 255).astype(np.uint8)).save(path, optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draws the figures of docs/physics.md.")
    parser.add_argument(
        "--only", action="append", choices=list(FIGURES), metavar="NAME", help=f"one of {', '.join(FIGURES)}; may be repeated"
    )
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "docs" / "images" / "physics", help="folder for the pictures"
    )
    options = parser.parse_args(arguments)
    for name in options.only or FIGURES:
        try:
            figure, measured = FIGURES[name]()
        except NotHere as reason:
            print(f"{name}: skipped, {reason}")
            continue
        save(figure, options.output / f"{name}.png")
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in measured.items()), flush=True)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")  # the same pictures everywhere
    main()
