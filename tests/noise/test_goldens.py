"""Transforms, filters, resizing and coloured noise equal the authors' stored results, complex value by complex value.

What is excepted are defects of their code: each is stated in the test it concerns, and is a rule that predicts every key.
"""

import json
import math
from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline.patches import resizing
from snraware_jax.noise import synthesis
from snraware_jax.noise.sampling import Draw
from snraware_jax.noise.settings import PRESETS
from snraware_jax.recon import filters
from snraware_jax.recon.fourier import fft2c, ifft2c
from snraware_jax.recon.resize import crop_resolution, zero_fill

SHAPES = ("24x20x3", "25x21x2", "16x18")  # of the authors' inputs: readout, phase encode, frames
RATIOS = PRESETS["upstream"].partial_fourier_ratios
TAPER = PRESETS["upstream"].taper_samples


@pytest.fixture(scope="module")
def stored(shared):
    return np.load(shared / "goldens" / "misc" / "snr_filters.npz")


@pytest.fixture(scope="module")
def noise(shared):
    return np.load(shared / "goldens" / "misc" / "snr_noise.npz")


def transposed(array):
    """The authors' [RO, E1, ...] as our [..., E1, RO], in our precision."""
    return np.asarray(array.T, np.complex64)


def check_image(ours, theirs, name=""):
    np.testing.assert_allclose(ours, theirs.T, rtol=0, atol=1e-5 * np.std(theirs), err_msg=name)


def check_response(ours, theirs, name=""):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6, err_msg=name)


def results(stored, kind, shape):
    """Key and parts of the key of every result of one kind for one input."""
    found = [(key, key.split("/")[1].split("_")) for key in stored if key.startswith(f"{kind}/")]
    return [(key, parts) for key, parts in found if shape in parts and parts[0] != "in" and parts[-1] not in ("fRO", "fE1")]


def rms(response):
    return float(np.sqrt(np.mean(np.square(response))))


# Transforms


@pytest.mark.parametrize(("shape", "count"), [("8x9", 8), ("16x12x3", 12), ("9x7x2", 12)])
def test_transforms_have_the_authors_centre_and_sign(stored, shape, count):
    """Both directions shift alike, ifftshift before and fftshift after, which matters for odd sizes only."""
    image = transposed(stored[f"fft/in_{shape}"])
    entries = results(stored, "fft", shape)
    assert len(entries) == count
    for key, (name, norm, _) in entries:
        inverse, axes = name.startswith("i"), tuple(range(-int(name[-2]), 0))
        factor = math.prod(image.shape[axis] for axis in axes) ** (-0.5 if inverse else 0.5) if norm == "backward" else 1
        check_image(factor * (ifft2c if inverse else fft2c)(image, axes), stored[key], key)


# Responses


def test_gaussian_has_maximum_one_before_it_is_scaled(stored):
    """With `snr_scaling` it is tested in test_filters.py; a filter of no type is all ones."""
    entries = [entry for entry in json.loads(str(stored["index"])) if entry.get("snr_scaling") is False]
    assert len(entries) == 108
    for entry in entries:
        check_response(filters.gaussian(entry["len"], entry["sigma"]), stored[entry["key"]], entry["key"])
    check_response(filters.gaussian(16, 0), stored["sym/none_16"])


def kept(size, first, last, taper):
    """Samples `first` to `last` with an edge at every cut, at both ends if nothing is cut: the authors' filter in our terms."""
    sides = edges(size, first, last)
    share = {True: (size - 1 - first) / size, False: last / size}
    response = math.prod((filters.partial_fourier(size, share[side], side, taper) for side in sides), start=jnp.ones(size))
    return filters.unit_noise(response)


def edges(size, first, last):
    """At which ends the authors put an edge, True for the first samples."""
    whole = first == 0 and last == size - 1
    return [side for side, cut in ((True, first > 0), (False, last < size - 1)) if cut or whole]


def authors_range(key):
    """Size, first and last sample that are kept, and taper, from a key; what their code makes of arguments out of range."""
    size, first, last, width = map(int, key.split("/")[1].split("_")[:4])
    first, last = first if first < size else 0, min(last, size - 1)
    if first > last:
        first, last = 0, size - 1
    return size, first, last, width if 0 < width < size else 1


def in_test_filters(key):
    """One edge at the end, tested there."""
    size, first, last, width = map(int, key.split("/")[1].split("_")[:4])
    return key.endswith("Hanning") and first == 0 < last < size - 1 and 0 < width < last


@pytest.mark.parametrize(("kind", "count"), [("TapperedHanning", 242), ("None", 288)])
def test_tapered_edge_at_either_or_both_ends(stored, kind, count):
    """Every end that is cut has an edge, and both ends have one if nothing is cut; of the type "None" it is sharp.

    Excepted: where two edges overlap, their code lets the second overwrite the first; where one is longer than what is kept, it
    raises.
    """
    keys = [entry["key"] for entry in json.loads(str(stored["index"])) if entry["key"].endswith(f"_{kind}")]
    keys = [key for key in keys if not in_test_filters(key)]
    assert len(keys) == count
    overlapping = 0
    for key in keys:
        size, first, last, taper = authors_range(key)
        number = len(edges(size, first, last))
        too_long = number * taper > last - first + 1
        assert (key in stored) == (number == 2 or not too_long), key
        if key in stored:
            ours = kept(size, first, last, taper if kind == "TapperedHanning" else 0)
            if too_long and kind == "TapperedHanning":
                overlapping += 1
                assert np.abs(ours - stored[key]).max() > 0.1, key
            else:
                check_response(ours, stored[key], key)
    assert overlapping == (5 if kind == "TapperedHanning" else 0)


@pytest.mark.parametrize("size", [31, 65])
def test_tapered_hann_of_an_odd_axis_is_the_edge_at_both_ends(stored, size):
    """Of an even axis ours is symmetric about DC, N//2, theirs about N/2 - 1/2."""
    for width in (5, 10):
        ours = filters.unit_noise(filters.tapered_hann(size, width))
        check_response(ours, stored[f"asym/{size}_0_{size - 1}_{width}_TapperedHanning"])


# Filters on data


@pytest.mark.parametrize("shape", SHAPES)
def test_reduced_resolution_of_an_image(stored, shape):
    """The masks are equal sample by sample; without `snr_scaling` theirs does not scale, and the norm of the transforms cancels."""
    image = transposed(stored[f"res/in_{shape}"])
    entries = results(stored, "res", shape)
    assert len(entries) == 12
    for key, (_, ratio_x, ratio_y, scaled, _) in entries:
        masks = [filters.reduced_resolution(n, float(r)) for n, r in zip(image.shape[-2:], (ratio_y, ratio_x), strict=True)]
        np.testing.assert_array_equal(masks[0], stored[f"{key}_fE1"], key)
        np.testing.assert_array_equal(masks[1], stored[f"{key}_fRO"], key)
        level = 1 if scaled == "1" else rms(masks[0]) * rms(masks[1])
        check_image(level * filters.apply(image, masks), stored[key], key)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_kspace_filter(stored, shape):
    """What they filter is the input of the other tests, taken for k-space: by a Gaussian along kx, partial Fourier along ky."""
    assert sum(key.startswith("kf/") for key in stored) == 2 * 4
    kspace = transposed(stored[f"res/in_{shape}"])
    along_y, along_x = stored[f"kf/{shape}_fE1"], stored[f"kf/{shape}_fRO"]
    check_response(filters.unit_noise(filters.gaussian(along_x.size, 1.0)), along_x)
    check_response(filters.unit_noise(filters.partial_fourier(along_y.size, 0.75, False, 5)), along_y)
    check_image(filters.apply_to_kspace(kspace, [along_y, along_x]), stored[f"kf/{shape}_2D"])
    check_image(filters.apply_to_kspace(kspace, [along_x], axes=(-1,)), stored[f"kf/{shape}_1D"])


IMAGE_FILTERS = {"24x20x3_2D": {-2: 0.8, -1: 1.25}, "25x21x2_2D": {-2: 0.8, -1: 1.25}, "24x20x3_T": {-3: 1.25}}


@pytest.mark.parametrize("name", IMAGE_FILTERS)
def test_image_filter(stored, name):
    """Gaussians of maximum 1, not scaled to unit noise; the sigmas were read off the data, out FFT / in FFT."""
    assert {key for key in stored if key.startswith("imf/")} == {f"imf/{name}" for name in IMAGE_FILTERS}
    image = transposed(stored[f"res/in_{name.split('_')[0]}"])
    responses = {axis: filters.gaussian(image.shape[axis], sigma) for axis, sigma in IMAGE_FILTERS[name].items()}
    dc_first = [(axis, jnp.fft.ifftshift(response)) for axis, response in responses.items()]
    level = math.prod(rms(response) for response in responses.values())
    check_image(synthesis.colour(image, dc_first), stored[f"imf/{name}"])
    check_image(level * filters.apply(image, list(responses.values()), list(responses)), stored[f"imf/{name}"])


# Another matrix


def by_fft(image, size):
    return (zero_fill if size > image.shape[-2:] else crop_resolution)(image, size)


def by_matrices(image, size):
    along_y, along_x = (resizing(n, m) for n, m in zip(image.shape[-2:], size, strict=True))
    return along_y @ image @ along_x.T


def wanted_size(kind, parts, shape):
    """The size that was asked for, y and x; `adjust_matrix_size` rounds half to even."""
    return tuple(round(float(parts[1]) * n) for n in shape) if kind == "adj" else (int(parts[2]), int(parts[1]))


def one_short(n, wanted):
    """Zeros are added in equal number on both sides, so that one is missing."""
    return wanted > n and (wanted - n) % 2 == 1


def off_centre(n, wanted):
    """The crop begins at (n - wanted) // 2, so that DC comes to lie one sample beyond the centre."""
    return wanted < n and n % 2 == 0 and wanted % 2 == 1


def is_affected(shape, wanted):
    return any(one_short(n, m) or off_centre(n, m) for n, m in zip(shape, wanted, strict=True))


def authors_factor(kind, parts, source, size):
    """Theirs over ours: zero-filling without SNR scaling, transforms with "backward" norm."""
    missing = (kind == "zp" and parts[3] == "0") + (parts[-1] == "backward")
    return math.sqrt(math.prod(source) / math.prod(size)) ** missing


@pytest.mark.parametrize("resize", [by_fft, by_matrices])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kind", "count"), [("zp", 12), ("msr", 6), ("adj", 5)])
def test_another_matrix(stored, kind, count, shape, resize):
    """Zero-filling, lower resolution and the data set's resizing are equal, for odd and even sizes.

    Excepted are two defects, and each of the results that they affect differs: zero-filling by an odd number of samples comes out
    one short, and cropping an even to an odd size moves DC by one sample.
    """
    image = transposed(stored[f"res/in_{shape}"])
    entries = results(stored, kind, shape)
    assert len(entries) == count
    for key, parts in entries:
        size = wanted_size(kind, parts, image.shape[-2:])
        ours = authors_factor(kind, parts, image.shape[-2:], size) * resize(image, size)
        theirs = stored[key]
        if is_affected(image.shape[-2:], size):
            assert ours.shape != theirs.T.shape or np.abs(ours - theirs.T).max() > 0.1 * np.std(theirs), key
        else:
            check_image(ours, theirs, key)


@pytest.mark.parametrize(("kind", "count"), [("zp", 12), ("msr", 4), ("adj", 6)])
def test_results_with_a_defect_are_what_it_predicts(stored, kind, count):
    """They equal ours at the size that came out, scaled for the size asked for, of k-space that lies one sample further on."""
    compared = 0
    for shape in SHAPES:
        image = transposed(stored[f"res/in_{shape}"])
        source = image.shape[-2:]
        for key, parts in results(stored, kind, shape):
            wanted = wanted_size(kind, parts, source)
            if not is_affected(source, wanted):
                continue
            size = tuple(m - one_short(n, m) for n, m in zip(source, wanted, strict=True))
            unscaled = kind == "zp" and parts[3] == "0"
            level = 1 if unscaled else math.sqrt(math.prod(wanted) / math.prod(size))
            ours = level * authors_factor(kind, parts, source, size) * by_fft(image * shift(source, wanted), size)
            check_image(ours, stored[key], key)
            compared += 1
    assert compared == count


def shift(source, wanted):
    """Phase of the image that moves k-space one sample up along the axes whose crop is off the centre."""
    along = [np.exp(2j * np.pi * off_centre(n, m) * (np.arange(n) - n // 2) / n) for n, m in zip(source, wanted, strict=True)]
    return np.outer(*along).astype(np.complex64)


# Noise


def draw_of(noise, number):
    return json.loads(str(noise["index"]))[number]


def partial_fourier_range(response):
    """First and last sample that are kept, None for an axis whose partial Fourier ratio was not drawn."""
    samples = np.flatnonzero(response)
    return None if np.all(response == 1) else (int(samples[0]), int(samples[-1]))


def ratio_and_side(size, first, last):
    """The authors' draw, from what is kept: their int(ratio N) first samples and one more, or the int(ratio N) last ones."""
    matches = {(ratio, first > 0) for ratio in RATIOS if int(ratio * size) == (size - first if first > 0 else last)}
    ((ratio, cut_start),) = matches if last < size - 1 or first > 0 else {(1.0, False)}
    return ratio, cut_start


def test_partial_fourier_filters_of_the_draws(noise):
    """All of them are ours, up to what we call a ratio.

    Ours keeps int(ratio N) + 1 samples on either side and leaves ratio 1 alone. So it expresses "last" by the drawn ratio, "first"
    by a ratio that is one sample smaller, and "edges", a drawn ratio of 1 that tapers both ends, only as a product of two.
    """
    found = Counter()
    for key in (key for key in noise if key.endswith(("fRO", "fE1"))):
        theirs, size = noise[key], noise[key].size
        place = partial_fourier_range(theirs)
        if place is None:
            kind, ratio, ours = "untouched", 1.0, filters.partial_fourier(size, 1.0, False, TAPER)
        else:
            ratio, cut_start = ratio_and_side(size, *place)
            kind = "edges" if ratio == 1 else "first" if cut_start else "last"
            if kind == "edges":
                ours = kept(size, *place, TAPER)
            else:
                ours = filters.partial_fourier(size, ratio - cut_start / size, cut_start, TAPER)
        check_response(filters.unit_noise(ours), theirs, key)
        if key.startswith("pf/"):
            assert ratio == noise[key[:-3] + "ratio"][int(key.endswith("fE1"))], key
        found[kind] += 1
    assert found == {"untouched": 8, "first": 10, "last": 11, "edges": 9}


@pytest.mark.parametrize("number", range(7))
def test_coloured_noise_of_a_draw(noise, number):
    """White noise, which has SD sigma already, under the product of all filters of an axis, scaled once."""
    assert len(json.loads(str(noise["index"]))) == 7 + 1
    draw, white = draw_of(noise, number), transposed(noise[f"noise/{number}_white"])
    responses = []
    for axis, name in ((-2, "E1"), (-1, "RO")):
        size = white.shape[axis]
        gaussian = filters.gaussian(size, draw[f"sigma_{name}"])
        product = noise[f"noise/{number}_pf_f{name}"] * gaussian * filters.reduced_resolution(size, draw[f"ratio_{name}"])
        responses.append((axis, jnp.fft.ifftshift(filters.unit_noise(product))))
    if draw["use_T"]:
        along_t = filters.unit_noise(filters.gaussian(white.shape[-3], draw["sigma_T"]))
        responses.append((-3, jnp.fft.ifftshift(along_t)))
    check_image(synthesis.colour(white, responses), noise[f"noise/{number}_out"])
    assert rms(np.abs(white)) / math.sqrt(2) == pytest.approx(draw["sigma"], rel=4 / math.sqrt(4 * white.size))


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6])
def test_coloured_noise_by_the_upstream_preset(noise, number):
    """The responses that training makes of the same draw; 0 and 4 drew a ratio of 1 that tapers both ends, which ours has not."""
    draw, white = draw_of(noise, number), transposed(noise[f"noise/{number}_white"])
    partial = []
    for axis, name in ((-2, "E1"), (-1, "RO")):
        size, place = white.shape[axis], partial_fourier_range(noise[f"noise/{number}_pf_f{name}"])
        ratio, cut_start = (1.0, False) if place is None else ratio_and_side(size, *place)
        assert place is None or ratio < 1
        partial.append((ratio - cut_start / size, cut_start))
    choices = Draw(
        sigma=jnp.float32(draw["sigma"]),
        g_index=jnp.int32(0),
        gaussian=jnp.array([draw["sigma_E1"], draw["sigma_RO"]]),
        partial_fourier=jnp.array([ratio for ratio, _ in partial]),
        cut_start=jnp.array([cut_start for _, cut_start in partial]),
        resolution=jnp.array([draw["ratio_E1"], draw["ratio_RO"]]),
        temporal=jnp.float32(draw.get("sigma_T", 0.0)),
    )
    responses = synthesis.responses(choices, PRESETS["upstream"], white.shape[-3:])
    assert [axis for axis, _ in responses] == [-3, -2, -1]
    check_image(synthesis.colour(white, responses), noise[f"noise/{number}_out"])


def test_white_draw_is_left_alone(noise):
    assert [draw["white"] for draw in json.loads(str(noise["index"]))] == [False] * 7 + [True]
    np.testing.assert_array_equal(noise["noise/7_out"], noise["noise/7_white"])
