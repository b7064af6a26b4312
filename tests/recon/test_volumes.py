"""GRAPPA of a volume, undersampled along ky and kz (specification, section 9): against explicit equations, and the identities again."""

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.recon import grappa
from tests.recon.phantom import aliased, complex_normal, object_and_coils, replica_sd, to_kspace, volume_and_coils

pytestmark = pytest.mark.xdist_group("volumes")  # compiled functions are shared

KERNEL = (4, 5)
VOLUME = (-3, -2, -1)
GRIDS = {"even": (16, 18, 20), "odd": (15, 17, 19)}
BLOCKS = {"even": (10, 12), "odd": (9, 11)}
FACTORS = [(2, 2), (3, 1), (1, 2)]  # R along ky, R along kz


@cache
def calibration_and_maps(name="even"):
    """Noisy calibration block of a volume and its coil maps: `[8, A_z, A, kx]`, `[8, kz, ky, kx]`, double precision."""
    images, maps = volume_and_coils(grid=GRIDS[name])
    kspace = to_kspace(images, VOLUME) + complex_normal(np.random.default_rng(3), *maps.shape)
    start = [size // 2 - count // 2 for size, count in zip(GRIDS[name], BLOCKS[name], strict=False)]
    block = tuple(slice(first, first + count) for first, count in zip(start, BLOCKS[name], strict=True))
    return kspace[:, *block], maps


@jax.jit
def _fitted(calibration, maps):
    kernels = dict(zip(FACTORS, grappa.fit_kernels(calibration, tuple(FACTORS)), strict=True))
    return {grappa.label(r): (w, grappa.image_domain(w, maps, r)) for r, w in kernels.items()}


@cache
def fitted(name):
    """Weights and unmixing of each of `FACTORS`, double precision: `{label: ([C_dst, C_src, taps, k_x], [C, kz, ky, kx])}`."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _fitted(*map(jnp.asarray, calibration_and_maps(name))))


def offsets_along(acceleration):
    """Offsets of the source lines: -R, 0, R, 2R; the acquired line alone on an axis that is not accelerated."""
    return [acceleration * i for i in (-1, 0, 1, 2)] if acceleration > 1 else [0]


def brute_force(calibration, acceleration, regularization=5e-4):
    """Convolution kernel {(d_z, d_y): `[C_dst, C_src, k_x]`} of target minus source, from one explicit row an acquired sample."""
    coils, depth, lines, readout = calibration.shape
    along_ky, along_kz = acceleration
    sources = list(product(offsets_along(along_kz), offsets_along(along_ky)))
    targets = [t for t in product(range(along_kz), range(along_ky)) if t != (0, 0)]
    inside = lambda z, y: all(0 <= z + o < depth and 0 <= y + p < lines for o, p in [*sources, *targets])
    places = [place for place in product(range(depth), range(lines)) if inside(*place)]
    rows, right = [], []
    for (z, y), x in product(places, range(2, readout - 2)):
        rows.append(np.stack([calibration[:, z + o, y + p, x - 2 : x + 3] for o, p in sources]).ravel())
        right.append(np.stack([calibration[:, z + t, y + s, x] for t, s in targets]).ravel())
    rows, right = np.array(rows), np.array(right)
    gram, size = rows.conj().T @ rows, rows.shape[1]
    ridge = regularization * np.trace(gram).real / size
    weights = np.linalg.solve(gram + ridge * np.eye(size), rows.conj().T @ right)
    weights = weights.reshape(len(sources), coils, KERNEL[1], len(targets), coils)
    return {
        (t[0] - o[0], t[1] - o[1]): np.einsum("skd->dsk", weights[i, :, :, j])
        for (i, o), (j, t) in product(enumerate(sources), enumerate(targets))
    }


def image_domain(kernel, maps, acceleration):
    """Unmixing of that kernel: laid out in a zero k-space around N//2, transformed without 1/sqrt(N), combined with the maps."""
    coils, *grid = maps.shape
    laid_out = np.zeros((coils, coils, *grid), complex)
    centre = [size // 2 for size in grid]
    laid_out[range(coils), range(coils), *centre] = 1
    for (z, y), taps in kernel.items():
        for k in range(KERNEL[1]):  # a source at x + k - 2 is a tap at d_x = 2 - k
            laid_out[..., centre[0] + z, centre[1] + y, centre[2] + 2 - k] += taps[..., k]
    transformed = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(laid_out, VOLUME), axes=VOLUME), VOLUME) * np.prod(grid)
    return np.einsum("dzyx,dszyx->szyx", maps.conj(), transformed) / np.prod(acceleration)


@pytest.mark.parametrize("acceleration", FACTORS, ids=grappa.label)
@pytest.mark.parametrize("name", GRIDS)
def test_the_fit_is_that_of_explicit_equations(name, acceleration):
    """Weights and unmixing, complex, to 1e-8; kernel 4 x 4 x 5 and the ridge lambda tr(G)/n."""
    calibration, maps = calibration_and_maps(name)
    weights, unmixing = fitted(name)[grappa.label(acceleration)]
    expected = brute_force(calibration, acceleration)
    taps = [tuple(d) for d in grappa.tap_offsets(acceleration).tolist()]
    assert sorted(taps) == sorted(expected)
    scale = max(np.abs(one).max() for one in expected.values())
    for i, d in enumerate(taps):
        np.testing.assert_allclose(weights[:, :, i], expected[d], rtol=0, atol=1e-8 * scale)
    directly = image_domain(expected, maps, acceleration)
    np.testing.assert_allclose(unmixing, directly, rtol=0, atol=1e-8 * np.abs(directly).max())


def sampled(grid, acceleration, phase=(0, 0)):
    """Lines `[kz, ky]` that are acquired; acceleration and phase along (ky, kz)."""
    z, y = ((np.arange(size) - s) % r == 0 for size, r, s in zip(grid[:2], acceleration[::-1], phase[::-1], strict=True))
    return z[:, None] & y[None]


@pytest.mark.parametrize(
    ("grid", "acceleration", "widths"),
    [
        ((16, 18, 20), (2, 2), (3, 3, 3)),
        ((15, 18, 20), (3, 1), (1, 3, 3)),
        ((16, 17, 19), (1, 2), (3, 1, 3)),
        ((16, 21, 19), (3, 2), (3, 3, 1)),
        ((15, 18, 19), (2, 3), (3, 3, 1)),
    ],
)
def test_noise_free_volumes_are_unaliased_at_every_phase(grid, acceleration, widths):
    """T6 and T11 of a volume: one unmixing for every pair of phases; the signal is that of the full data over sqrt(R), complex.

    Calibrated on all lines. R divides its axis, so that the sampling is uniform across the edge of k-space; the others are odd.
    """
    images, maps = volume_and_coils(grid=grid, widths=widths)
    kspace = to_kspace(images, VOLUME)
    with jax.enable_x64(True):
        unmixing = np.asarray(grappa.unmixing(kspace, maps, acceleration, regularization=1e-10))
    expected = np.sum(maps.conj() * images, axis=0) / np.sqrt(np.prod(acceleration))
    for phase in product(*map(range, acceleration)):
        found = grappa.unmix(aliased(kspace, sampled(grid, acceleration, phase)), unmixing)
        assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected), f"phase {phase}"


@pytest.mark.parametrize("acceleration", FACTORS, ids=grappa.label)
@pytest.mark.parametrize("name", GRIDS)
def test_noise_of_the_volume_is_g(name, acceleration):
    """T5 of a volume: pseudo-replicas within 4 SE of g at 99.9 % of the voxels, also where R does not divide the lines (odd)."""
    replicas = 200
    unmixing = fitted(name)[grappa.label(acceleration)][1].astype(np.complex64)
    sd = replica_sd(unmixing, sampled(GRIDS[name], acceleration), replicas)
    ratio = sd / np.asarray(grappa.g_factor(unmixing))
    assert np.mean(np.abs(ratio - 1) < 4 / np.sqrt(4 * replicas)) >= 0.999
    assert ratio.mean() == pytest.approx(1, abs=0.005)


def test_no_acceleration_is_the_coil_combination():
    """T3 of a volume."""
    calibration, maps = (part.astype(np.complex64) for part in calibration_and_maps())
    np.testing.assert_array_equal(grappa.unmixing(calibration, maps, (1, 1)), maps.conj())
    np.testing.assert_array_equal(grappa.g_maps(calibration, maps, ((1, 1),)), np.ones((1, *GRIDS["even"])))


def test_a_slice_is_a_volume_of_one_partition():
    image, maps = object_and_coils()
    kspace = to_kspace(60 * image * maps) + complex_normal(np.random.default_rng(3), *maps.shape)
    calibration = kspace[:, 11:37]
    with jax.enable_x64(True):
        plane = np.asarray(grappa.unmixing(calibration, maps, 3))
        volume = np.asarray(grappa.unmixing(calibration[:, None], maps[:, None], (3, 1)))
    assert volume.shape == (8, 1, 48, 40)
    np.testing.assert_allclose(volume[:, 0], plane, rtol=0, atol=1e-10 * np.abs(plane).max())


def test_the_axes_of_a_volume_may_change_places():
    """R along ky of the volume is R along kz of the one whose lines and partitions are exchanged."""
    calibration, maps = calibration_and_maps()
    exchanged = lambda volume: np.swapaxes(volume, 1, 2)
    with jax.enable_x64(True):
        found = np.asarray(grappa.unmixing(exchanged(calibration), exchanged(maps), (2, 1)))
    np.testing.assert_allclose(exchanged(found), fitted("even")["1x2"][1], rtol=0, atol=1e-10 * np.abs(found).max())


def test_all_accelerations_at_once_equal_one_by_one():
    """T16 of a volume, to 1e-5 in double precision."""
    with jax.enable_x64(True):
        apart = np.stack([grappa.g_maps(*calibration_and_maps(), (r,))[0] for r in FACTORS])
    together = np.stack([np.linalg.norm(fitted("even")[grappa.label(r)][1], axis=0) for r in FACTORS])
    np.testing.assert_allclose(together, apart, rtol=1e-5)


@pytest.mark.parametrize("width", [3, 5, 7])
@pytest.mark.parametrize("extra", [0, 1, 17], ids=lambda n: f"2 k_x + {n}")
def test_the_window_sums_are_the_direct_sums(width, extra):
    """Sums over lines of P_first^H P_second from the lags and the ends alone, to 1e-10; the readout as short as is accepted."""
    lines, coils, readout = 6, 3, 2 * width + extra
    rng = np.random.default_rng(7)
    first, second = (rng.normal(size=(lines, coils, readout)) + 1j * rng.normal(size=(lines, coils, readout)) for _ in range(2))
    member = (rng.uniform(size=(4, lines)) < 0.6).astype(float)
    windows = lambda line: np.lib.stride_tricks.sliding_window_view(line, width, axis=-1)  # [lines, C, x, k_x]
    direct = np.einsum("sl,lixu,ljxv->suvij", member, windows(first).conj(), windows(second), optimize=True)
    with jax.enable_x64(True):
        found = np.asarray(grappa._window_sums(jnp.asarray(first), width)(jnp.asarray(second), jnp.asarray(member)))
    np.testing.assert_allclose(found, direct, rtol=0, atol=1e-10)


def test_too_few_lines_along_either_axis_are_refused():
    calibration, maps = calibration_and_maps()
    with pytest.raises(ValueError, match="R = 2x2 needs 7 calibration lines along kz, there are 6"):
        grappa.unmixing(calibration[:, :6], maps, (2, 2))
    with pytest.raises(ValueError, match="R = 2x2 needs 7 calibration lines along ky, there are 6"):
        grappa.unmixing(calibration[:, :, :6], maps, (2, 2))
    with pytest.raises(ValueError, match="R = 4x1 needs 13 calibration lines along ky, there are 12"):
        grappa.unmixing(calibration, maps, (4, 1))
