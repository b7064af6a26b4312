"""Batches are a function of (seed, step): every record once an epoch, the same after a restart and on more hosts."""

import numpy as np
import pytest

from data_pipeline import loader
from data_pipeline.records import Record

PATCH = (4, 8, 8)


def series(sample_id: int, shape: tuple[int, int, int] = (6, 11, 9)) -> Record:
    # every value says where it was: frame + i line + position of the sample
    t, h, w = np.indices(shape)
    image = (t + 100 * h + 1j * w).astype(np.complex64)
    return Record(sample_id, image, np.stack([h + 100 * w] * 7)[:, 0].astype(np.float32), 1.0, f"{sample_id}", "train")


SOURCE = [series(10 * i) for i in range(10)]


def take(count: int, **changes) -> list[dict[str, np.ndarray]]:
    stream = loader.batches(SOURCE, **({"batch_size": 4, "patch": PATCH, "seed": 1} | changes))
    return [next(stream) for _ in range(count)]


def test_every_record_once_an_epoch():
    batches = take(15)
    ids = np.concatenate([batch["sample_id"] for batch in batches])
    epochs = np.concatenate([batch["epoch"] for batch in batches])
    for epoch in range(6):
        assert sorted(ids[epochs == epoch]) == [10 * i for i in range(10)]
    assert list(ids[:10]) != list(ids[10:20])


@pytest.mark.parametrize("first", [1, 7])
def test_a_restart_continues_with_the_same_batches(first):
    for expected, found in zip(take(first + 3)[first:], take(3, first_step=first), strict=True):
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])


def test_hosts_share_the_same_global_batch():
    whole = take(5)
    shares = [take(5, host=host, hosts=2) for host in (0, 1)]
    for step in range(5):
        for name, expected in whole[step].items():
            np.testing.assert_array_equal(np.concatenate([share[step][name] for share in shares]), expected)


def test_g_maps_are_cropped_where_the_image_is():
    for batch in take(5):
        lines, columns = batch["image"][:, 0].real // 100, batch["image"][:, 0].imag
        np.testing.assert_array_equal(batch["gmaps"][:, 0], lines + 100 * columns)


def test_other_seeds_and_epochs_give_other_crops():
    corners = {
        (seed, step): tuple(batch["image"][:, 0, 0, 0]) for seed in (1, 2) for step, batch in enumerate(take(4, seed=seed))
    }
    assert len(set(corners.values())) == len(corners)


def test_a_short_series_is_mirrored():
    image, gmaps = loader.crop(series(0, (1, 5, 8)), PATCH, np.random.default_rng(0))
    assert image.shape == PATCH
    assert gmaps.shape == (7, 8, 8)
    np.testing.assert_array_equal(image[0], image[3])
    np.testing.assert_array_equal(image[:, 5:], image[:, 4:1:-1])


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="choose a multiple of 3"):
        take(1, hosts=3)
