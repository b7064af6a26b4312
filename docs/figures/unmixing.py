"""Coil maps, the GRAPPA fit and its unmixing: sections 6 to 9 of docs/physics.md."""

import jax
import numpy as np
from matplotlib.colors import LogNorm, Normalize

from docs.figures.phantom import ALL, aliased, calibration, every, nrmse, replicas_over_g, scene, standard_error, unit
from docs.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SPREAD,
    Drawn,
    bar,
    curve,
    drawn,
    normal,
    outline,
    plain,
    sheet,
    show,
    show_ratio,
    steps,
    titled,
)
from snraware_jax.recon import coils, grappa


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
    for axes, image, title in zip(parts[:3], (one.maps, *maps.values()), ("true", *maps), strict=True):
        outline(show(axes, np.abs(image[0]), f"|map| of coil 0, {title}", "viridis", scale), one.inside)
    bar(figure, parts[:3], "", location="bottom", shrink=0.4)
    for axes, (name, image) in zip(parts[3:5], mismatch.items(), strict=True):
        outline(show(axes, np.maximum(image, 1e-7), f"1 − |⟨map, true⟩|, {name}", "magma", error), one.inside)
    bar(figure, parts[3:5], "", location="bottom", shrink=0.6)
    in_object = np.where(one.inside, np.abs(phase["Inati"]), np.nan)
    outline(show(parts[5], in_object, "|phase| combined, Inati", "viridis", Normalize(0, 0.1)), one.inside)
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
    expected, spread = standard_error(count), ratios.std(axis=(1, 2))
    errors = [nrmse(image, one.image / np.sqrt(r), one.inside) for image in images]
    figure = sheet(4.2)
    left, right = figure.subfigures(1, 2, width_ratios=(1.9, 1))
    (top, bottom), (profile, histogram) = left.subplots(2, r), right.subplots(2)
    for s in range(r):
        show(top[s], np.abs(images[s]), f"s = {s}: NRMSE {errors[s]:.1e}", "gray", Normalize(0, 37))
        show_ratio(bottom[s], ratios[s], f"SD/g, mean {ratios[s].mean():.4f}")
    bar(left, bottom, "", location="bottom", shrink=0.5)
    y = np.arange(48) - 24
    for s, colour in enumerate((BLUE, ORANGE, GREEN, RED)):
        curve(profile, y, np.abs(images[s][:, 20]), "-", colour, f"s = {s}")
        steps(histogram, ratios[s], np.linspace(0.85, 1.15, 40), colour)
    normal(histogram, 1, expected, SPREAD)
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
