"""How well a trained network's error and noise are known without the truth: SURE, noise maps by derivatives and by replicas.

    python benchmarks/uncertainty.py --workdir=runs/laptop-long --json OUT.json      # some minutes on two cores

Of white noise, mildly and strongly coloured noise, each times a g-map: the mean squared error of `--realisations` noisy copies of
each of the run's test series (the middle of it) beside what SURE says of them; and for the first series the noise map from
derivatives and from replicas beside the SD of `--truth` outputs. Prints two tables; writes one JSON object of one line.

Most of what SURE of one copy is off by is chance: the power of its noise against that of the probes, of zero mean. The difference
"at equal power" is without it, which is the same on average and shows a bias that the other hides.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
from tables import number, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from jax.tree_util import Partial

    from data_pipeline.records import Record
    from snraware_jax.evaluation.generalisation import Denoise
    from snraware_jax.noise import NoiseSettings

REPLICAS = 64  # and probes of a noise map
PROBES = 4  # of one SURE
LEVEL = 8.0  # peak SNR


def noises() -> "dict[str, NoiseSettings]":
    """Noise of three colours."""
    from snraware_jax.noise import NoiseSettings

    filtered = lambda gaussian, ratio: NoiseSettings(
        gaussian_sigmas=(gaussian,),
        partial_fourier_probability=1.0,
        partial_fourier_ratios=(ratio,),
        resolution_ratios=(ratio,),
    )
    return {
        "white": NoiseSettings(filters=False),
        "mildly coloured": filtered(0.8, 0.85),
        "strongly coloured": filtered(2.25, 0.65),
    }


def middle(record: "Record", size: tuple[int, int, int]) -> "Record":
    """The middle of a series as a series of its own.

    Raises:
      InputError: if the series is smaller.
    """
    from dataclasses import replace

    from snraware_jax.errors import InputError

    if any(wanted > whole for whole, wanted in zip(record.image.shape, size, strict=True)):
        raise InputError(f"series {record.sample_id} is {record.image.shape}: give a --size that it has")
    t, y, x = (
        slice((whole - wanted) // 2, (whole - wanted) // 2 + wanted)
        for whole, wanted in zip(record.image.shape, size, strict=True)
    )
    return replace(record, image=record.image[t, y, x], gmaps=record.gmaps[:, y, x])


def measure(
    workdir: Path, colours: list[str], series: int, size: tuple[int, int, int], realisations: int, truth: int
) -> list[dict[str, Any]]:
    """Figures of every colour of `noises`."""
    from configs import base
    from data_pipeline.sources import open_source
    from snraware_jax.errors import InputError
    from snraware_jax.training import best, configuration

    config = configuration.restore(workdir, base.get_config())
    source = open_source(Path(config.data.path or workdir / "data"), "test")
    records = [middle(source[number], size) for number in range(min(series, len(source)))]
    found = best.restore(config, workdir)
    if found.magnitude:
        raise InputError(f"{workdir}: a network of magnitudes, whose noise is not additive; give one of complex images")
    denoise: Any = found.whole()
    settings = noises()
    return [
        {"colour": colour}
        | errors(denoise, records, settings[colour], realisations)
        | maps(denoise, records[0], settings[colour], truth)
        for colour in colours
    ]


def errors(denoise: "Denoise", records: "list[Record]", settings: "NoiseSettings", realisations: int) -> dict[str, float]:
    """Mean squared error of noisy copies of every series, what SURE says, as drawn and at equal power; standard errors."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from snraware_jax.evaluation.cases import noise_of, noisy_cases
    from snraware_jax.evaluation.sure import power, sure

    @jax.jit
    def of_copy(denoise: "Partial", clean: jax.Array, g_map: jax.Array, noise: "Partial", key: jax.Array) -> jax.Array:
        of_noise, of_probes = jax.random.split(key)
        own, bound = noise(of_noise), lambda y: denoise(y, g_map)
        error = bound(clean + own) - clean
        # the probes that `sure` draws of this key
        probes = [noise(one) for one in jax.random.split(of_probes, PROBES)]
        excess = power(own, own) - sum(power(probe, probe) for probe in probes) / PROBES
        return jnp.stack([power(error, error), sure(bound, clean + own, noise, of_probes, PROBES).mse, excess])

    found = []
    for number_of, record in enumerate(records):
        case, noise = noisy_cases([record], (LEVEL,), settings)[0], noise_of(record, LEVEL, settings)
        keys = jax.random.split(jax.random.key(number_of), realisations)
        found += [np.asarray(of_copy(denoise, case.clean, case.g_map, noise, key)) for key in keys]
    true, estimated, excess = np.transpose(found)
    spread = lambda difference: float(np.std(difference, ddof=1) / len(difference) ** 0.5)
    return {
        "mse": float(true.mean()),
        "sure": float(estimated.mean()),
        "standard_error": spread(estimated - true),
        "sure_at_equal_power": float((estimated - excess).mean()),
        "standard_error_at_equal_power": spread(estimated - excess - true),
    }


def maps(denoise: "Denoise", record: "Record", settings: "NoiseSettings", truth: int) -> dict[str, float]:
    """How far noise maps of one series are off, on average and at a point."""
    from functools import partial

    import jax
    import jax.numpy as jnp

    from snraware_jax.evaluation import noise_maps
    from snraware_jax.evaluation.cases import noise_of, noisy_cases

    case, noise = noisy_cases([record], (LEVEL,), settings)[0], noise_of(record, LEVEL, settings)

    @partial(jax.jit, static_argnums=(0, 2))
    def of(way: Any, y: jax.Array, count: int, key: jax.Array) -> jax.Array:
        return way(lambda y: denoise(y, jnp.asarray(case.g_map)), y, noise, key, count)

    # noisy copies of the clean series: what the noise in the output is for the noise that the input has
    reference = of(noise_maps.from_replicas, jnp.asarray(case.clean), truth, jax.random.key(2))
    found = {}
    for name, way in (("derivative", noise_maps.from_derivative), ("replicas", noise_maps.from_replicas)):
        one = of(way, jnp.asarray(case.noisy), REPLICAS, jax.random.key(1))
        found[f"{name}_bias"] = float(jnp.mean(one) / jnp.mean(reference) - 1)
        found[f"{name}_error"] = float(jnp.sqrt(jnp.mean((one - reference) ** 2)) / jnp.mean(reference))
    return found


def show(report: dict[str, Any]) -> str:
    """The report as two tables."""
    percent = lambda value: f"{100 * value:+.1f} %"
    off = lambda row, kind: (
        percent(row[f"sure{kind}"] / row["mse"] - 1),
        f"{100 * row[f'standard_error{kind}'] / row['mse']:.1f} %",
    )
    of_sure = [
        [row["colour"], number(row["mse"]), number(row["sure"]), *off(row, ""), *off(row, "_at_equal_power")]
        for row in report["rows"]
    ]
    names = ("derivative_bias", "replicas_bias", "derivative_error", "replicas_error")
    of_maps = [[row["colour"], *(percent(row[name]) for name in names)] for row in report["rows"]]
    header = f"noise|derivatives: mean|{REPLICAS} replicas: mean|derivatives: RMS of a point|replicas: RMS of a point"
    of_error = table(
        "Mean squared error and SURE",
        "noise|true|SURE|difference|its standard error|difference at equal power|its standard error",
        of_sure,
    )
    return of_error + "\n" + table("Noise maps", header, of_maps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, type=Path, help="folder of launch/train.py, of complex images")
    parser.add_argument("--colours", nargs="+", choices=list(noises()), default=list(noises()), help="of the noise [all]")
    parser.add_argument("--series", type=int, default=4, help="of its test set [4]")
    parser.add_argument("--size", default="8,48,48", help="T, H, W of their middle that is used [8,48,48]")
    parser.add_argument("--realisations", type=int, default=24, help="of the noise of each series [24]")
    parser.add_argument("--truth", type=int, default=1000, help="outputs of which the true noise map is made [1000]")
    parser.add_argument("--json", help="file that the JSON line is written to")
    options = parser.parse_args()
    frames, height, width = map(int, options.size.split(","))
    report: dict[str, Any] = {"benchmark": "uncertainty", "command": " ".join(sys.argv), "peak_snr": LEVEL}
    size = (frames, height, width)
    report["rows"] = measure(options.workdir, options.colours, options.series, size, options.realisations, options.truth)
    report["machine"] = machine.describe(("jax", "jaxlib", "flax", "numpy"))
    print(show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
