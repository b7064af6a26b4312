"""The test at the end of a training run, which launch/evaluate.py repeats on its own."""

from pathlib import Path

from ml_collections import ConfigDict

from data_pipeline.sources import open_source
from snraware_jax.evaluation import in_distribution, pictures
from snraware_jax.evaluation.cases import noisy_cases
from snraware_jax.inference.denoiser import make_denoiser
from snraware_jax.training import checkpoint
from snraware_jax.training.run import assemble


def evaluate(config: ConfigDict, workdir: Path, data: Path, split: str, output: Path, nlm: bool = False) -> None:
    """Denoises the fixed test cases with the best parameters of WORKDIR; prints the table, writes it and the pictures.

    Raises:
      InputError: if there are no records of this split, or no usable parameters.
    """
    source = open_source(data, split)
    run = assemble(config, 1)
    step, params, _ = checkpoint.restore(workdir / "best", run.abstract_state.ema)
    count = min(len(source), config.evaluation.series)
    series = [source[i * len(source) // count] for i in range(count)]
    cases = noisy_cases(series, config.evaluation.peak_snr, run.noise, magnitude=run.magnitude)
    network = make_denoiser(run.graphdef, params, tile=config.evaluation.tile, overlap=config.evaluation.overlap)
    levels = ", ".join(f"{level:g}" for level in config.evaluation.peak_snr)
    print(
        f"evaluate: parameters of step {step}; {count} series of the {split} split of {data}, at peak SNR {levels} (max |clean| over "
        "the noise SD before the g-map); noise drawn as in training, seed 0",
        flush=True,
    )
    rows, outputs = in_distribution.evaluate(network, cases, baselines=config.evaluation.baselines, nlm=nlm)
    print(in_distribution.table(rows), flush=True)
    output.mkdir(parents=True, exist_ok=True)
    in_distribution.write_csv(rows, output / "table.csv")
    for level in config.evaluation.peak_snr:
        of_level = [i for i, case in enumerate(cases) if case.peak_snr == level]
        if of_level:
            middle = of_level[len(of_level) // 2]
            pictures.comparison(output / f"peak_snr_{level:g}.png", cases[middle], outputs[middle])
    print(f"evaluate: table and pictures in {output}", flush=True)
