"""SNR and CNR of regions before and after denoising, by pseudo-replicas, and how sure the differences are: the paper's Table 3."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.tree_util import Partial

from snraware_jax.errors import InputError
from snraware_jax.evaluation.noise_maps import from_replicas
from snraware_jax.evaluation.regions import Region, contrast_to_noise, measure
from snraware_jax.evaluation.scans import Scan, ScanCase, noise_of
from snraware_jax.evaluation.statistics import Paired, holm, paired

Denoise = Callable[[Array, Array], Array]  # of JAX: series [T, H, W], g-map [H, W] -> series
RAW = "raw"  # what tables and figures call the reconstruction
HEART = {"blood pool": 1, "myocardium": 2}
# regions by what is scanned, and their labels in the simulator; the contrast is that of the first two
REGIONS = {
    "retro_cine": HEART,
    "realtime_cine": HEART,
    "perfusion": HEART,
    "mprage": {"white matter": 2, "grey matter": 1},
    "spine": {"cerebrospinal fluid": 1, "cord": 2, "vertebral bodies": 3},
    "phantom": {"bottle": 1},
}


class Measured(NamedTuple):
    """Figures of one case by one method.

    Attributes:
      regions: by name, those of `REGIONS`.
      g_factor: by region, the mean g-factor.
    """

    regions: Mapping[str, Region]
    g_factor: Mapping[str, float]


class Outputs(NamedTuple):
    """What a denoiser made of a case, and the SD of the noise in it per real component: `[T, H, W]` complex64 and float32."""

    series: np.ndarray
    noise: np.ndarray


class Row(NamedTuple):
    """One measurement over all cases.

    Attributes:
      name: "SNR blood pool", "SNR myocardium", "CNR", say.
      values: by method, a figure a case.
      g_factors: a mean g-factor a case; empty for the CNR.
      against: the first method compared with each other one, with corrected p-values.
    """

    name: str
    values: Mapping[str, Sequence[float]]
    g_factors: Sequence[float]
    against: Mapping[str, Paired]


def raw(case: ScanCase) -> Measured:
    """Figures of the reconstruction itself, whose noise SD is the g-map."""
    return figures(case, Outputs(case.noisy, np.broadcast_to(case.g_map, case.noisy.shape)))


def replicated(denoise: Denoise, replicas: int = 64, magnitude: bool = False) -> Callable[[ScanCase, Array], Outputs]:
    """A function of (case, key) that denoises a case and its replicas, which have as much noise again, in one program.

    Cases of one size share its compilation. The relative error of the noise of a point is 1 / sqrt(4 replicas - 4), 6 % for 64, of
    magnitudes 1 / sqrt(2 replicas - 2), 9 %; that of a region far less.

    Args:
      denoise: the denoiser, a function of JAX, or a `Partial` of one whose parameters shall be arguments of the program.
      replicas: copies of every case, 2 or more.
      magnitude: whether the outputs are magnitudes.
    """

    @jax.jit
    def of_arrays(denoise: Partial, y: Array, g: Array, scan: Scan, key: Array) -> tuple[Array, Array]:
        noise = lambda key: noise_of(key, scan, y.shape)
        bound = lambda y: denoise(y, g)
        return bound(y), from_replicas(bound, y, noise, key, replicas, magnitude)

    partial = denoise if isinstance(denoise, Partial) else Partial(denoise)

    def of_case(case: ScanCase, key: Array) -> Outputs:
        return Outputs(*map(np.asarray, of_arrays(partial, case.noisy, case.g_map, case.scan, key)))

    return of_case


def figures(case: ScanCase, outputs: Outputs, magnitude: bool = False) -> Measured:
    """Figures of a denoiser's output; of magnitudes the fidelity is that to the magnitude of the truth.

    Raises:
      InputError: if the case lacks a region.
    """
    series, noise = outputs
    regions = REGIONS[case.card["settings"]["kind"]]
    masks = {name: case.region(label) for name, label in regions.items()}
    if missing := [name for name, mask in masks.items() if not mask.any()]:
        raise InputError(f"{case.name}: no points of {missing[0]} in it; take another slice, or a larger part of it")
    g_map, truth = np.broadcast_to(case.g_map, series.shape), np.abs(case.truth) if magnitude else case.truth
    return Measured(
        {name: measure(series, noise, mask, truth) for name, mask in masks.items()},
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
    names = list(cases[0].regions)
    found = {f"SNR {name}": {m: [one.regions[name].snr for one in of] for m, of in measured.items()} for name in names}
    if len(names) > 1:
        contrast = lambda one: contrast_to_noise(one.regions[names[0]], one.regions[names[1]])
        found["CNR"] = {method: [contrast(one) for one in of] for method, of in measured.items()}
    compared = {(name, other): paired(values[first], values[other]) for name, values in found.items() for other in others}
    t_tests, wilcoxon = (holm([getattr(pair, test) for pair in compared.values()]) for test in ("t_test", "wilcoxon"))
    tests = zip(compared.items(), t_tests, wilcoxon, strict=True)
    corrected = {key: pair._replace(t_test=by_t, wilcoxon=by_ranks) for (key, pair), by_t, by_ranks in tests}
    g_factors = {f"SNR {name}": [one.g_factor[name] for one in cases] for name in names}
    return [
        Row(
            name,
            values,
            g_factors.get(name, []),
            {other: corrected[name, other] for other in others},
        )
        for name, values in found.items()
    ]


def table(found: Sequence[Row]) -> str:
    """The rows in the paper's layout as Markdown: mean and SD over cases, the first method against each other one.

    Of these the ratio of means, the mean of ratios, and p-values of the paired t-test and of Wilcoxon's test.
    """
    methods = list(found[0].values)
    against = f"{methods[0]} against: ratio of means, mean of ratios; p (t), p (Wilcoxon)"
    lines = [f"| measurement | g-factor | {' | '.join(methods)} | {against} |", "|---" * (len(methods) + 3) + "|"]
    for row in found:
        values = [_mean_and_sd(row.values[method]) for method in methods]
        tests = "<br>".join(f"{other}: {_compared(pair)}" for other, pair in row.against.items())
        lines.append(
            f"| {row.name} | {_mean_and_sd(row.g_factors) if row.g_factors else ''} | {' | '.join(values)} | {tests} |"
        )
    return "\n".join(lines)


def _compared(pair: Paired) -> str:
    ratios = ", ".join("-" if ratio is None else f"{ratio:.2f}" for ratio in (pair.ratio_of_means, pair.mean_of_ratios))
    p_values = ", ".join("-" if p is None else f"{p:.1e}" for p in (pair.t_test, pair.wilcoxon))
    return f"{ratios}; {p_values}"


def csv_rows(title: str, found: Sequence[Row]) -> list[dict[str, Any]]:
    """A line for every measurement and method; comparisons are those of the first method with it."""
    lines = []
    for row in found:
        for method, values in row.values.items():
            pair = row.against.get(method)
            lines.append(
                {"test": title, "measurement": row.name, "method": method, "mean": float(np.mean(values)), "cases": len(values)}
                | {"sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}
                | {"g_factor": float(np.mean(row.g_factors)) if row.g_factors else None}
                | (pair._replace(cases=len(values))._asdict() if pair else dict.fromkeys(Paired._fields[1:]))
            )
    return lines


def latex(titled: Mapping[str, Sequence[Row]]) -> str:
    r"""The paper's layout of Table 3: a line a measurement, the p-values in lines of their own; needs booktabs."""
    methods = list(next(iter(titled.values()))[0].values)
    lines = [r"\begin{tabular}{ll" + "c" * (len(methods) + 1) + "}", r"\toprule"]
    lines += [rf"test & measurement & g-factor & {' & '.join(methods)} \\", r"\midrule"]
    math = lambda text: text.replace(" ± ", r" $\pm$ ")
    for title, found in titled.items():
        for row in found:
            values = [math(_mean_and_sd(row.values[method])) for method in methods]
            g_factor = math(_mean_and_sd(row.g_factors)) if row.g_factors else ""
            lines.append(rf"{title} & {row.name} & {g_factor} & {' & '.join(values)} \\")
            tested = [row.against.get(method) for method in methods]
            p_values = ["" if pair is None or pair.t_test is None else f"p = {pair.t_test:.1e}" for pair in tested]
            lines.append(rf" & against {methods[0]} & & {' & '.join(p_values)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def fidelities(of_methods: Mapping[str, Sequence[Measured]]) -> str:
    """The share of the true signal that every method keeps, mean and SD over cases, as a Markdown table: what the SNR cannot say."""
    names = list(next(iter(of_methods.values()))[0].regions)
    lines = [f"| share of the true signal | {' | '.join(of_methods)} |", "|---" * (len(of_methods) + 1) + "|"]
    for name in names:
        cells = [_mean_and_sd([one.regions[name].fidelity for one in of]) for of in of_methods.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean_and_sd(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3g}" if len(values) > 1 else ""
    return f"{np.mean(values):.3g}{spread}"
