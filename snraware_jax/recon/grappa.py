"""GRAPPA: calibration, image-domain unmixing, and the noise that it lets through.

Notation: source lines lie at the offsets o of an acquired line e, targets at e + t. One pass over the calibration lines serves
every acceleration: all their normal equations are sums of the same products of two lines.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from snraware_jax.recon import hermitian

ACCELERATIONS = (2, 3, 4, 5, 6, 7, 8)
KERNEL = (4, 5)
REGULARIZATION = 5e-4


def unmix(aliased: ArrayLike, unmixing: ArrayLike) -> Array:
    """Combine aliased coil images into one image: I(r) = sum_c u_c(r) a_c(r).

    Args:
      aliased: `[..., C, ky, kx]` coil images of the zero-filled, prewhitened k-space, noise SD 1 in real and imaginary part.
      unmixing: `[C, ky, kx]` unmixing coefficients in the image domain, 1/R included.

    Returns:
      `[..., ky, kx]` image of noise SD `g_factor(unmixing)`; its signal is that of the full data over sqrt(R).

    Source: Breuer et al., MRM 2009; docs/physics.md.
    """
    return jnp.einsum("...cyx,cyx->...yx", aliased, unmixing, precision="highest")


def g_factor(unmixing: ArrayLike) -> Array:
    """Noise amplification of an unmixing, g(r) = sqrt(sum_c |u_c(r)|^2); `[C, ky, kx]` -> `[ky, kx]`, dimensionless.

    The paper's "sum of squares" is the variance: the map is its square root.
    """
    return jnp.sqrt(jnp.sum(jnp.abs(jnp.asarray(unmixing)) ** 2, axis=-3))


def lines_needed(acceleration: int, kernel: tuple[int, int] = KERNEL) -> int:
    """Contiguous calibration lines that hold one complete kernel: (k_y - 1) R + 1."""
    return (kernel[0] - 1) * acceleration + 1


@partial(jax.jit, static_argnames=("acceleration", "kernel", "regularization"))
def unmixing(
    calibration: ArrayLike,
    coil_maps: ArrayLike,
    acceleration: int,
    kernel: tuple[int, int] = KERNEL,
    regularization: float = REGULARIZATION,
) -> Array:
    """GRAPPA unmixing coefficients u_src(r) = 1/R sum_dst conj(map_dst(r)) k_(dst,src)(r), acquired lines kept.

    k is the convolution kernel transformed to the image domain, fitted with Tikhonov weight lambda tr(G)/n. R = 1 runs no fit:
    u = conj(map). The sampled phase (which lines are acquired) does not enter: the same u serves every frame of a TPAT scan.

    Args:
      calibration: `[C, lines, kx]` whitened k-space at the readout size of `coil_maps`, contiguous lines.
      coil_maps: `[C, ky, kx]`, sum_c |map_c|^2 = 1.
      acceleration: R along ky.
      kernel: source lines, readout points (the latter odd).
      regularization: lambda, relative to the mean eigenvalue of the normal equations, so it does not depend on the scale.

    Returns:
      `[C, ky, kx]` complex64, 1/R included.

    Raises:
      ValueError: if there are fewer than `lines_needed(acceleration)` calibration lines.

    Source: Griswold et al., MRM 2002; Breuer et al., MRM 2009; docs/physics.md.
    """
    calibration, coil_maps = jnp.asarray(calibration), jnp.asarray(coil_maps)
    weights = fit_kernels(calibration, (acceleration,), kernel, regularization)[0]
    return _image_domain(weights, coil_maps, acceleration, kernel)


@partial(jax.jit, static_argnames=("accelerations", "kernel", "regularization"))
def g_maps(
    calibration: ArrayLike,
    coil_maps: ArrayLike,
    accelerations: tuple[int, ...] = ACCELERATIONS,
    kernel: tuple[int, int] = KERNEL,
    regularization: float = REGULARIZATION,
) -> Array:
    """G-factor maps of several accelerations from the same calibration lines, `g_factor(unmixing(...))`: `[R, ky, kx]`.

    Arguments and errors as for `unmixing`; R = 1 gives exactly 1.
    """
    calibration, coil_maps = jnp.asarray(calibration), jnp.asarray(coil_maps)
    kernels = fit_kernels(calibration, accelerations, kernel, regularization)
    one = lambda r, weights: (
        jnp.ones(coil_maps.shape[1:], jnp.float32) if r == 1 else g_factor(_image_domain(weights, coil_maps, r, kernel))
    )
    return jnp.stack([one(r, weights) for r, weights in zip(accelerations, kernels, strict=True)])


def fit_kernels(
    calibration: Array, accelerations: tuple[int, ...], kernel: tuple[int, int] = KERNEL, regularization: float = REGULARIZATION
) -> list[Array]:
    """Kernels of all accelerations, `[C_dst, C_src, k_y * (R-1), k_x]` each, taps in the order of `_tap_offsets`."""
    coils, lines, _ = calibration.shape
    for r in accelerations:
        if r > 1 and lines < lines_needed(r, kernel):
            raise ValueError(f"R = {r} needs {lines_needed(r, kernel)} calibration lines, there are {lines}")
    products = _line_products(calibration, accelerations, kernel)
    return [_solve(products, r, coils, kernel, regularization) for r in accelerations]


def _source_offsets(acceleration: int, kernel: tuple[int, int]) -> list[int]:
    return [acceleration * (i - (kernel[0] - 1) // 2) for i in range(kernel[0])]


def _tap_offsets(acceleration: int, kernel: tuple[int, int]) -> np.ndarray:
    """d_y = target minus source (the kernel is flipped, not conjugated), sources outermost: `[k_y * (R-1)]`."""
    return np.array([t - o for o in _source_offsets(acceleration, kernel) for t in range(1, acceleration)])


def _line_products(
    calibration: Array, accelerations: tuple[int, ...], kernel: tuple[int, int]
) -> tuple[Array, dict[tuple[int, int, int], tuple[int, int]]]:
    """Sums over all acquired lines e of P[e+a]^H P[e+b], `[C k_x, C k_x]`, and where to find each by its key (R, a, b), a <= b.

    P[y] holds the readout windows of line y. Products of two lines at the same distance are computed once for all R.
    """
    coils, lines, readout = calibration.shape
    width = kernel[1]
    windows = jnp.stack([calibration[:, :, i : readout - width + 1 + i] for i in range(width)])  # [k_x, C, lines, x]
    windows = jnp.einsum("icyx->yxci", windows).reshape(lines, readout - width + 1, coils * width)

    by_distance: dict[int, list[tuple[int, int, int]]] = {}
    for r in accelerations:
        sources, targets = _source_offsets(r, kernel), range(1, r)
        pairs = {tuple(sorted((o, other))) for o in sources for other in [*sources, *targets]} if r > 1 else set()
        for first, second in sorted(pairs):
            by_distance.setdefault(second - first, []).append((r, first, second))

    distances = sorted(by_distance)
    member = np.zeros((len(distances), max(map(len, by_distance.values()), default=0), lines), np.float32)
    for row, distance in enumerate(distances):
        for slot, (r, first, _) in enumerate(by_distance[distance]):
            sources = _source_offsets(r, kernel)
            member[row, slot, first - sources[0] : lines - sources[-1] + first] = (
                1  # e from -sources[0] to lines - 1 - sources[-1]
            )
    beyond = jnp.pad(windows, ((0, max(distances, default=0)), (0, 0), (0, 0)))

    def sums_at(step: tuple[Array, Array]) -> Array:
        distance, lines_of_key = step
        partner = lax.dynamic_slice_in_dim(beyond, distance, lines)
        products = jnp.einsum("yxi,yxj->yij", windows.conj(), partner, precision="highest")
        return jnp.einsum("ky,yij->kij", lines_of_key.astype(products.dtype), products, precision="highest")

    sums = lax.map(sums_at, (jnp.asarray(distances, jnp.int32), jnp.asarray(member)))  # [distances, keys, C k_x, C k_x]
    where = {key: (row, slot) for row, distance in enumerate(distances) for slot, key in enumerate(by_distance[distance])}
    return sums, where


def _solve(
    products: tuple[Array, dict], acceleration: int, coils: int, kernel: tuple[int, int], regularization: float
) -> Array:
    """Weights of (G + lambda tr(G)/n I) w = H: `[C_dst, C_src, k_y * (R-1), k_x]`."""
    (height, width), targets = kernel, range(1, acceleration)
    if acceleration == 1:
        return jnp.zeros((coils, coils, 0, width))
    sums, where = products
    sources = _source_offsets(acceleration, kernel)

    def blocks(others: Sequence[int]) -> Array:
        pairs = [(o, other) for o in sources for other in others]
        row, slot = np.array([where[acceleration, min(pair), max(pair)] for pair in pairs]).T
        swapped = np.array([o > other for o, other in pairs])[:, None, None]
        found = jnp.where(swapped, jnp.einsum("kij->kji", sums[row, slot].conj()), sums[row, slot])
        return found.reshape(height, len(others), coils * width, coils * width)

    size = height * coils * width
    gram = jnp.einsum("abij->aibj", blocks(sources)).reshape(size, size)
    at_target = blocks(targets).reshape(height, len(targets), coils * width, coils, width)[..., width // 2]
    right = jnp.einsum("atid->aitd", at_target).reshape(size, len(targets) * coils)
    ridge = regularization * jnp.trace(gram).real / size
    weights = hermitian.solve(gram + ridge * jnp.eye(size, dtype=gram.dtype), right)
    weights = weights.reshape(height, coils, width, len(targets), coils)
    return jnp.einsum("osxtd->dsotx", weights).reshape(coils, coils, height * len(targets), width)


def _image_domain(weights: Array, coil_maps: Array, acceleration: int, kernel: tuple[int, int]) -> Array:
    """Unmixing of the kernel: two small DFT matrices for each destination coil, so `[C, C, ky, kx]` never exists."""
    if acceleration == 1:
        return coil_maps.conj()
    _, lines, readout = coil_maps.shape
    along_y = _dft(lines, _tap_offsets(acceleration, kernel), weights.dtype)
    along_x = _dft(readout, kernel[1] // 2 - np.arange(kernel[1]), weights.dtype)

    def add_destination(total: Array, destination: tuple[Array, Array]) -> tuple[Array, None]:
        taps, coil_map = destination
        response = jnp.einsum("stk,xk->stx", taps, along_x, precision="highest")
        response = jnp.einsum("yt,stx->syx", along_y, response, precision="highest")
        return total + coil_map.conj() * response, None

    # the acquired lines pass through unchanged: the unit tap at d = 0 of every coil
    passed = coil_maps.conj().astype(jnp.result_type(coil_maps, weights))
    total = lax.scan(add_destination, passed, (weights, coil_maps))[0]
    return total / acceleration


def _dft(size: int, offsets: np.ndarray, dtype: jnp.dtype) -> np.ndarray:
    position = np.arange(size) - size // 2
    return np.exp(2j * np.pi * np.outer(position, offsets) / size).astype(dtype)
