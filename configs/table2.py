"""The rows of the paper's Table 2: fourteen networks, four training modes (configs/ablation.py), at the paper's size or small.

    python -m snraware_jax.evaluation.reproduce table2 --preset=small                                       # all of them
    python launch/train.py --config=configs/table2.py:hrnet_cnnt-without_g_factor-small --workdir=runs/one  # one of them

The small networks are those of the `quick` configurations (8 channels), each trained for as many steps on as many subjects.
"""

import importlib

from ml_collections import ConfigDict

from configs import ablation

MODELS = tuple(
    f"{backbone}_{cells}"
    for backbone in ("hrnet", "unet")
    for cells in ("cnnt_large", "cnnt", "swin3d", "vit3d", "conv3d", "vit2d", "conv2d")
)
PRESETS = ("small", "paper")


def get_config(row: str = "hrnet_cnnt_large-proposed-small") -> ConfigDict:
    model, mode, preset = row.split("-") if row.count("-") == 2 else ("", "", "")
    if model not in MODELS or preset not in PRESETS:
        raise ValueError(
            f"row {row!r} does not exist: write MODEL-MODE-PRESET, of {', '.join(MODELS)}; {', '.join(ablation.MODES)}; "
            f"{', '.join(PRESETS)}"
        )
    of_model = importlib.import_module(f"configs.{model}")
    config = of_model.get_config("paper" if preset == "paper" else "quick")
    if preset == "small":
        config.data.simulation.subjects = (96, 4, 4)
        config.train.update(steps=200, evaluate_every=100, checkpoint_every=100)
    return ablation.in_mode(config, mode)
