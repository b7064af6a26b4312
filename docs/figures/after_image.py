"""What follows the image: filters, another matrix, retro-gating: sections 13 to 15 of docs/physics.md."""

import numpy as np
from matplotlib.colors import Normalize

from docs.figures.phantom import sd, unit
from docs.figures.style import BLUE, GREEN, GREY, ORANGE, RED, SKY, Drawn, bar, curve, drawn, level, ones, plain, sheet, titled
from snraware_jax.recon import filters, gating, resize
from snraware_jax.recon.fourier import fft2c, ifft2c


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
        given = sd(noise)
        names = list(kinds)
        sds[n] = [float(sd(np.asarray(filters.apply(noise, [f], axes=(-1,)))) / given) for f in kinds.values()]
        if n == 64:
            shown, (first, second) = kinds, (kinds["Gaussian 2.25"], kinds["resolution 0.55"])
            once = float(sd(np.asarray(filters.apply(noise, [np.stack([first, second])], axes=(-1,)))) / given)
            twice = np.asarray(filters.apply(filters.apply(noise, [first], axes=(-1,)), [second], axes=(-1,)))
            apart = float(sd(twice) / given)
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
    level(controls, 1)
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
