"""Flags of launch/train.py for a network and a budget that compile and train in seconds."""

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
