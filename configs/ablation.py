"""What the knowledge of the reconstruction is worth: the four training modes of the paper's Table 2, in small.

    python launch/ablation.py --workdir=runs/ablation                                  # all modes, two seeds: 3 hours on 2 CPU cores
    python launch/train.py --config=configs/ablation.py:without_g_factor               # one of them

The network is that of configs/laptop.py, which small budgets suffice for. Results: docs/reproduction.md.
"""

from ml_collections import ConfigDict

from configs import laptop

MODES = {
    "proposed": {},
    "without_g_factor": {"model.input": "complex"},  # the noise follows the g-map, but the network does not see it
    "without_mr_noise": {"noise.filters": False},  # white, amplified by the g-map, which the network sees
    "without_reconstruction": {"model.input": "magnitude", "noise.filters": False, "noise.g_maps": "ones"},
}


def get_config(mode: str = "proposed") -> ConfigDict:
    config = laptop.get_config("long")
    config.data.simulation.subjects = (600, 8, 32)
    config.train.update(steps=6000, evaluate_every=1000, checkpoint_every=500)
    config.evaluation.series = 32
    return in_mode(config, mode)


def in_mode(config: ConfigDict, mode: str) -> ConfigDict:
    """A copy of `config` in one of the modes."""
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} does not exist: choose one of {', '.join(MODES)}")
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict(MODES[mode])
    return changed.lock()
