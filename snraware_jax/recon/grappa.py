"""GRAPPA: calibration, image-domain unmixing, and the noise that it lets through; undersampled along ky, or along ky and kz.

Notation: source lines lie at the offsets o of an acquired line e, targets at e + t. One pass over the calibration lines serves
every acceleration: all their normal equations are sums of the same products of two lines. Lines of a volume are numbered through,
kz outermost, so that an offset (o_z, o_y) is the one number o_z A + o_y and two axes cost no code of their own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from snraware_jax.recon import hermitian

Acceleration = int | tuple[int, int]  # R along ky, or (R along ky, R along kz)

ACCELERATIONS = (2, 3, 4, 5, 6, 7, 8)
KERNEL = (4, 5)
REGULARIZATION = 5e-4
ROWS_AT_ONCE = 16  # ky lines of the unmixing in work at a time: bounds the memory, fills a matrix unit


def unmix(aliased: ArrayLike, unmixing: ArrayLike) -> Array:
    """Combine aliased coil images into one image: I(r) = sum_c u_c(r) a_c(r).

    Args:
      aliased: `[..., C, (kz,) ky, kx]` coil images of the zero-filled, prewhitened k-space, noise SD 1 in real and imaginary part.
      unmixing: `[C, (kz,) ky, kx]` unmixing coefficients in the image domain, 1/R included.

    Returns:
      `[..., (kz,) ky, kx]` image of noise SD `g_factor(unmixing)`; its signal is that of the full data times sqrt(f)/R, f the
      lines of the grid over those acquired: over sqrt(R) where every R-th line was.

    Source: Breuer et al., MRM 2009; docs/physics.md.
    """
    unmixing = jnp.asarray(unmixing)
    return jnp.sum(jnp.asarray(aliased) * unmixing, axis=-unmixing.ndim)


def g_factor(unmixing: ArrayLike) -> Array:
    """Noise amplification of an unmixing, g(r) = sqrt(sum_c |u_c(r)|^2); `[C, ...]` -> `[...]`, dimensionless.

    The paper's "sum of squares" is the variance: the map is its square root.
    """
    unmixing = jnp.asarray(unmixing)
    return jnp.sqrt(jnp.sum(unmixing.real**2 + unmixing.imag**2, axis=0))


def factors(acceleration: Acceleration) -> tuple[int, int]:
    """(R along ky, R along kz) of an acceleration in either form."""
    return acceleration if isinstance(acceleration, tuple) else (acceleration, 1)


def label(acceleration: Acceleration) -> str:
    """An acceleration as people write it: "4", "2x2"."""
    along_ky, along_kz = factors(acceleration)
    return f"{along_ky}x{along_kz}" if isinstance(acceleration, tuple) else f"{along_ky}"


def lines_needed(acceleration: int, kernel: tuple[int, int] = KERNEL) -> int:
    """Contiguous calibration lines along one axis that hold one complete kernel: (k_y - 1) R + 1; 1 where R is 1."""
    offsets = _axis_offsets(acceleration, kernel[0])
    return max(*offsets, acceleration - 1) - min(offsets) + 1


def rows_per_unknown(acceleration: Acceleration, block: Sequence[int], coils: int, kernel: tuple[int, int] = KERNEL) -> float:
    """Equations of a fit over its unknowns, for calibration data `((A_z,) A, kx)`; infinite where nothing is accelerated."""
    sources, targets = _offsets(acceleration, kernel)
    reach = lambda axis: max(o[axis] for o in [*sources, *targets]) - min(o[axis] for o in sources)
    sizes = (1, *block)[-3:]
    rows = (sizes[0] - reach(0)) * (sizes[1] - reach(1)) * (sizes[2] - kernel[1] + 1)
    return rows / (coils * len(sources) * kernel[1]) if targets else float("inf")


@partial(jax.jit, static_argnames=("acceleration", "kernel", "regularization"))
def unmixing(
    calibration: ArrayLike,
    coil_maps: ArrayLike,
    acceleration: Acceleration,
    kernel: tuple[int, int] = KERNEL,
    regularization: float = REGULARIZATION,
) -> Array:
    """GRAPPA unmixing coefficients u_src(r) = 1/R sum_dst conj(map_dst(r)) k_(dst,src)(r), acquired lines kept.

    k is the convolution kernel transformed to the image domain, fitted with Tikhonov weight lambda tr(G)/n. R = 1 runs no fit:
    u = conj(map). The sampled phase (which lines are acquired) does not enter: the same u serves every frame of a TPAT scan.

    Args:
      calibration: `[C, (A_z,) A, kx]` whitened k-space, lines without gaps; kx that of the calibration, at least twice the kernel's.
      coil_maps: `[C, (kz,) ky, kx]`, sum_c |map_c|^2 = 1.
      acceleration: R along ky, or (R along ky, R along kz).
      kernel: source lines along each accelerated axis, readout points (the latter odd).
      regularization: lambda, relative to the mean eigenvalue of the normal equations, so it does not depend on the scale.

    Returns:
      `[C, (kz,) ky, kx]` complex64, 1/R included.

    Raises:
      ValueError: if there are fewer than `lines_needed` calibration lines along an axis.

    Source: Griswold et al., MRM 2002; Blaimer et al., MRM 2006 (two axes); Breuer et al., MRM 2009; docs/physics.md.
    """
    calibration, coil_maps = jnp.asarray(calibration), jnp.asarray(coil_maps)
    weights = fit_kernels(calibration, (acceleration,), kernel, regularization)[0]
    return image_domain(weights, coil_maps, acceleration, kernel)


@partial(jax.jit, static_argnames=("accelerations", "kernel", "regularization"))
def g_maps(
    calibration: ArrayLike,
    coil_maps: ArrayLike,
    accelerations: tuple[Acceleration, ...] = ACCELERATIONS,
    kernel: tuple[int, int] = KERNEL,
    regularization: float = REGULARIZATION,
) -> Array:
    """G-factor maps of several accelerations from the same calibration lines, `g_factor(unmixing(...))`: `[R, (kz,) ky, kx]`.

    Arguments and errors as for `unmixing`; R = 1 gives exactly 1.
    """
    calibration, coil_maps = jnp.asarray(calibration), jnp.asarray(coil_maps)
    kernels = fit_kernels(calibration, accelerations, kernel, regularization)
    return jnp.stack([g_map(w, coil_maps, r, kernel) for r, w in zip(accelerations, kernels, strict=True)])


def g_map(weights: Array, coil_maps: Array, acceleration: Acceleration, kernel: tuple[int, int] = KERNEL) -> Array:
    """The g-factor map of one fitted kernel; exactly 1 where nothing is accelerated."""
    if factors(acceleration) == (1, 1):
        return jnp.ones(coil_maps.shape[1:], jnp.float32)
    return g_factor(image_domain(weights, coil_maps, acceleration, kernel))


def fit_kernels(
    calibration: Array,
    accelerations: tuple[Acceleration, ...],
    kernel: tuple[int, int] = KERNEL,
    regularization: float = REGULARIZATION,
) -> list[Array]:
    """Kernels of all accelerations, `[C_dst, C_src, taps, k_x]` each, taps in the order of `tap_offsets`.

    Raises:
      ValueError: as `unmixing`.
    """
    coils, *lines, readout = calibration.shape
    block = (1 if len(lines) == 1 else lines[0], lines[-1])
    if readout < 2 * kernel[1]:
        raise ValueError(f"calibration readouts of {readout} samples; a kernel of {kernel[1]} needs {2 * kernel[1]}")
    patterns = [_pattern(r, block, kernel) for r in accelerations]
    sums, where = line_products(calibration.reshape(coils, -1, readout), patterns, kernel[1])
    return [solve_kernel(sums, places, pattern, regularization) for places, pattern in zip(where, patterns, strict=True)]


class Pattern(NamedTuple):
    """One acceleration on a calibration block whose lines are numbered through (kz outermost).

    Attributes:
      sources: offsets of the source lines from an acquired line e.
      targets: offsets of the lines to be synthesised.
      acquired: `[lines]` bool, every e whose sources and targets all lie in the block.
    """

    sources: list[int]
    targets: list[int]
    acquired: np.ndarray


def _axis_offsets(acceleration: int, count: int) -> list[int]:
    """Offsets of the source lines along one axis; an axis that is not accelerated has the acquired line alone."""
    return [acceleration * (i - (count - 1) // 2) for i in range(count)] if acceleration > 1 else [0]


def _offsets(acceleration: Acceleration, kernel: tuple[int, int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Offsets (z, y) of sources and targets; an acceleration of 1 has no targets."""
    along_ky, along_kz = factors(acceleration)
    sources = list(product(_axis_offsets(along_kz, kernel[0]), _axis_offsets(along_ky, kernel[0])))
    return sources, list(product(range(along_kz), range(along_ky)))[1:]


def tap_offsets(acceleration: Acceleration, kernel: tuple[int, int] = KERNEL) -> np.ndarray:
    """d = target minus source (the kernel is flipped, not conjugated), sources outermost: `[taps, 2]`, (z, y)."""
    sources, targets = _offsets(acceleration, kernel)
    return np.array([(t[0] - o[0], t[1] - o[1]) for o in sources for t in targets]).reshape(-1, 2)


def _pattern(acceleration: Acceleration, block: tuple[int, int], kernel: tuple[int, int]) -> Pattern:
    sources, targets = _offsets(acceleration, kernel)
    acquired = np.ones(block, bool)
    for axis, (size, name) in enumerate(zip(block, ("kz", "ky"), strict=True)):
        reach = [offset[axis] for offset in [*sources, *targets]]
        if size <= max(reach) - min(reach):
            needed = max(reach) - min(reach) + 1
            raise ValueError(f"R = {label(acceleration)} needs {needed} calibration lines along {name}, there are {size}")
        place = np.arange(size)
        inside = (place + min(reach) >= 0) & (place + max(reach) < size)
        acquired &= np.expand_dims(inside, 1 - axis)
    flat = lambda offsets: [z * block[1] + y for z, y in offsets]
    return Pattern(flat(sources), flat(targets), acquired.ravel())


def line_products(
    calibration: Array, patterns: Sequence[Pattern], width: int
) -> tuple[Array, list[dict[tuple[int, int], tuple[int, int]]]]:
    """Sums over the acquired lines e of P[e+a]^H P[e+b], a <= b, `[distances, slots, k_x, k_x, C, C]`; P[y]: readout windows of y.

    Products of two lines at the same distance are computed once for all patterns. The second value says for each pattern in which
    (row, slot) the sum of (a, b) is.
    """
    by_distance: dict[int, list[tuple[int, int, int]]] = {}
    for i, pattern in enumerate(patterns):
        partners = [*pattern.sources, *pattern.targets] if pattern.targets else []
        for first, second in sorted({(min(o, other), max(o, other)) for o in pattern.sources for other in partners}):
            by_distance.setdefault(second - first, []).append((i, first, second))

    lines, distances = calibration.shape[1], sorted(by_distance)
    member = np.zeros((len(distances), max(map(len, by_distance.values()), default=0), lines), np.float32)
    where: list[dict[tuple[int, int], tuple[int, int]]] = [{} for _ in patterns]
    for row, distance in enumerate(distances):
        for slot, (i, first, second) in enumerate(by_distance[distance]):
            member[row, slot, np.flatnonzero(patterns[i].acquired) + first] = 1
            where[i][first, second] = row, slot
    by_line = jnp.moveaxis(calibration, 1, 0)  # [lines, C, kx]
    beyond = jnp.pad(by_line, ((0, max(distances, default=0)), (0, 0), (0, 0)))
    sums_with = _window_sums(by_line, width)

    def sums_at(step: tuple[Array, Array]) -> Array:
        distance, lines_of_slot = step
        return sums_with(lax.dynamic_slice_in_dim(beyond, distance, lines), lines_of_slot)

    return lax.map(sums_at, (jnp.asarray(distances, jnp.int32), jnp.asarray(member))), where


def _window_sums(first: Array, width: int) -> Callable[[Array, Array], Array]:
    """A function of (second `[lines, C, kx]`, member `[slots, lines]`): sum_y member(y) P_first[y]^H P_second[y].

    Entry (u, v, i, j) of a line is sum_x conj(first_i(x + u)) second_j(x + v) over x = 0..kx - k_x. Pairs (u, v) of one lag v - u have
    all samples but k_x - 1 at the ends in common: 2 k_x - 1 long sums instead of k_x^2, and the ends apart. Exact.

    Returns `[slots, k_x, k_x, C, C]`, axes (slot, u, v, i, j).
    """
    lines, coils, readout = first.shape
    ends = width - 1
    middle = slice(ends, readout - ends)
    lagged = jnp.stack([first[..., ends - lag : readout - ends - lag] for lag in range(-ends, width)], 1).conj()
    lagged = lagged.reshape(lines, -1, readout - 2 * ends)  # [lines, lags * C, x]
    u, v = np.arange(width)[:, None], np.arange(width)[None, :]
    place = np.stack([np.r_[shift:ends, readout - ends : readout - ends + shift] for shift in range(width)])  # [k_x, k_x - 1]
    first_ends = first[..., place[None] + (u - v)[..., None]].conj()  # [lines, C, u, v, k_x - 1]

    def sums(second: Array, member: Array) -> Array:
        def over_lines(products: Array) -> Array:
            flat = products.reshape(lines, -1)
            # tied to the data: under a vmap over series each keeps a product of its own, and with it the order of its sums
            total = lambda part: jnp.matmul(member + 0 * part[0, 0], part, precision="highest")
            return lax.complex(total(flat.real), total(flat.imag)).reshape(len(member), *products.shape[1:])

        common = jnp.einsum("ymx,yjx->ymj", lagged, second[..., middle], precision="highest")
        common = over_lines(common.reshape(lines, -1, coils, coils))
        at_ends = over_lines(jnp.einsum("yiuve,yjve->yuvij", first_ends, second[..., place], precision="highest"))
        return common[:, v - u + ends] + at_ends

    return sums


def solve_kernel(sums: Array, where: dict[tuple[int, int], tuple[int, int]], pattern: Pattern, regularization: float) -> Array:
    """Weights of (G + lambda tr(G)/n I) w = H from the sums of `line_products`: `[C_dst, C_src, taps, k_x]`."""
    *_, width, _, coils = sums.shape
    sources, targets, _ = pattern
    if not targets:
        return jnp.zeros((coils, coils, 0, width), sums.dtype)

    def blocks(others: Sequence[int]) -> Array:
        """`[sources, others, k_x, k_x, C, C]`; (a, b) of the other order is the Hermitian transpose."""
        pairs = [(o, other) for o in sources for other in others]
        row, slot = np.array([where[min(pair), max(pair)] for pair in pairs]).T
        swapped = np.array([o > other for o, other in pairs])[:, None, None, None, None]
        found = sums[row, slot]
        found = jnp.where(swapped, jnp.einsum("kuvij->kvuji", found.conj()), found)
        return found.reshape(len(sources), len(others), *found.shape[1:])

    size = len(sources) * coils * width
    gram = jnp.einsum("abuvij->auibvj", blocks(sources)).reshape(size, size)
    right = jnp.einsum("atuij->auitj", blocks(targets)[:, :, :, width // 2]).reshape(size, -1)
    ridge = regularization * jnp.trace(gram).real / size
    weights = hermitian.solve(gram + ridge * jnp.eye(size, dtype=gram.dtype), right)
    weights = weights.reshape(len(sources), width, coils, len(targets), coils)
    return jnp.einsum("oxstd->dsotx", weights).reshape(coils, coils, -1, width)


def image_domain(weights: Array, coil_maps: Array, acceleration: Acceleration, kernel: tuple[int, int] = KERNEL) -> Array:
    """Unmixing of a kernel `[C_dst, C_src, taps, k_x]` at the pixels of `coil_maps`: `[C, (kz,) ky, kx]`.

    The sum over the destination coils is taken before the transform along x, so `[C, C, ky, kx]` never exists and the cost
    does not depend on R.
    """
    if factors(acceleration) == (1, 1):
        return coil_maps.conj()
    coils, *lines, readout = coil_maps.shape
    offsets, width = tap_offsets(acceleration, kernel), kernel[1]
    sizes = (1, *lines)[-2:]
    z, y = (_dft(size, offsets[:, axis], weights.dtype) for axis, size in enumerate(sizes))
    along_lines = (z[:, None] * y[None]).reshape(-1, len(offsets))  # [lines, taps]
    along_x = jnp.asarray(_dft(readout, width // 2 - np.arange(width), weights.dtype))

    def row(step: tuple[Array, Array]) -> Array:
        phases, maps = step  # [taps], [C, kx]
        response = jnp.einsum("t,dstk->dsk", phases, weights, precision="highest").reshape(coils, -1)
        combined = jnp.matmul(maps.conj().T, response, precision="highest").reshape(readout, coils, width)
        return jnp.einsum("xsk,xk->sx", combined, along_x, precision="highest")

    by_line = jnp.moveaxis(coil_maps.reshape(coils, -1, readout), 1, 0)
    synthesised = jnp.moveaxis(lax.map(row, (jnp.asarray(along_lines), by_line), batch_size=ROWS_AT_ONCE), 0, 1)
    # the acquired lines pass through unchanged: the unit tap at d = 0 of every coil
    return (coil_maps.conj() + synthesised.reshape(coil_maps.shape)) / np.prod(factors(acceleration)).astype(np.float32)


def _dft(size: int, offsets: np.ndarray, dtype: jnp.dtype) -> np.ndarray:
    """exp(2 pi i d r/N) with r from the centre: `[size, offsets]`."""
    position = np.arange(size) - size // 2
    return np.exp(2j * np.pi * np.outer(position, offsets) / size).astype(dtype)
