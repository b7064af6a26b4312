"""How well a trained network's error and noise are known without the truth: SURE, noise maps by derivatives and by replicas.

    python benchmarks/uncertainty.py --workdir=runs/laptop-long --json OUT.json      # some minutes on two cores

Of white noise, mildly and strongly coloured noise, each times a g-map: the mean squared error of `--realisations` noisy copies of
each of the run's test series (the middle of it) beside what SURE says of them; and for the first series the noise map from
derivatives and from replicas beside the SD of `--truth` outputs. Prints two tables; writes one JSON object of one line.
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
    from data_pipeline.records import Record
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
    """The middle of a series as a series of its own."""
    from dataclasses import replace

    t, y, x = (
        slice((whole - wanted) // 2, (whole - wanted) // 2 + wanted)
        for whole, wanted in zip(record.image.shape, size, strict=True)
    )
    return replace(record, image=record.image[t, y, x], gmaps=record.gmaps[:, y, x])


def measure(workdir: Path, series: int, size: tuple[int, int, int], realisations: int, truth: int) -> list[dict[str, Any]]:
    """Figures of every colour."""
    import jax
    import jax.numpy as jnp

    from configs import base
    from data_pipeline.sources import open_source
    from snraware_jax.evaluation import noise_maps
    from snraware_jax.evaluation.cases import noise_of, noisy_cases
    from snraware_jax.evaluation.sure import power, sure
    from snraware_jax.inference.denoiser import whole
    from snraware_jax.training import best, configuration

    config = configuration.restore(workdir, base.get_config())
    source = open_source(Path(config.data.path or workdir / "data"), "test")
    records = [middle(source[number], size) for number in range(min(series, len(source)))]
    found = best.restore(config, workdir)
    denoise = whole(found.run.graphdef, found.params, tile=config.evaluation.tile, overlap=config.evaluation.overlap)
    rows = []
    for colour, settings in noises().items():
        true, estimated = [], []
        for number_of, record in enumerate(records):
            case, noise = noisy_cases([record], (LEVEL,), settings)[0], noise_of(record, LEVEL, settings)

            @jax.jit
            def of_copy(key, case=case, noise=noise):
                of_noise, of_probes = jax.random.split(key)
                noisy = case.clean + noise(of_noise)
                bound = lambda y: denoise(y, jnp.asarray(case.g_map))
                error = bound(noisy) - case.clean
                return power(error, error), sure(bound, noisy, noise, of_probes, PROBES).mse

            for key in jax.random.split(jax.random.key(number_of), realisations):
                one, other = of_copy(key)
                true.append(float(one))
                estimated.append(float(other))
        case, noise = noisy_cases(records[:1], (LEVEL,), settings)[0], noise_of(records[0], LEVEL, settings)
        bound = lambda y, case=case: denoise(y, jnp.asarray(case.g_map))
        maps = {}
        for name, of in (("derivative", noise_maps.from_derivative), ("replicas", noise_maps.from_replicas)):
            on = lambda y, key, of=of, noise=noise, bound=bound: of(bound, y, noise, key, REPLICAS)
            maps[name] = jax.jit(on)(jnp.asarray(case.noisy), jax.random.key(1))
        # noisy copies of the clean series: what the noise in the output is for the noise that the input has
        exact = jax.jit(lambda y, key, noise=noise, bound=bound: noise_maps.from_replicas(bound, y, noise, key, truth))
        reference = exact(jnp.asarray(case.clean), jax.random.key(2))
        rows.append(
            {
                "colour": colour,
                "mse": sum(true) / len(true),
                "sure": sum(estimated) / len(estimated),
                **{f"{name}_bias": float(jnp.mean(one) / jnp.mean(reference) - 1) for name, one in maps.items()},
                **{
                    f"{name}_error": float(jnp.sqrt(jnp.mean((one - reference) ** 2)) / jnp.mean(reference))
                    for name, one in maps.items()
                },
            }
        )
    return rows


def show(report: dict[str, Any]) -> str:
    """The report as two tables."""
    percent = lambda value: f"{100 * value:+.1f} %"
    errors = [
        [row["colour"], number(row["mse"]), number(row["sure"]), percent(row["sure"] / row["mse"] - 1)]
        for row in report["rows"]
    ]
    names = ("derivative_bias", "replicas_bias", "derivative_error", "replicas_error")
    maps = [[row["colour"], *(percent(row[name]) for name in names)] for row in report["rows"]]
    header = f"noise|derivatives: mean|{REPLICAS} replicas: mean|derivatives: RMS of a point|replicas: RMS of a point"
    return table("Mean squared error and SURE", "noise|true|SURE|difference", errors) + "\n" + table("Noise maps", header, maps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, type=Path, help="folder of launch/train.py, of complex images")
    parser.add_argument("--series", type=int, default=4, help="of its test set [4]")
    parser.add_argument("--size", default="8,48,48", help="T, H, W of their middle that is used [8,48,48]")
    parser.add_argument("--realisations", type=int, default=24, help="of the noise of each series [24]")
    parser.add_argument("--truth", type=int, default=1000, help="outputs of which the true noise map is made [1000]")
    parser.add_argument("--json", help="file that the JSON line is written to")
    options = parser.parse_args()
    frames, height, width = map(int, options.size.split(","))
    report: dict[str, Any] = {"benchmark": "uncertainty", "command": " ".join(sys.argv), "peak_snr": LEVEL}
    report["rows"] = measure(options.workdir, options.series, (frames, height, width), options.realisations, options.truth)
    report["machine"] = machine.describe(("jax", "jaxlib", "flax", "numpy"))
    print(show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
