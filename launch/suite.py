"""A trained network on a test suite (`data_pipeline.suites`): figures of every case, of which tables and pictures are made."""

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from data_pipeline import suites
from data_pipeline.sources import open_source
from snraware_jax.errors import InputError
from snraware_jax.evaluation import cases, generalisation, results, scans
from snraware_jax.evaluation.checks import checker
from snraware_jax.evaluation.in_distribution import Case
from snraware_jax.evaluation.quality import quality
from snraware_jax.formats.atomic import write_csv, write_json
from snraware_jax.inference.denoiser import Denoiser
from snraware_jax.noise import NoiseSettings
from snraware_jax.progress import Progress
from snraware_jax.training import best, configuration

INPUT_SNR = (0.05, 0.09, 0.15, 0.27, 0.48, 0.84, 1.5, 2.6, 4.6, 8.0)
OF_CURVE = 1  # series, the first
RESULTS = "results.json"
NETWORK = "network"  # as the tables call it
SHOWN = 3  # scans in the report


class Options(NamedTuple):
    """How a suite is looked at.

    Attributes:
      cases: how many of its subjects, the first; None is all.
      draws: of the noise of every series.
      replicas: of every scan.
      part: T, H, W around the heart that are looked at, of scans in slices; None is all.
      checks: of every scan also `snraware_jax.evaluation.checks`.
    """

    cases: int | None = None
    draws: int = 1
    replicas: int = 64
    part: tuple[int, int, int] | None = None
    checks: bool = False


def evaluate(found: best.Best, home: Path, output: Path, options: Options = Options()) -> None:  # noqa: B008
    """Denoises a suite and writes OUTPUT/results.json: figures of every case, and where from.

    Args:
      found: the network.
      home: folder of the suite.
      output: folder for the results; of scans also what `snraware report` makes a page of.
      options: how it is looked at.

    Raises:
      InputError: for a suite that cannot be used.
    """
    suite = suites.open_suite(home)
    if options.checks and (suite.series or found.magnitude):
        raise InputError("checks are of scans with known noise and of networks of complex images; leave out --checks")
    if suite.series and options.part:
        raise InputError(f"{suite.name} is looked at as a whole; leave out --part")
    if not suite.series and options.draws != 1:
        raise InputError(f"{suite.name} has the noise of its scans; leave out --draws")
    about = {
        "suite": suite.name,
        "version": suite.version,
        "command": " ".join(sys.argv),
        "configuration": found.configuration,
        "parameters": found.parameters,
        "step": found.step,
        "versions": configuration.versions(),
        "device": jax.devices()[0].device_kind,
    }
    print(f"evaluate: parameters of step {found.step}, suite {suite.name} {suite.version}", flush=True)
    output.mkdir(parents=True, exist_ok=True)
    (output / RESULTS).unlink(missing_ok=True)  # of an earlier look: half of it and half of this one would pass for one
    if suite.series:
        about |= _of_series(found.denoiser(), found.magnitude, home, options)
        write_csv(output / "quality.csv", [_flat(case) for case in about["cases"]])
    else:
        about |= _of_scans(found, suite, output, options)
    write_json(output / RESULTS, about)
    print(f"evaluate: {len(about['cases'])} cases in {output / RESULTS}", flush=True)


def _of_series(denoise: Denoiser, magnitude: bool, home: Path, options: Options) -> dict[str, Any]:
    """Figures of Table 2, with noise drawn as in the paper and at ten input SNRs, whatever the network was trained on."""
    began, seconds = time.perf_counter(), 0.0
    source = open_source(home, "test")
    series = [source[number] for number in range(min(len(source), options.cases or len(source)))]
    noise = NoiseSettings()
    drawn: list[tuple[float | None, Case]] = [(None, case) for case in cases.cases_as_in_training(series, noise, options.draws)]
    drawn += cases.cases_at_input_snr(series[:OF_CURVE], INPUT_SNR, noise)
    compiling = time.perf_counter()
    denoise(drawn[0][1].noisy, drawn[0][1].g_map)
    compiling = time.perf_counter() - compiling
    rows: list[dict[str, Any]] = []
    with Progress(len(drawn), "evaluate", unit="series") as progress:
        for level, case in drawn:
            started = time.perf_counter()
            output = np.asarray(denoise(case.noisy, case.g_map))
            seconds += time.perf_counter() - started
            if not np.isfinite(output).all():
                raise InputError(f"{case.name}: the network gives values that are not finite; train again, or take another run")
            of = {"magnitude": quality(output, case, magnitude=True)._asdict()}
            of |= {} if magnitude else {"complex": quality(output, case)._asdict()}
            rows.append({"case": case.name, "input_snr": level, "sigma": case.sigma, **of})
            progress.update(len(rows))
    of_all = {"network": seconds, "compilation": compiling, "all": time.perf_counter() - began}
    of_time = {"seconds": of_all, "seconds_per_frame": seconds / sum(len(case.noisy) for _, case in drawn)}
    return {"options": options._asdict(), "noise": dataclasses.asdict(noise), "cases": rows} | of_time


def _of_scans(found: best.Best, suite: suites.Opened, output: Path, options: Options) -> dict[str, Any]:
    """Figures of Table 3, of the reconstruction and of the output; the first scans themselves for `snraware report`."""
    magnitude = found.magnitude
    denoise = found.whole()
    of_case = generalisation.replicated(denoise, options.replicas, magnitude)
    check = checker(denoise) if options.checks else None
    files = suite.files[: options.cases]
    regions = generalisation.REGIONS[suite.settings["kind"]]
    rows: list[dict[str, Any]] = []
    shown: list[results.Entry] = []
    measured: dict[str, list[generalisation.Measured]] = {NETWORK: [], generalisation.RAW: []}
    started = time.perf_counter()
    with Progress(len(files), "evaluate", unit="scans") as progress:
        for number, path in enumerate(files):
            case = scans.read(path)
            case = scans.around(case, list(regions.values()), options.part) if options.part else case
            raw = generalisation.raw(case)
            of_replicas, of_checks = jax.random.split(jax.random.key(number))
            outputs = of_case(case, of_replicas)
            of_output = generalisation.figures(case, outputs, magnitude)
            rows.append({"case": case.name, "raw": _plain(raw), "denoised": _plain(of_output)})
            if check is not None:
                rows[-1]["checks"] = check(case, of_checks)._asdict()
            measured[NETWORK].append(of_output)
            measured[generalisation.RAW].append(raw)
            if len(shown) < SHOWN:
                arrays = (case.noisy, outputs.series.astype(np.complex64), case.g_map, case.truth, outputs.noise)
                shown.append(results.Entry(case.name, *arrays))
            progress.update(len(rows))
    seconds = time.perf_counter() - started
    results.write(output, shown, _page(found, suite, options, measured, seconds))
    return {"options": options._asdict(), "magnitude": magnitude, "seconds": seconds, "cases": rows}


def _page(
    found: best.Best,
    suite: suites.Opened,
    options: Options,
    measured: Mapping[str, Sequence[generalisation.Measured]],
    seconds: float,
) -> results.About:
    """How the scans were made, with their table, for `snraware report`."""
    versions = configuration.versions()
    rows = generalisation.csv_rows(suite.name, generalisation.rows(measured))
    header = [
        "measurement",
        "method",
        "mean",
        "sd",
        "cases",
        "g_factor",
        "ratio_of_means",
        "mean_of_ratios",
        "t_test",
        "wilcoxon",
    ]
    title = f"SNR and CNR by {options.replicas} replicas; comparisons are of the network with the raw scan, p-values corrected (Holm)"
    magnitude = ["the network gives magnitudes: what is shown as its phase, and differences from complex images, mean nothing"]
    return results.About(
        title=f"Parameters of step {found.step} on the suite {suite.name} {suite.version}",
        command=versions.pop("command"),
        configuration=found.configuration,
        versions=versions,
        seed=0,
        device=jax.devices()[0].device_kind,
        seconds=seconds,
        warnings=magnitude if found.magnitude else [],
        tables=[results.Table(title, header, [[row[name] for name in header] for row in rows])],
    )


def _plain(measured: generalisation.Measured) -> dict[str, Any]:
    return {"regions": {name: one._asdict() for name, one in measured.regions.items()}, "g_factor": dict(measured.g_factor)}


def _flat(case: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a table; figures by kind, complex_gain_db say."""
    plain = {key: value for key, value in case.items() if not isinstance(value, dict)}
    return plain | {f"{kind}_{name}": value for kind in ("magnitude", "complex") for name, value in case.get(kind, {}).items()}
