"""The chain from raw samples to SNR units, simulated and measured: sections 4, 11 and 18 of docs/physics.md."""

from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from docs.figures.phantom import replica_sd, sd, simulated, standard_error, unit
from docs.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SPREAD,
    Drawn,
    bar,
    curve,
    drawn,
    level,
    normal,
    plain,
    shared,
    sheet,
    show,
    show_ratio,
    steps,
    titled,
)
from snraware_jax.evaluation import scan_checks
from snraware_jax.formats.mrd import read_scan
from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import chain
from snraware_jax.recon.fourier import ifft2c


@drawn
def snr_units() -> Drawn:
    """Sections 1 to 8 at once: noise of SD 1 in both parts, the signal of the full data over sqrt(R) g."""
    scan, noise_free, truth = simulated(96, 80, frames=8, acceleration=2, calibration_lines=48)
    plan = chain.calibrate(scan, (2,))
    images, cleans = (np.asarray(chain.apply(plan, k, scan.acquired)) for k in (scan.kspace, noise_free))
    noise, clean, inside = images - cleans, cleans[0], np.abs(truth) > 20
    # the coil maps of the scan see the same object up to a phase
    expected, found = np.abs(truth)[inside], (np.abs(clean) * np.asarray(plan.g_map) * np.sqrt(2))[inside]
    ratio = found / expected
    empty = np.abs(images)[:, np.abs(truth) < 0.05]
    figure = sheet(3.2)
    first, second, third, fourth = figure.subplots(1, 4, width_ratios=(1, 1, 1.1, 1.1))
    show(first, np.abs(images[0]), "|S| (SNR), R = 2", "gray", Normalize(0, 60))
    bar(figure, first, "", shrink=0.7)
    show(second, noise[0].real, "real part of the noise", "PuOr", Normalize(-4, 4))
    bar(figure, second, "", shrink=0.7)
    real, imaginary = _both_parts(third, noise, "S − S of noise-free data", "SNR units")
    fourth.plot(expected, found, ".", color=BLUE, ms=1)
    fourth.plot((20, 90), (20, 90), "--", color="black", lw=1)
    plain(fourth, "signal, noise-free data", "|truth at R = 1| (SNR)", r"$|S|\,g\,\sqrt{R}$ (SNR)")
    return titled(
        figure,
        r"SNR units: $S=I/g$ has noise of SD 1 in the real and in the imaginary part, and the signal of the full data over $g\sqrt{R}$",
        f"SD {real:.3f} real, {imaginary:.3f} imaginary; signal/truth {ratio.mean():.4f} ± {ratio.std():.4f}; "
        f"magnitude where nothing is: SD {empty.std():.3f} (Rayleigh: 0.655)",
        real=real, imaginary=imaginary, signal=float(ratio.mean()), background=float(empty.std()),
    )  # fmt: skip


@drawn
def partial_chain() -> Drawn:
    """Partial Fourier, an asymmetric echo and a finer matrix: the chain's noise is still 1 everywhere."""
    scan, _, _ = simulated(48, 40, acceleration=2, calibration_lines=30)
    cut, count = 20, 400  # columns of 80 that the echo lacks
    part = lambda k: np.where(np.arange(80) < cut, 0, k)
    lines = scan.acquired & (np.arange(48) < 38)
    short = replace(scan, acquired=lines, kspace=part(scan.kspace), calibration=part(scan.calibration), echo_samples=60)
    cases = {
        "6/8 partial Fourier": (replace(scan, acquired=lines), None),
        "and 6/8 of the echo": (short, None),
        "6/8, matrix 71 x 60": (replace(scan, acquired=lines), (71, 60)),
        "all three": (short, (71, 60)),
    }
    rng, ratios = np.random.default_rng(10), {}

    def replicas(one: RawScan, plan: chain.Plan) -> np.ndarray:
        white = unit(rng, 50, 8, 48, 80)
        white = white if one.echo_samples is None else part(white)
        noise = np.einsum("dc,tcyx->tdyx", np.linalg.inv(np.asarray(plan.whitening)), white).astype(np.complex64)
        return chain.apply(plan, noise, np.repeat(one.acquired, 50, 0))

    for name, (one, matrix) in cases.items():
        ratios[name] = replica_sd(partial(replicas, one, chain.calibrate(one, (2,), matrix)), count)
    expected = standard_error(count)
    figure = sheet(3.3)
    *parts, axes = figure.subplots(1, 5, width_ratios=(1, 1, 1, 1, 1.6))
    for panel, colour, (name, ratio) in zip(parts, (BLUE, ORANGE, GREEN, RED), ratios.items(), strict=True):
        show_ratio(panel, ratio, f"{name}\nmean {ratio.mean():.4f}").title.set_fontsize(8)
        steps(axes, ratio, np.linspace(0.85, 1.15, 41), colour, name)
    bar(figure, parts, "", location="bottom", shrink=0.4)
    normal(axes, 1, expected, SPREAD)
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


@drawn
def phantom_noise() -> Drawn:
    """Whitened samples of a measured scan along the oversampled readout: SD 1 beside the field of view, with all factors."""
    scan = read_scan(shared("data/phantom_ssfp_r3_14ch.h5"))
    plan = chain.calibrate(scan, (3,))
    whitened = np.einsum("dc,tcyx->tdyx", np.asarray(plan.whitening), scan.kspace)[0][:, scan.acquired[0]]
    hybrid = np.asarray(ifft2c(whitened, (-1,)))
    # the lines farthest from DC hold least of the object
    outer = np.argsort(-np.abs(np.flatnonzero(scan.acquired[0]) - scan.kspace.shape[2] // 2))[:12]
    by_column = sd(hybrid[:, outer], (0, 1))
    x, readout = np.arange(len(by_column)) - len(by_column) // 2, scan.readout
    near, far = (readout // 2 + round(share * len(x)) for share in scan_checks.BESIDE)
    beside = ((x >= near) & (x < far)) | ((x >= -far) & (x < -near))
    samples = hybrid[..., beside]
    figure = sheet(3.1)
    axes, values = figure.subplots(1, 2, width_ratios=(2, 1))
    axes.axvspan(-readout // 2, readout // 2, color=GREY, alpha=0.15, lw=0, label="field of view (192 columns)")
    curve(axes, x, by_column, "-", BLUE, "whitened, 12 outer lines of 14 coils")
    for factor, name, colour in (
        (1, "1", "black"),
        (1 / np.sqrt(0.793), "where it were without b = 0.793", RED),
        (1 / np.sqrt(2), "without the factor 2", ORANGE),
    ):
        level(axes, factor, name, colour)
    axes.set_ylim(0, 2.4)
    plain(axes, "SD along the oversampled readout", "x (column)", "SD, real and imaginary", key="upper left", ncols=2)
    real, imaginary = _both_parts(values, samples, f"{near} to {far} columns from the centre", "whitened samples")
    edge = float(by_column[[0, 1, -2, -1]].mean())
    return titled(
        figure,
        r"Measured phantom: $W=(2\,t_d/t_n\,b)^{1/2}L^{-1}$ gives SD 1 beside the field of view (3 T, 14 coils, one noise readout)",
        f"SD {real:.3f} real, {imaginary:.3f} imaginary of {samples.size:,} samples; "
        f"the receiver's anti-alias filter rolls off to {edge:.2f} at the edges of the readout",
        real=real, imaginary=imaginary, edge=edge,
    )  # fmt: skip


def _both_parts(axes: Axes, noise: np.ndarray, title: str, x: str) -> tuple[float, float]:
    """Histograms of the real and the imaginary part beside N(0, 1), and the SD of each."""
    real, imaginary, edges = float(noise.real.std()), float(noise.imag.std()), np.linspace(-4.5, 4.5, 60)
    steps(axes, noise.real, edges, BLUE, f"real, SD {real:.3f}")
    steps(axes, noise.imag, edges, ORANGE, f"imaginary, SD {imaginary:.3f}")
    normal(axes, 0, 1, "N(0, 1)")
    axes.set_ylim(0, 0.62)
    plain(axes, title, x, "density", key="upper left")
    return real, imaginary
