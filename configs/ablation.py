"""What the knowledge of the reconstruction is worth: the four training modes of the paper's Table 2, in small.

    python launch/ablation.py --workdir=runs/ablation                                  # all modes, two seeds: 3 to 6 hours on 2 cores
    python launch/train.py --config=configs/ablation.py:without_g_factor               # one of them

The proposed mode is configs/laptop.py:long with more steps. Results: docs/reproduction.md.
"""

from ml_collections import ConfigDict

from configs import laptop

# every mode states all the fields in which modes differ, so that any of them can be made from any other
FIELDS = ("model.input", "noise.filters", "noise.g_maps")
MODES = {
    "proposed": ("complex_g", True, "random"),
    "without_g_factor": ("complex", True, "random"),  # the noise follows the g-map, but the network does not see it
    "without_mr_noise": ("complex_g", False, "random"),  # white, amplified by the g-map, which the network sees
    "without_reconstruction": ("magnitude", False, "ones"),
}


def get_config(mode: str = "proposed") -> ConfigDict:
    config = laptop.get_config("long")
    config.train.steps = 4800
    config.evaluation.series = 32
    return in_mode(config, mode)


def in_mode(config: ConfigDict, mode: str) -> ConfigDict:
    """A copy of `config` in one of the modes."""
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} does not exist: choose one of {', '.join(MODES)}")
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict(dict(zip(FIELDS, MODES[mode], strict=True)))
    return changed.lock()
