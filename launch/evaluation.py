"""The test at the end of a training run, which launch/evaluate.py repeats on its own."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipeline.records import Record
from data_pipeline.sources import open_source
from snraware_jax.errors import InputError
from snraware_jax.evaluation import in_distribution, pictures, results
from snraware_jax.evaluation.cases import noisy_cases
from snraware_jax.evaluation.others import methods
from snraware_jax.training import best, configuration

MAPS, STRONG = 7, slice(2, 5)  # g-maps of R = 2 to 8, those of R = 4, 5, 6 among them


def strong_cases(config: ConfigDict, data: Path) -> list[in_distribution.Case]:
    """Noisy series of the test split with the noise of a configuration and strong g-maps, those of R = 4, 5 and 6.

    Raises:
      InputError: if a split is missing, or the records do not have seven g-maps.
    """
    for split in ("train", "validation"):
        open_source(data, split)
    source = open_source(data, "test")
    series = [source[i] for i in range(min(len(source), config.evaluation.series))]
    if any(len(record.gmaps) != MAPS for record in series):
        raise InputError(f"{data}: the comparison is at R = 4 to 6 and needs records with {MAPS} g-maps, for R = 2 to 8")
    strong = [replace(record, gmaps=record.gmaps[STRONG]) for record in series]
    return noisy_cases(strong, config.evaluation.peak_snr, configuration.noise_settings(config))


def evaluate(config: ConfigDict, found: best.Best, data: Path, split: str, output: Path, others: Sequence[str] = ()) -> None:
    """Denoises the fixed test cases with a network; writes table, pictures and what `snraware report` reads.

    `others` names further baselines (evaluation/others.py).

    Raises:
      InputError: if there are no records of this split, or a baseline cannot be run on these records.
    """
    started = time.perf_counter()
    source = open_source(data, split)
    count = min(len(source), config.evaluation.series)
    series = [source[i * len(source) // count] for i in range(count)]
    cases = noisy_cases(series, config.evaluation.peak_snr, found.noise, magnitude=found.magnitude)
    if not cases:
        raise InputError(
            f"{data}: the noise of these series is above peak SNR {max(config.evaluation.peak_snr):g}; give lower levels"
        )
    warnings = _warnings(series, cases)
    for line in warnings:
        print(f"evaluate: {line}", flush=True)
    levels = ", ".join(f"{level:g}" for level in config.evaluation.peak_snr)
    print(
        f"evaluate: parameters of step {found.step}; {count} series of the {split} split of {data}, at peak SNR {levels} "
        "(max |clean| over the noise SD before the g-map); noise drawn as in training, seed 0",
        flush=True,
    )
    more = methods(others, series, cases, found.noise, magnitude=found.magnitude)
    rows, outputs = in_distribution.evaluate(found.denoiser(), cases, baselines=config.evaluation.baselines, others=more)
    print(in_distribution.table(rows, found.magnitude), flush=True)
    output.mkdir(parents=True, exist_ok=True)
    for before in output.glob("peak_snr_*.png"):
        before.unlink()  # of other parameters, perhaps
    in_distribution.write_csv(rows, output / "table.csv")
    shown = []
    for level in config.evaluation.peak_snr:
        of_level = [i for i, case in enumerate(cases) if case.peak_snr == level]
        if of_level:
            middle = of_level[len(of_level) // 2]
            pictures.comparison(output / f"peak_snr_{level:g}.png", cases[middle], outputs[middle])
            shown.append(_entry(cases[middle], outputs[middle]))
    title, seconds = f"Parameters of step {found.step} on the {split} split of {data}", time.perf_counter() - started
    about = _about(found, title, rows, seconds, warnings)
    results.write(output, shown, about)
    print(f"evaluate: table and pictures in {output}; snraware report {output} makes a page of them", flush=True)


def _entry(case: in_distribution.Case, outputs: dict[str, np.ndarray]) -> results.Entry:
    """A test case before and after the network, which is the first of the methods."""
    name = f"{case.name}, peak SNR {case.peak_snr:g}"
    return results.Entry(name, case.noisy, next(iter(outputs.values())), case.g_map, case.clean)


def _warnings(series: Sequence[Record], cases: Sequence[in_distribution.Case]) -> list[str]:
    """What limits the figures: references that have noise of their own."""
    noisy = {f"series {one.sample_id}": one.native_noise for one in series if one.native_noise}
    added = [(case.sigma / noisy[case.name]) ** 2 - 1 for case in cases if case.name in noisy]  # over the variance of their own
    if not added:
        return []
    return [
        f"{len(noisy)} of {len(series)} references have noise of their own, which the input has too: the truth itself would gain "
        f"{10 * np.log10(min(added)):.1f} dB at the highest level, {10 * np.log10(max(added)):.1f} at the lowest, and what keeps noise "
        "is favoured"
    ]


def _about(
    found: best.Best, title: str, rows: Sequence[in_distribution.Row], seconds: float, warnings: Sequence[str]
) -> results.About:
    """How the series were made, with the table of gains."""
    versions = configuration.versions()
    of_error = in_distribution.kind_of_error(found.magnitude)
    columns = "peak SNR|method|gain, dB|SD, dB|series|median, dB|gain of the 10 % that move most, dB|s/series"
    return results.About(
        title=title,
        command=versions.pop("command"),
        configuration=found.configuration,
        versions=versions,
        seed=0,  # of `noisy_cases`
        device=jax.devices()[0].device_kind,
        seconds=seconds,
        warnings=list(warnings),
        tables=[results.Table(f"Gain over the noisy input ({of_error})", columns.split("|"), rows)],
    )
