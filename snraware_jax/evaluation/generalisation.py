"""SNR and CNR of regions before and after denoising, by pseudo-replicas, and how sure the differences are: the paper's Table 3."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.evaluation.noise_maps import from_replicas
from snraware_jax.evaluation.regions import Region, contrast_to_noise, measure
from snraware_jax.evaluation.scans import ScanCase
from snraware_jax.evaluation.statistics import Paired, holm, paired

Denoise = Callable[[Array, Array], Array]  # of JAX: series [T, H, W], g-map [H, W] -> series
HEART = {"blood pool": 1, "myocardium": 2}  # labels of the simulator
RAW = "raw"


class Measured(NamedTuple):
    """Figures of one case by one method.

    Attributes:
      regions: by name, those of `HEART`.
      g_factor: by region, the mean g-factor.
    """

    regions: Mapping[str, Region]
    g_factor: Mapping[str, float]


class Row(NamedTuple):
    """One measurement over all cases.

    Attributes:
      name: "SNR blood pool", "SNR myocardium", "CNR".
      values: by method, a figure a case.
      g_factors: a mean g-factor a case; empty for the CNR.
      against: the first method compared with each other one, with corrected p-values of the t-tests.
    """

    name: str
    values: Mapping[str, Sequence[float]]
    g_factors: Sequence[float]
    against: Mapping[str, Paired]


def raw(case: ScanCase) -> Measured:
    """Figures of the reconstruction itself, whose noise SD is the g-map."""
    return _measured(case, case.noisy, np.broadcast_to(case.g_map, case.noisy.shape))


def denoised(denoise: Denoise, case: ScanCase, key: Array, replicas: int = 64) -> Measured:
    """Figures of a denoiser's output; its noise from replicas with as much noise again, one program for all.

    The relative error of the noise of a point is 1 / sqrt(4 replicas - 4), 6 % for 64, that of a region's mean far less.
    """
    of_case = jax.jit(lambda y, g, key: (denoise(y, g), from_replicas(lambda y: denoise(y, g), y, case.noise, key, replicas)))
    output, noise = of_case(case.noisy, case.g_map, key)
    return _measured(case, np.asarray(output), np.asarray(noise))


def _measured(case: ScanCase, series: np.ndarray, noise: np.ndarray) -> Measured:
    masks = {name: case.region(label) for name, label in HEART.items()}
    if missing := [name for name, mask in masks.items() if not mask.any()]:
        raise InputError(f"{case.name}: no points of {missing[0]} in it; take another slice")
    g_map = np.broadcast_to(case.g_map, series.shape)
    return Measured(
        {name: measure(series, noise, mask, case.truth) for name, mask in masks.items()},
        {name: float(g_map[mask].mean()) for name, mask in masks.items()},
    )


def rows(measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
    """The measurements of a table; p-values are corrected for all comparisons in it (Holm).

    Args:
      measured: by method, the same cases in the same order; the first is compared with the others.

    Raises:
      ValueError: if methods have other numbers of cases.
    """
    first, *others = measured
    cases = measured[first]
    found = {f"SNR {name}": {m: [one.regions[name].snr for one in of] for m, of in measured.items()} for name in HEART}
    blood, myocardium = HEART
    found["CNR"] = {
        method: [contrast_to_noise(one.regions[blood], one.regions[myocardium]) for one in of]
        for method, of in measured.items()
    }
    compared = {(name, other): paired(values[first], values[other]) for name, values in found.items() for other in others}
    corrected = dict(zip(compared, holm([pair.t_test for pair in compared.values()]), strict=True))
    g_factors = {f"SNR {name}": [one.g_factor[name] for one in cases] for name in HEART}
    return [
        Row(
            name,
            values,
            g_factors.get(name, []),
            {other: compared[name, other]._replace(t_test=corrected[name, other]) for other in others},
        )
        for name, values in found.items()
    ]


def table(found: Sequence[Row]) -> str:
    """The rows in the paper's layout as Markdown: mean and SD over cases, p-values of the first method against each other one."""
    methods = list(found[0].values)
    lines = [f"| measurement | g-factor | {' | '.join(methods)} | {methods[0]} against |", "|---" * (len(methods) + 3) + "|"]
    for row in found:
        values = [_mean_and_sd(row.values[method]) for method in methods]
        tests = "; ".join(
            f"{other}: {'-' if pair.t_test is None else f'{pair.t_test:.1e}'}"
            + ("" if pair.ratio_of_means is None else f", {pair.ratio_of_means:.2f} x")
            for other, pair in row.against.items()
        )
        lines.append(
            f"| {row.name} | {_mean_and_sd(row.g_factors) if row.g_factors else ''} | {' | '.join(values)} | {tests} |"
        )
    return "\n".join(lines)


def _mean_and_sd(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3g}" if len(values) > 1 else ""
    return f"{np.mean(values):.3g}{spread}"
