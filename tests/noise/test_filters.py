"""Filters agree with the authors' (goldens) and keep white noise at its level."""

import json

import numpy as np
import pytest

from snraware_jax.noise import filters


@pytest.fixture(scope="module")
def goldens(shared):
    return np.load(shared / "goldens" / "misc" / "snr_filters.npz")


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
    ):
        np.testing.assert_array_equal(response, 1)


@pytest.mark.parametrize(("size", "ratio", "kept"), [(64, 0.75, 48), (65, 0.75, 49), (20, 0.55, 12), (64, 0.55, 36)])
def test_reduced_resolution_cuts_both_sides_alike(size, ratio, kept):
    response = np.asarray(filters.reduced_resolution(size, ratio))
    assert response.sum() == kept
    np.testing.assert_array_equal(response, response[::-1])
