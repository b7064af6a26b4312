"""Trains and compares the four modes of Table 2: proposed, without g-factor, without MR noise, without reconstruction knowledge.

    python launch/ablation.py --workdir=runs/ablation
    python launch/ablation.py --workdir=runs/ablation --config.train.steps=500 --seeds=1

Data are simulated once; every run has a folder WORKDIR/MODE-SEED of launch/train.py. Killed and started again it goes on. All modes
denoise the same test series with MR-realistic noise and g-maps of R = 4 to 6. Writes WORKDIR/ablation.md and ablation.json.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict, config_flags

from launch import program
from snraware_jax.errors import Stopped

if TYPE_CHECKING:
    from snraware_jax.evaluation.in_distribution import Case

CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/ablation.py", "of the proposed mode; the others differ by configs.ablation.MODES"
)
WORKDIR = flags.DEFINE_string("workdir", "runs/ablation", "folder of all runs")
SEEDS = flags.DEFINE_integer("seeds", 2, "runs of every mode", lower_bound=1)
REFERENCE = "proposed"


def main() -> None:
    from data_pipeline import heap

    heap.one_heap_of_huge_pages()  # before the threads of jax; a step on a CPU takes some three quarters of the time
    import jax

    from configs import ablation
    from launch import evaluation, training
    from snraware_jax.evaluation import ablation as comparison
    from snraware_jax.formats.atomic import write_json
    from snraware_jax.training import configuration

    workdir = Path(WORKDIR.value)
    configuration.validate(CONFIG.value, jax.device_count())
    data = Path(CONFIG.value.data.path or workdir / "data")
    if CONFIG.value.data.path:  # looked at before the workdir is made: bad input leaves no trace
        evaluation.strong_cases(CONFIG.value, data)
    configuration.check_workdir(CONFIG.value, workdir)
    with configuration.lock(workdir):
        configuration.keep(CONFIG.value, workdir)
        if not CONFIG.value.data.path:
            training.simulate(CONFIG.value, data)
        cases = evaluation.strong_cases(ablation.in_mode(CONFIG.value, REFERENCE), data)
        results: dict[str, dict[int, list[dict[str, float]]]] = {mode: {} for mode in ablation.MODES}
        for number in range(SEEDS.value):  # every mode once before any twice: a run that is cut off has something to compare
            for mode in ablation.MODES:
                config = ablation.in_mode(CONFIG.value, mode)
                with config.unlocked():
                    config.seed, config.data.path = CONFIG.value.seed + number, str(data)
                results[mode][config.seed] = gains_of_run(config, workdir / f"{mode}-{config.seed}", data, cases)
            found = comparison.gaps(results, REFERENCE)
            text = comparison.table(results, found)
            print(text, flush=True)
            (workdir / "ablation.md").write_text(text + "\n")
            write_json(workdir / "ablation.json", {"gains": results, "gaps": [gap._asdict() for gap in found]})
            print(
                f"ablation: table of {number + 1} seed(s) in {workdir / 'ablation.md'}, every gain in ablation.json", flush=True
            )


def gains_of_run(config: ConfigDict, folder: Path, data: Path, cases: "list[Case]") -> list[dict[str, float]]:
    """Trains what is left to train in the folder of one run, and measures its best parameters."""
    from launch import training
    from snraware_jax.evaluation import ablation as comparison
    from snraware_jax.training import best, configuration

    print(f"ablation: {folder.name}", flush=True)
    configuration.check_workdir(config, folder)
    with configuration.lock(folder):
        configuration.keep(config, folder)
        with training.watched(config) as watch:
            training.train(config, folder, data, watch)
        if watch.requested:
            raise Stopped("stopped; the same command goes on", watch.code)
        return comparison.gains(best.restore(config, folder).denoiser(), cases)


if __name__ == "__main__":
    program.run(main)
