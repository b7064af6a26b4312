"""From records to batches: seeded shuffle, a share for every host, random patches, prefetched by threads or processes.

The content of step s is a function of (seed, s) alone, so that a restart at step s needs no iterator state.
"""

import signal
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import grain
import numpy as np
from absl import flags

from data_pipeline import patches, sources
from data_pipeline.patches import Augmentation
from data_pipeline.sources import Source
from snraware_jax.errors import InputError

LONGEST = 2048  # samples of an axis, as in snraware_jax/noise/response.py, which imports JAX

EPOCHS = 2**30  # without end in practice; grain cannot count endless batches of one sample


@lru_cache(maxsize=8)
def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The positions `[count]` of all records in the order of an epoch.

    Grain's own shuffle takes 14 ms for each of 5 records.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))).permutation(count)


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
    workers: int = 0,
    augmentation: Augmentation = Augmentation(),  # noqa: B008 (frozen)
    g_margin: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
    """This host's share of every batch from `first_step` on, without end.

    Every record comes once an epoch. A patch depends on (seed, epoch, sample id).

    Args:
      source: records by position.
      batch_size: samples of the global batch; a multiple of `hosts`.
      patch: T, H, W of the patches.
      seed: of the shuffle and the patches.
      first_step: the step to continue from.
      host, hosts: index of this host, and how many there are.
      threads: that read and cut ahead of the training, in each process.
      workers: processes that do so; 0 for threads of this one, which is faster unless cutting holds it up. The batches are the same.
      augmentation: how patches are varied.
      g_margin: points around the patches that their g-maps cover too, see `NoiseSettings.g_margin`.

    Yields:
      image `[B, T, H, W]` complex64, gmaps `[B, R, H + 2 g_margin, W + 2 g_margin]` float32, size `[B, 3]` int32 (T, H, W of the series
      that the patch is of), native_noise `[B]` float32, sample_id and epoch `[B]` int32; B = batch_size / hosts.

    Raises:
      ValueError: if the batch does not divide over the hosts, or there are workers in a program whose absl flags are not parsed.
      InputError: naming file and record, when a batch with a record that cannot be used is due; or as `stack`.
    """
    if batch_size % hosts:
        raise ValueError(f"batch {batch_size} does not divide over {hosts} hosts: choose a multiple of {hosts}")
    if workers and not flags.FLAGS.is_parsed():
        raise ValueError("worker processes need parsed absl flags: call absl.flags.FLAGS.mark_as_parsed(), or give workers=0")

    count = len(source)

    def sample(number: int) -> dict[str, Any]:
        epoch, place = divmod(number, count)
        stored = sources.stored(source, int(order(count, seed, epoch)[place]))
        rng = np.random.default_rng([seed, epoch, stored.sample_id])
        choice = patches.draw(rng, stored.shape, patch, augmentation)
        size = (stored.shape[0], *choice.matrix)
        if max(choice.matrix) > LONGEST:
            raise InputError(
                f"record {stored.sample_id}: {choice.matrix} is too large, noise is made for axes of {LONGEST} at most"
            )
        record = stored.read(patches.region(choice, patch, g_margin))
        image, gmaps = patches.cut(choice, patch, record.image, record.gmaps, g_margin)
        return {
            "image": image,
            "gmaps": gmaps,
            "size": np.array(size, np.int32),
            "native_noise": np.float32(record.native_noise),
            "sample_id": np.int32(record.sample_id),
            "epoch": np.int32(epoch),
        }

    # a host's share is a contiguous part of the global batch, so the batch has one order on any number of hosts
    shares = grain.MapDataset.range(EPOCHS * count).map(sample).batch(batch_size // hosts, batch_fn=stack)
    steps = shares.slice(slice(host, None, hosts)).slice(slice(first_step, None))
    ahead = steps.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads))
    if workers:
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        ahead = ahead.mp_prefetch(options, worker_init_fn=_leave_signals_to_the_program)
        # out of shared memory, which Python complains about if it is still in use at the end of a program
        ahead = ahead.map(lambda batch: {name: np.array(value) for name, value in batch.items()})
    return _closing(iter(ahead))


def _leave_signals_to_the_program(worker: int, workers: int) -> None:
    """Ctrl-C and SLURM's SIGTERM come to every process; a training that saves first needs its workers until then."""
    del worker, workers
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def stack(samples: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """One batch of samples, with a first axis for them.

    Raises:
      InputError: if the records differ in their number of g-maps.
    """
    maps = {len(sample["gmaps"]): int(sample["sample_id"]) for sample in samples}
    if len(maps) > 1:
        found = ", ".join(f"record {sample_id} has {count}" for count, sample_id in sorted(maps.items()))
        raise InputError(f"records differ in their number of g-maps ({found}); prepare all with the same accelerations")
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def _closing(iterator: grain.DatasetIterator) -> Iterator[dict[str, np.ndarray]]:
    """The same elements; ends threads, processes and their shared memory when it is let go of."""
    try:
        yield from iterator
    finally:
        iterator.close()
