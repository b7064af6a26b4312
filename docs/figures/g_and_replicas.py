"""The g-factor and noise replicas, on one axis and on two: sections 9, 10 and 12 of docs/physics.md."""

import numpy as np
from matplotlib.colors import Normalize

from docs.figures.phantom import (
    ALL,
    calibration,
    every,
    nrmse,
    replica_sd,
    replicas_over_g,
    scene,
    standard_error,
    unit,
    volume,
)
from docs.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SKY,
    SPREAD,
    Drawn,
    bar,
    curve,
    drawn,
    g_bar,
    normal,
    outline,
    plain,
    sheet,
    show,
    show_g,
    show_ratio,
    ticks,
    titled,
)
from snraware_jax.recon import grappa
from snraware_jax.recon.fourier import ifft2c


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
        outline(show_g(axes, maps[8][r - 1], f"g, R = {r}"), one.inside)
    g_bar(top, parts, 0.8)
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
    ticks(against_weight, y=(1, 2, 5, 10))
    weight_label = "λ (relative to the mean eigenvalue)"
    plain(against_weight, "in the object: falls with λ", weight_label, "mean g", key="upper left", ncols=3)
    edges = np.geomspace(0.05, 20, 60)
    for r, colour in ((2, BLUE), (4, GREEN)):
        for region, style, name in ((one.inside, "-", "object"), (~one.inside, ":", "background")):
            values.hist(maps[8][r - 1][region], edges, histtype="step", color=colour, ls=style, label=f"R = {r}, {name}")
    values.axvline(1, 0, 0.58, color="black", lw=1, ls="--")
    values.set_xscale("log")
    ticks(values, (0.1, 0.5, 1, 2, 5))
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
    error = standard_error(count)
    figure = sheet(3.7)
    top, bottom = figure.subplots(2, len(ALL), height_ratios=(1, 1))
    for i, r in enumerate(ALL):
        acquired = int(every(r, 48).sum())
        show_ratio(top[i], ratios[i], f"R = {r}, {acquired} lines", 6 * error)
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
    image, maps, kspace, inside = volume()
    rng, count, shape = np.random.default_rng(8), 300, image.shape
    noisy = (kspace + unit(rng, *kspace.shape)).astype(np.complex64)
    block = noisy[:, 4:20, 6:26]
    g_maps = np.asarray(grappa.g_maps(block, maps, ((2, 2), (4, 1))))
    unmixing = np.asarray(grappa.unmixing(block, maps, (2, 2)))
    acquired = every(2, shape[0])[:, None] & every(2, shape[1])
    axes = (-3, -2, -1)
    to_image = lambda k: np.sqrt(acquired.size / acquired.sum()) * np.asarray(ifft2c(np.where(acquired[..., None], k, 0), axes))
    ratio = replica_sd(lambda: grappa.unmix(to_image(unit(rng, 20, *maps.shape)), unmixing), count, 20) / g_maps[0]
    found = np.asarray(grappa.unmix(to_image(kspace.astype(np.complex64)), unmixing))
    error, expected = nrmse(found, image / 2, inside), standard_error(count)
    mean_g = [float(g[inside].mean()) for g in g_maps]
    figure = sheet(3.0)
    *parts, axes_ = figure.subplots(1, 6, width_ratios=(1, 1, 1, 1, 1, 1.5))
    middle = shape[0] // 2
    show(parts[0], np.linalg.norm(to_image(kspace)[:, middle], axis=0), "2 x 2, zero-filled", "gray", Normalize(0, 60))
    show(parts[1], np.abs(found[middle]), "unmixed", "gray", Normalize(0, 42))
    show(parts[2], g_maps[0][middle], f"g, R = 2 x 2: {mean_g[0]:.2f}", "viridis", Normalize(0, 3))
    show(parts[3], g_maps[1][middle], f"g, R = 4 x 1: {mean_g[1]:.2f}", "viridis", Normalize(0, 3))
    bar(figure, parts[2:4], "", location="bottom", shrink=0.8)
    show_ratio(parts[4], ratio[middle], "SD/g, R = 2 x 2")
    bar(figure, parts[4], "", location="bottom")
    axes_.hist(ratio.ravel(), np.linspace(0.85, 1.15, 41), density=True, color=SKY)
    normal(axes_, 1, expected, SPREAD)
    axes_.set_ylim(0, 19)
    plain(axes_, f"all {ratio.size:,} voxels, {count} replicas", "SD/g", "density", key="upper left")
    return titled(
        figure,
        "Two axes, R = 2 x 2: noise is g, and g is far below that of R = 4 along ky; middle partition of 24 x 32 x 28, 12 coils",
        f"mean SD/g {ratio.mean():.4f}, spread {ratio.std():.4f} ({expected:.4f} expected); noise-free NRMSE {error:.1e}; mean g "
        f"{mean_g[0]:.2f}, along ky alone {mean_g[1]:.2f}",
        mean=float(ratio.mean()), spread=float(ratio.std()), expected=expected, nrmse=error, g_2x2=mean_g[0], g_4x1=mean_g[1],
    )  # fmt: skip
