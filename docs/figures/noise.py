"""Noise covariance, transforms, samples that are missing, averages: sections 1 to 5 of docs/physics.md."""

import jax
import numpy as np
from matplotlib.colors import Normalize

from docs.figures.phantom import every, scene, sd, unit
from docs.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SKY,
    Drawn,
    bar,
    curve,
    drawn,
    level,
    ones,
    plain,
    sheet,
    show,
    ticks,
    titled,
)
from snraware_jax.recon import chain, prewhiten
from snraware_jax.recon.averaging import temporal_average
from snraware_jax.recon.fourier import fft2c, remove_oversampling


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
    level(sd_axes, 1)
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
    parts[3].set(xscale="log", yscale="log")
    ticks(parts[3], (1, 2, 5, 10, 20), (0.2, 0.3, 0.5, 1))
    plain(parts[3], "noise of a calibration line", "frames n that sampled the line", "SD", key="best")
    return titled(
        figure,
        r"TPAT: calibration lines are means over the frames that sampled them, SD $1/\sqrt{n(q)}$ by a count per line",
        f"30 frames at R = 2: SD {at_two:.3f} of 15 averages (0.258 expected); all lines within {worst:.1%}",
        sd_15_averages=at_two, worst=worst,
    )  # fmt: skip
