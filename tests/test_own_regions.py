"""SNR of a user's regions: what is measured, and masks that are refused."""

import numpy as np
import pytest

from snraware_jax import own_regions
from snraware_jax.errors import InputError
from snraware_jax.formats.images import Images

SHAPE = (3, 2, 6, 7)  # frames, slices, H, W


def images() -> Images:
    return Images(np.ones(SHAPE, np.complex64), "numpy")


def test_snr_before_and_after():
    before, after = 8j * np.ones(SHAPE), 6 * np.ones(SHAPE)
    labels = np.zeros(SHAPE, int)
    labels[:, 0, :2], labels[:, 1] = 1, 3
    g_map = np.stack([np.full((6, 7), 2.0), np.full((6, 7), 4.0)])
    first, third = own_regions.measure(before, after, g_map, np.full(SHAPE, 0.5), labels)
    assert first == own_regions.Region(1, 42, 8, 6, 4, 12)
    assert third == own_regions.Region(3, 126, 8, 6, 2, 12)
    assert own_regions.sentence(first) == (
        "region 1, 42 points: SNR 4 before, 12 after (3.00 times); mean magnitude 0.750 of before"
    )


def test_masks_are_those_of_slices_or_frames(tmp_path):
    labels = np.arange(84).reshape(2, 6, 7) % 3
    np.save(tmp_path / "m.npy", labels)
    np.testing.assert_array_equal(own_regions.read(tmp_path / "m.npy", images()), np.broadcast_to(labels, SHAPE))
    np.save(tmp_path / "m.npy", np.broadcast_to(labels, SHAPE))
    assert own_regions.read(tmp_path / "m.npy", images()).shape == SHAPE


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((2, 6, 8)), "mask is 6x8x2, image is 6x7x2x3: draw it on this image"),
        (np.zeros((2, 6, 7)), "the mask is empty, 0 everywhere"),
        (np.full((2, 6, 7), 0.5), "whole numbers from 0 on"),
        (np.full((2, 6, 7), -1), "whole numbers from 0 on"),
        (np.arange(84).reshape(2, 6, 7), "83 labels, more than 64"),
    ],
)
def test_refused(tmp_path, mask, message):
    np.save(tmp_path / "m.npy", mask)
    with pytest.raises(InputError, match=message):
        own_regions.read(tmp_path / "m.npy", images())
