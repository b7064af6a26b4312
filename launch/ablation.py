"""Trains and compares the four modes of Table 2: proposed, without g-factor, without MR noise, without reconstruction knowledge.

    python launch/ablation.py --workdir=runs/ablation
    python launch/ablation.py --workdir=runs/ablation --config.train.steps=500 --seeds=1

Data are simulated once; every run has a folder WORKDIR/MODE-SEED of launch/train.py. Killed and started again it goes on. All modes
denoise the same test series with MR-realistic noise and g-maps of R = 4 to 6. Writes WORKDIR/ablation.md and ablation.json.
"""

from dataclasses import replace
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from launch import program

CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/ablation.py", "of the proposed mode; the others differ by configs.ablation.MODES"
)
WORKDIR = flags.DEFINE_string("workdir", "runs/ablation", "folder of all runs")
SEEDS = flags.DEFINE_integer("seeds", 2, "runs of every mode", lower_bound=1)
REFERENCE = "proposed"
STRONG = slice(2, 5)  # g-maps of R = 4, 5, 6 among those of R = 2 to 8


def main() -> None:
    import jax

    from configs import ablation
    from launch import training
    from snraware_jax.evaluation import ablation as comparison
    from snraware_jax.training import configuration
    from snraware_jax.training.configuration import write_json

    workdir = Path(WORKDIR.value)
    configuration.validate(CONFIG.value, jax.device_count())
    results: dict[str, dict[int, list[dict[str, float]]]] = {mode: {} for mode in ablation.MODES}
    data = Path(CONFIG.value.data.path or workdir / "data")
    if not CONFIG.value.data.path:
        training.simulate(CONFIG.value, data)
    for seed in range(SEEDS.value):  # every mode once before any twice: a run that is cut off has something to compare
        for mode in ablation.MODES:
            config = ablation.in_mode(CONFIG.value, mode)
            with config.unlocked():
                config.seed, config.data.path = seed, str(data)
            run_folder = workdir / f"{mode}-{seed}"
            print(f"ablation: {mode}, seed {seed}, in {run_folder}", flush=True)
            configuration.keep(config, run_folder)
            with configuration.lock(run_folder):
                training.train(config, run_folder, data)
            results[mode][seed] = gains_of(config, run_folder, data)
        found = comparison.gaps(results, REFERENCE)
        text = comparison.table(results, found)
        print(text, flush=True)
        (workdir / "ablation.md").write_text(text + "\n")
        write_json(workdir / "ablation.json", {"gains": results, "gaps": [gap._asdict() for gap in found]})
        print(f"ablation: table of {seed + 1} seed(s) in {workdir / 'ablation.md'}, every gain in ablation.json", flush=True)


def gains_of(config: ConfigDict, run_folder: Path, data: Path) -> list[dict[str, float]]:
    """Gains of a run's best parameters on the test series; kept in the run's folder with the step they are of."""
    from data_pipeline.sources import open_source
    from snraware_jax.evaluation import ablation as comparison
    from snraware_jax.evaluation.cases import noisy_cases
    from snraware_jax.inference.denoiser import make_denoiser
    from snraware_jax.noise import NoiseSettings
    from snraware_jax.training import checkpoint
    from snraware_jax.training.configuration import write_json
    from snraware_jax.training.run import assemble

    run = assemble(config, 1)
    step, params, _ = checkpoint.restore(run_folder / "best", run.abstract_state.ema)
    source = open_source(data, "test")
    series = [source[i] for i in range(min(len(source), config.evaluation.series))]
    strong = [replace(record, gmaps=record.gmaps[STRONG]) for record in series]
    # the same noise for all modes: what the proposed one trains with
    cases = noisy_cases(strong, config.evaluation.peak_snr, NoiseSettings(**CONFIG.value.noise))
    denoise = make_denoiser(run.graphdef, params, tile=config.evaluation.tile, overlap=config.evaluation.overlap)
    rows = comparison.gains(denoise, cases)
    write_json(run_folder / "gains.json", {"step": step, "gains": rows})
    return rows


if __name__ == "__main__":
    program.run(main)
