"""A network, a budget, records and a scan that take seconds."""

from pathlib import Path

import numpy as np

from data_pipeline import records
from data_pipeline.simulator import Settings

# flags of launch/train.py
TINY = (
    "--config.data.patch=(4,16,16)",
    "--config.model.channels=4",
    "--config.model.heads=2",
    "--config.model.cells=T1",
    "--config.model.levels=1",  # a third of the compilation of two
    "--config.model.stochastic_depth=0.2",
    "--config.evaluation.tile=(4,16,16)",
    "--config.evaluation.overlap=(2,4,4)",
    "--config.evaluation.series=1",
    "--config.evaluation.peak_snr=(8.0,)",
    "--config.evaluation.baselines=False",
    "--config.train.log_every=1",
    "--config.train.evaluate_every=8",
    "--config.train.checkpoint_every=4",
)

# settings of a scan that is simulated and reconstructed in a second
SCAN = Settings(matrix=(48, 56), frames=4, acceleration=2, calibration_lines=24, noise_readouts=256)


def write_records(folder: Path) -> None:
    """Writes twelve records to train on and two each to validate and test."""
    t, y, x = np.mgrid[:6, :20, :24]

    def record(sample_id: int, split: str) -> records.Record:
        rng = np.random.default_rng(sample_id)
        radius = 6 + np.cos(t + sample_id)
        image = 60 * (np.hypot(y - 10, x - 12) < radius) * np.exp(1j * rng.uniform(-1, 1)) + 20
        gmaps = (1 + rng.uniform(0, 1, (7, 1, 1)) * np.ones((7, 20, 24))).astype(np.float32)
        return records.Record(sample_id, image.astype(np.complex64), gmaps, 0.0, f"subject-{sample_id}", split)

    for first, (split, count) in enumerate({"train": 12, "validation": 2, "test": 2}.items()):
        records.write_shard(folder / f"{split}.h5", [record(100 * first + i, split) for i in range(count)])
