"""From records to batches: seeded shuffle, a share for every host, random crops, prefetched by threads.

The content of step s is a function of (seed, s) alone, so that a restart at step s needs no iterator state.
"""

from collections.abc import Iterator
from typing import Any, cast

import grain
import numpy as np

from data_pipeline.records import Record
from data_pipeline.sources import Source


def crop(record: Record, patch: tuple[int, int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random `[T, H, W]` patch of the image and the same `[R, H, W]` part of the g-maps; a shorter series is mirrored to fit."""
    padding = [(0, max(0, wanted - have)) for wanted, have in zip(patch, record.image.shape, strict=True)]
    image = np.pad(record.image, padding, mode="symmetric")
    gmaps = np.pad(record.gmaps, [(0, 0), *padding[1:]], mode="symmetric")
    start = [int(rng.integers(have - wanted + 1)) for wanted, have in zip(patch, image.shape, strict=True)]
    t, h, w = (slice(first, first + size) for first, size in zip(start, patch, strict=True))
    return image[t, h, w], gmaps[:, h, w]


def batches(
    source: Source,
    *,
    batch_size: int,
    patch: tuple[int, int, int],
    seed: int,
    first_step: int = 0,
    host: int = 0,
    hosts: int = 1,
    threads: int = 2,
) -> Iterator[dict[str, np.ndarray]]:
    """This host's share of every batch from `first_step` on, without end.

    Every record comes once an epoch. A crop depends on (seed, epoch, sample id).

    Args:
      source: records by position.
      batch_size: samples of the global batch; a multiple of `hosts`.
      patch: T, H, W of the crops.
      seed: of the shuffle and the crops.
      first_step: the step to continue from.
      host, hosts: index of this host, and how many there are.
      threads: that read and crop ahead of the training.

    Yields:
      image `[B, T, H, W]` complex64, gmaps `[B, R, H, W]` float32, native_noise `[B]` float32, sample_id and epoch `[B]` int32;
      B = batch_size / hosts.
    """
    if batch_size % hosts:
        raise ValueError(f"batch {batch_size} does not divide over {hosts} hosts: choose a multiple of {hosts}")

    def sample(position: int, record: Record) -> dict[str, Any]:
        epoch = position // len(source)
        image, gmaps = crop(record, patch, np.random.default_rng([seed, epoch, record.sample_id]))
        return {
            "image": image,
            "gmaps": gmaps,
            "native_noise": np.float32(record.native_noise),
            "sample_id": np.int32(record.sample_id),
            "epoch": np.int32(epoch),
        }

    order = grain.MapDataset.source(cast(Any, source)).seed(seed).shuffle().repeat(None)
    # a host's share is a contiguous part of the global batch, so the batch has one order on any number of hosts
    shares = order.map_with_index(sample).batch(batch_size // hosts)
    steps = shares.slice(slice(host, None, hosts)).slice(slice(first_step, None))
    return iter(steps.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)))
