"""Counterparts of the paper's figures 1 and 3 to 6: which runs and scans they need."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from data_pipeline.sources import open_source
from snraware_jax.evaluation import results, scans
from snraware_jax.evaluation.generalisation import HEART
from snraware_jax.evaluation.pictures import save
from snraware_jax.evaluation.reproduce import runs
from snraware_jax.evaluation.reproduce.runs import Asked
from snraware_jax.evaluation.reproduce.table2 import MODES
from snraware_jax.evaluation.reproduce.tables import CINES
from snraware_jax.formats.atomic import write_json
from snraware_jax.noise import NoiseSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snraware_jax.evaluation.paper_figures import Output
    from snraware_jax.evaluation.scans import ScanCase

    Made = tuple[Figure, dict[str, Any]]  # and the numbers on it

OF_PHANTOM = ("hrnet_cnnt", "unet_conv3d")  # networks of the paper's figure 3
REPLICAS = {"small": 4, "paper": 64}
# of scans of hearts, what is denoised and shown: frames, rows, columns about the heart
HEARTS = ("realtime_cine", "perfusion_rest")
PARTS = {"small": (60, 80, 80), "paper": None}


def figures(asked: Asked) -> int:
    """Draws every figure into OUTPUT/figures, with the numbers on it beside it."""
    jax.config.update("jax_platforms", "cpu")  # for what is drawn; the accelerator is the networks', in processes of their own
    of: dict[int, Callable[[Asked], Made]] = {1: figure_1, 3: figure_3, 4: figure_4, 5: figure_5, 6: figure_6}
    for number, make in of.items():
        figure, numbers = make(asked)
        path = asked.output / "figures" / f"figure_{number}.png"
        save(figure, path)
        write_json(path.with_suffix(".json"), numbers)
        print(f"reproduce: {path}", flush=True)
    return 0


def figure_1(asked: Asked) -> "Made":
    from snraware_jax.evaluation import paper_figures

    record = open_source(runs.suite(asked.output, CINES[asked.preset]), "test")[0]
    _, height, width = record.image.shape
    fov_height, fov_width = record.metadata["card"]["fov_mm"]
    of_pixels = {"native_noise": record.native_noise, "pixel_aspect": fov_height / height * width / fov_width}
    return paper_figures.figure_1(record.image, record.gmaps, NoiseSettings(), jax.random.key(0), **of_pixels)


def figure_3(asked: Asked) -> "Made":
    from snraware_jax.evaluation import paper_figures

    names = ("phantom_r2", "phantom_r4")
    of_network = {}
    for model in OF_PHANTOM:
        both = [_outputs(asked, model, name, asked.modes) for name in names]
        of_network[model] = {method: (both[0][method], both[1][method]) for method in both[0]}
    r2, r4 = (_case(asked, name) for name in names)
    return paper_figures.figure_3(r2, r4, of_network)


def figure_4(asked: Asked) -> "Made":
    from snraware_jax.evaluation import paper_figures

    return paper_figures.figure_4(_case(asked, "realtime_cine"), _outputs(asked, asked.model, "realtime_cine", asked.modes))


def figure_5(asked: Asked) -> "Made":
    from snraware_jax.evaluation import paper_figures

    return paper_figures.figure_5(_case(asked, "perfusion_rest"), _outputs(asked, asked.model, "perfusion_rest", asked.modes))


def figure_6(asked: Asked) -> "Made":
    from snraware_jax.evaluation import paper_figures

    cases = [_case(asked, name) for name in ("mprage", "spine")]
    outputs = [_outputs(asked, asked.model, name, ["proposed"])[MODES["proposed"]] for name in ("mprage", "spine")]
    return paper_figures.figure_6(cases[0], cases[1], outputs[0], outputs[1])


def _case(asked: Asked, name: str) -> "ScanCase":
    """The first scan of a suite, or what is shown of it."""
    case, part = scans.read(runs.suite(asked.output, name) / f"{name}-000.npz"), _part(asked, name)
    return case if part is None else scans.around(case, list(HEART.values()), part)


def _part(asked: Asked, name: str) -> tuple[int, int, int] | None:
    return PARTS[asked.preset] if name in HEARTS else None


def _outputs(asked: Asked, model: str, name: str, modes: Any) -> "dict[str, Output]":
    """What a network, trained in some modes, makes of the first scan of a suite: by mode, as the tables call it."""
    suite, part, found = runs.suite(asked.output, name), _part(asked, name), {}
    flags = ["--cases=1", f"--replicas={REPLICAS[asked.preset]}"]
    flags += [f"--part={','.join(map(str, part))}"] if part else []
    for mode in modes:
        workdir, _ = runs.train(asked, model, mode)
        output = asked.output / "figures" / f"{model}-{mode}" / name
        runs.evaluated(workdir, suite, output, flags)
        found[MODES[mode]] = _read(output)
    return found


def _read(folder: Path) -> "Output":
    from snraware_jax.evaluation.paper_figures import Output

    (entry,), _ = results.read(folder)
    return Output(entry.denoised, entry.noise_map)
