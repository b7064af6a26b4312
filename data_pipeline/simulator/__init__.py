"""Raw scans with known truth: anatomy, contrast, coils, acquisition.

A subject follows from (seed, subject) alone: card, body, beating heart, coils and noise each draw from their own stream, what
belongs to one view or slice of it from streams of its own.
"""

from data_pipeline.simulator.acquisition import Acquired, acquire, from_magnitude
from data_pipeline.simulator.protocols import TABLE_1
from data_pipeline.simulator.simulation import Simulated, TrainingSample, check_training, simulate, study, training_sample
from data_pipeline.simulator.subject import Settings

__all__ = [
    "TABLE_1",
    "Acquired",
    "Settings",
    "Simulated",
    "TrainingSample",
    "acquire",
    "check_training",
    "from_magnitude",
    "simulate",
    "study",
    "training_sample",
]
