"""Batches are a function of (seed, step): every record once an epoch, the same after a restart and on more hosts."""

import dataclasses
import math

import numpy as np
import pytest
from absl import flags

from data_pipeline import loader, records
from data_pipeline.patches import PRESETS, RATIOS
from data_pipeline.records import Record
from data_pipeline.sources import ShardSource, Source
from snraware_jax.errors import InputError

PATCH = (4, 8, 8)


def series(sample_id: int, shape: tuple[int, int, int] = (6, 11, 9)) -> Record:
    # every value says where it was: frame + i line + position of the sample
    t, h, w = np.indices(shape)
    image = (t + 100 * h + 1j * w).astype(np.complex64)
    return Record(sample_id, image, np.stack([h + 100 * w] * 7)[:, 0].astype(np.float32), 1.0, f"{sample_id}", "train")


SOURCE = [series(10 * i) for i in range(10)]


def take(count: int, source: Source = SOURCE, **changes) -> list[dict[str, np.ndarray]]:
    stream = loader.batches(source, **({"batch_size": 4, "patch": PATCH, "seed": 1} | changes))
    return [next(stream) for _ in range(count)]


def test_every_record_once_an_epoch():
    batches = take(15)
    ids = np.concatenate([batch["sample_id"] for batch in batches])
    epochs = np.concatenate([batch["epoch"] for batch in batches])
    for epoch in range(6):
        assert sorted(ids[epochs == epoch]) == [10 * i for i in range(10)]
    assert list(ids[:10]) != list(ids[10:20])


def test_a_restart_at_any_of_50_positions_continues_with_the_same_batches():
    upstream = {"augmentation": PRESETS["upstream"], "threads": 1}
    uninterrupted = take(52, **upstream)
    for first in range(50):
        same(take(2, first_step=first, **upstream), uninterrupted[first : first + 2])


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_share_the_same_global_batch(hosts):
    shares = [take(8, host=host, hosts=hosts) for host in range(hosts)]
    joined = [{name: np.concatenate([share[step][name] for share in shares]) for name in shares[0][step]} for step in range(8)]
    same(joined, take(8))


@pytest.fixture
def parsed_flags():
    flags.FLAGS.mark_as_parsed()
    yield
    flags.FLAGS.unparse_flags()


def test_worker_processes_need_parsed_flags():
    with pytest.raises(ValueError, match="parsed absl flags"):
        take(1, workers=1)


@pytest.mark.parametrize("workers", [2, 4])
def test_worker_processes_make_the_same_batches(workers, tmp_path, parsed_flags):
    records.write_shard(tmp_path / "x.h5", SOURCE)
    source = ShardSource(tmp_path, "train")
    same(
        take(9, source, workers=workers, threads=1, augmentation=PRESETS["upstream"]), take(9, augmentation=PRESETS["upstream"])
    )


def same(found: list[dict[str, np.ndarray]], expected: list[dict[str, np.ndarray]]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            assert one[name].tobytes() == other[name].tobytes(), name


def test_g_maps_are_cropped_where_the_image_is():
    for batch in take(5):
        lines, columns = batch["image"][:, 0].real // 100, batch["image"][:, 0].imag
        np.testing.assert_array_equal(batch["gmaps"][:, 0], lines + 100 * columns)


def test_the_size_of_the_series_and_the_margin_of_its_g_maps():
    for batch in take(3, g_margin=2):
        np.testing.assert_array_equal(batch["size"], [[6, 11, 9]] * 4)
        assert batch["gmaps"].shape == (4, 7, 12, 12)
        lines, columns = batch["image"][:, 0].real // 100, batch["image"][:, 0].imag
        np.testing.assert_array_equal(batch["gmaps"][:, 0, 2:-2, 2:-2], lines + 100 * columns)
        # one line further up there is the one before, or the first again
        before = np.maximum(lines[:, 0] - 1, 0) + 100 * columns[:, 0]
        np.testing.assert_array_equal(batch["gmaps"][:, 0, 1, 2:-2], before)
    resized = take(8, augmentation=dataclasses.replace(PRESETS["upstream"], matrix_size=1.0))
    sizes = {tuple(size) for batch in resized for size in batch["size"].tolist()}
    assert sizes == {(6, math.ceil(11 * ratio), math.ceil(9 * ratio)) for ratio in RATIOS}


def test_a_series_for_which_no_noise_can_be_made_is_refused():
    with pytest.raises(InputError, match=r"record 3: \(2049, 8\) is too large"):
        take(1, [series(3, (4, 2049, 8))], batch_size=1)


def test_other_seeds_and_epochs_give_other_crops():
    corners = {
        (seed, step): tuple(batch["image"][:, 0, 0, 0]) for seed in (1, 2) for step, batch in enumerate(take(4, seed=seed))
    }
    assert len(set(corners.values())) == len(corners)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="choose a multiple of 3"):
        take(1, hosts=3)


def test_records_with_other_numbers_of_g_maps_are_refused():
    other = dataclasses.replace(SOURCE[0], sample_id=5, gmaps=SOURCE[0].gmaps[:3])
    with pytest.raises(InputError, match=r"record 5 has 3, record \d+ has 7"):
        take(1, [*SOURCE[:3], other])
