"""Single against double precision, and agreement with goldens: section 16 of docs/physics.md."""

import jax
import numpy as np
from matplotlib.colors import LogNorm

from docs.figures.phantom import ALL, calibration, scene
from docs.figures.style import (
    BLUE,
    ORANGE,
    RED,
    SKY,
    Drawn,
    bar,
    curve,
    drawn,
    g_bar,
    level,
    outline,
    plain,
    shared,
    sheet,
    show,
    show_g,
    titled,
)
from snraware_jax.recon import grappa


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
    level(axes, 1e-3, "tolerance")
    axes.set_yscale("log")
    axes.set_ylim(1e-7, 30)
    plain(axes, "error of g in the object", "R", "|g / g(complex128) − 1|", key="upper left", ncols=2)
    panel = show(image, np.abs(of(single) / double - 1)[-1], "complex64, R = 8", "magma", LogNorm(1e-6, 1e-3, clip=True))
    outline(panel, one.inside)
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
    oracle, tools = (dict(np.load(shared(f"goldens/recon/{kind}_c8_192x144_acs48.npz"))) for kind in ("oracle", "tools"))
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
    show_g(first, double[2], "g, R = 4, default")
    show_g(second, tools["gmap_R4"], "g, R = 4, python-tools")
    g_bar(figure, second, 0.6)
    for name, (values, colour, marker) in error.items():
        curve(axes, accelerations, values, marker + "-", colour, name, 5)
    level(axes, 1e-5, "tolerance, complex128")
    level(axes, 1e-3, "tolerance, complex64", style=":")
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
