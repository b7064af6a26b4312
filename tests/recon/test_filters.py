"""Filters agree with the authors' (goldens) and keep white noise at its level (T13)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.noise.normal import complex_normal
from snraware_jax.recon import filters
from snraware_jax.recon.fourier import fft2c, ifft2c

GAUSSIANS = (0.0, 0.8, 1.0, 1.5, 2.0, 2.25)
RATIOS = (1.0, 0.85, 0.7, 0.65, 0.55)


@pytest.fixture(scope="module")
def goldens(shared):
    return np.load(shared / "goldens" / "misc" / "snr_filters.npz")


def responses(size: int) -> dict[str, np.ndarray]:
    """Every kind of filter at every setting that is used."""
    return {
        **{f"gaussian {sigma}": filters.gaussian(size, sigma) for sigma in GAUSSIANS},
        **{f"partial Fourier {r} {side}": filters.partial_fourier(size, r, side, 5) for r in RATIOS for side in (True, False)},
        **{f"resolution {ratio}": filters.reduced_resolution(size, ratio) for ratio in RATIOS},
        "hann": filters.hann(size),
        "tapered hann": filters.tapered_hann(size, 10),
    }


def noise_sd(image) -> float:
    """SD of zero-mean complex noise, of its real and imaginary part alike."""
    return float(np.sqrt(np.mean(np.abs(np.asarray(image)) ** 2, dtype=np.float64) / 2))


def test_gaussian_equals_the_authors(goldens):
    entries = [e for e in json.loads(str(goldens["index"])) if e.get("key", "").startswith("sym/") and e.get("snr_scaling")]
    assert len(entries) > 50
    for entry in entries:
        ours = filters.unit_noise(filters.gaussian(entry["len"], entry["sigma"]))
        np.testing.assert_allclose(ours, goldens[entry["key"]], atol=2e-6, err_msg=entry["key"])


def test_tapered_hanning_edge_equals_the_authors(goldens):
    """Their filter is given its last kept sample; ours the share of the axis, of which int(ratio N) is the last kept one."""
    compared = 0
    for entry in json.loads(str(goldens["index"])):
        if not entry.get("key", "").startswith("asym/") or entry.get("type") != "TapperedHanning":
            continue
        size, start, end, width = (entry[name] for name in ("len", "start", "end", "width"))
        if start != 0 or not 0 < end < size - 1 or not 0 < width < end:
            continue
        ours = filters.unit_noise(filters.partial_fourier(size, end / size, False, width))
        np.testing.assert_allclose(ours, goldens[entry["key"]], atol=2e-6, err_msg=entry["key"])
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("size", [32, 33])
def test_cut_on_either_side_mirrors(size):
    first, last = (np.asarray(filters.partial_fourier(size, 0.7, side, 4)) for side in (True, False))
    np.testing.assert_array_equal(first, last[::-1])
    assert (last > 0).sum() == int(0.7 * size) + 1


@pytest.mark.parametrize("size", [32, 33])
def test_whole_axis_is_left_alone(size):
    for response in (
        filters.gaussian(size, 0.0),
        filters.partial_fourier(size, 1.0, False, 4),
        filters.reduced_resolution(size, 1.0),
        filters.tapered_hann(size, 0),
    ):
        np.testing.assert_array_equal(response, 1)


@pytest.mark.parametrize(("size", "ratio", "kept"), [(64, 0.75, 48), (65, 0.75, 49), (20, 0.55, 12), (64, 0.55, 36)])
def test_reduced_resolution_cuts_both_sides_alike(size, ratio, kept):
    response = np.asarray(filters.reduced_resolution(size, ratio))
    assert response.sum() == kept
    np.testing.assert_array_equal(response, response[::-1])


def test_hann_is_the_textbook_window_with_its_maximum_at_dc():
    index = np.arange(32)
    np.testing.assert_allclose(filters.hann(32), 0.5 * (1 - np.cos(2 * np.pi * index / 32)), atol=1e-6)
    odd = np.asarray(filters.hann(33))
    np.testing.assert_allclose(odd, 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, 34) / 34)), atol=1e-6)
    assert odd.argmax() == 16


@pytest.mark.parametrize("size", [32, 33])
def test_tapered_hann_has_the_edge_of_partial_fourier_at_both_ends(size):
    response = np.asarray(filters.tapered_hann(size, 4))
    edge = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, 5) / 9))
    first = 1 - size % 2
    np.testing.assert_allclose(response[first : first + 4], edge, atol=1e-6)
    np.testing.assert_allclose(response[-4:], edge[::-1], atol=1e-6)
    np.testing.assert_array_equal(response[first + 4 : -4], 1)
    np.testing.assert_array_equal(response[:first], 0)
    one_sided = np.asarray(filters.partial_fourier(64, 0.7, False, 4))
    last = int(0.7 * 64)
    np.testing.assert_allclose(one_sided[last - 3 : last + 1], edge[::-1], atol=1e-6)


@pytest.mark.parametrize("size", [64, 65])
def test_white_noise_keeps_its_sd_under_every_filter(size):
    noise = complex_normal(jax.random.key(size), (2**20 // size, size))
    level = noise_sd(noise)
    for name, response in responses(size).items():
        assert noise_sd(filters.apply(noise, [response], axes=(-1,))) / level == pytest.approx(1, abs=0.003), name


@pytest.mark.parametrize("size", [48, 49])
def test_filtered_noise_has_the_same_sd_at_every_place(size):
    noise = complex_normal(jax.random.key(1), (8192, size))
    filtered = filters.apply(noise, [responses(size)["partial Fourier 0.55 True"]], axes=(-1,))
    np.testing.assert_allclose(np.std(np.asarray(filtered), axis=0) / np.sqrt(2), 1, atol=5 / np.sqrt(4 * 8192))


@pytest.mark.parametrize("size", [64, 65])
def test_a_product_is_scaled_once(size):
    several = [filters.gaussian(size, 1.5), filters.partial_fourier(size, 0.7, True, 5), filters.reduced_resolution(size, 0.65)]
    noise = complex_normal(jax.random.key(2), (2**20 // size, size))
    once = filters.apply(noise, [jnp.stack(several)], axes=(-1,))
    assert noise_sd(once) == pytest.approx(1, abs=0.003)
    # the negative control: each of them keeps the SD of white noise, but what the second one gets is not white any more
    one_by_one = noise
    for response in several:
        one_by_one = filters.apply(one_by_one, [response], axes=(-1,))
    assert abs(noise_sd(one_by_one) - 1) > 0.1
    difference = once / noise_sd(once) - one_by_one / noise_sd(one_by_one)
    assert noise_sd(difference) < 1e-5  # the same filter, but for its scale


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("ratio", [0.75, 0.55])
def test_lines_that_partial_fourier_left_out_do_not_count(size, ratio):
    acquired = np.arange(size) <= int(ratio * size)
    kspace = acquired * complex_normal(jax.random.key(3), (2**20 // size, size))
    image = ifft2c(kspace * np.sqrt(size / acquired.sum()), axes=(-1,))
    assert noise_sd(image) == pytest.approx(1, abs=0.003)
    response = filters.partial_fourier(size, ratio, False, 5) * filters.gaussian(size, 1.0)
    filtered = filters.apply(image, [response], axes=(-1,), acquired=[acquired])
    assert noise_sd(filtered) == pytest.approx(1, abs=0.003)
    # the negative control: over all lines, the boost of the acquired ones is counted a second time
    twice = filters.apply(image, [response], axes=(-1,))
    assert noise_sd(twice) == pytest.approx(np.sqrt(size / acquired.sum()), rel=0.003)


@pytest.mark.parametrize("shape", [(6, 10, 12), (5, 9, 13)], ids=["even", "odd"])
@pytest.mark.parametrize("axes", [(-2, -1), (1,), (-3, -2, -1), (2, 0)])
def test_axes_are_filtered_apart_from_each_other(shape, axes):
    image = complex_normal(jax.random.key(4), shape)
    along = [
        np.stack([filters.gaussian(shape[axis], 1.5), filters.partial_fourier(shape[axis], 0.7, True, 2)]) for axis in axes
    ]
    expected = np.asarray(image)
    for axis, response in zip(axes, along, strict=True):
        product = np.prod(response, axis=0)
        product /= np.sqrt(np.mean(product**2))
        matrix = np.asarray(ifft2c(np.diag(product) @ np.asarray(fft2c(np.eye(shape[axis]), axes=(0,))), axes=(0,)))
        expected = np.moveaxis(np.tensordot(matrix, expected, (1, axis)), 0, axis)
    np.testing.assert_allclose(filters.apply(image, along, axes), expected, atol=1e-5)
    filtered = filters.apply_to_kspace(fft2c(image, axes), along, axes)
    np.testing.assert_allclose(ifft2c(filtered, axes), expected, atol=1e-5)


def test_the_mean_of_the_object_keeps_its_phase():
    flat = np.full((15, 16), 3 - 2j, np.complex64)
    ratio = np.asarray(filters.apply(flat, [filters.hann(15), filters.hann(16)])) / flat
    np.testing.assert_allclose(ratio, ratio.real.mean(), atol=1e-5)
    assert ratio.real.mean() > 1


def test_parameters_may_be_traced_and_mapped():
    noise = complex_normal(jax.random.key(5), (4, 16, 15))

    def one(image, sigma, ratio, side, taper):
        rows = [filters.gaussian(16, sigma), filters.partial_fourier(16, ratio, side, taper), filters.tapered_hann(16, taper)]
        return filters.apply(image, [jnp.stack(rows), filters.reduced_resolution(15, ratio)])

    parameters = (
        jnp.array([0.0, 1, 2, 3]),
        jnp.array([0.6, 0.7, 0.9, 1]),
        jnp.array([True, False, True, False]),
        jnp.arange(4),
    )
    mapped = jax.jit(jax.vmap(one))(noise, *parameters)
    for i, image in enumerate(noise):
        np.testing.assert_allclose(mapped[i], one(image, *(float(p[i]) for p in parameters)), atol=1e-5)


def test_a_response_of_another_length_is_refused():
    with pytest.raises(ValueError, match="15 samples for axis -1"):
        filters.apply(np.ones((16, 16)), [np.ones(16), np.ones(15)])
    with pytest.raises(ValueError, match="zip"):
        filters.apply(np.ones((16, 16)), [np.ones(16)])
