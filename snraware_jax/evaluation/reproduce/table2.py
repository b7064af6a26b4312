"""Table 2 from results of `launch/evaluate.py --suite`: Markdown, CSV, LaTeX, and whether the paper's findings come out.

Figures are of magnitudes, which networks of all modes have. PSNR is that of images times sigma, MAX = 2048, by its figures
the paper's convention; the gain over the noisy input has no scale.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from snraware_jax.evaluation.statistics import holm, paired

MODES = {
    "proposed": "proposed",
    "without_g_factor": "without g-factor",
    "without_mr_noise": "without MR noise",
    "without_reconstruction": "without recon. knowledge",
}
FIGURES = {
    "psnr_times_sigma": "PSNR of magnitudes times sigma (MAX 2048), dB",
    "ssim": "SSIM of magnitudes (range: maximum of the truth)",
    "gain_db": "gain of magnitudes, dB",
}
BACKBONES = {"hrnet": "HRNet", "unet": "UNet"}
Results = Mapping[tuple[str, str], Mapping[str, Any]]  # of (model, mode): results.json, with `training`


class Finding(NamedTuple):
    """A statement of the paper about Table 2.

    Attributes:
      statement: what the paper found.
      held: comparisons in which it comes out, of all that were made.
      made: all.
      against: those in which it does not, with the difference in dB.
    """

    statement: str
    held: int
    made: int
    against: list[str]


def values(of: Mapping[str, Any], figure: str, input_snr: float | None = None) -> np.ndarray:
    """A figure of the cases at an input SNR; None for those whose noise was drawn as in training."""
    return np.array([case["magnitude"][figure] for case in of["cases"] if case["input_snr"] == input_snr])


def markdown(results: Results) -> str:
    """Mean and SD over the test series, a table a backbone, the best of a column in bold."""
    blocks = []
    for prefix, backbone in BACKBONES.items():
        rows = {model: of for model in _models(results) if model.startswith(prefix) for of in [_of_model(results, model)]}
        if not rows:
            continue
        for figure, title in FIGURES.items():
            means = lambda mode, rows=rows, figure=figure: [
                values(of[mode], figure).mean() for of in rows.values() if mode in of
            ]
            best = {mode: max(means(mode), default=None) for mode in MODES}
            lines = [f"| {backbone}, {title} | parameters | ms a frame | {' | '.join(MODES.values())} |", "|---" * 7 + "|"]
            for model, of in rows.items():
                cells = [_cell(values(of[mode], figure), best[mode]) if mode in of else "" for mode in MODES]
                one = next(iter(of.values()))
                seconds = f"{1e3 * one['seconds_per_frame']:.0f}"
                lines.append(f"| {model} | {one['parameters']:,} | {seconds} | {' | '.join(cells)} |")
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def latex(results: Results) -> str:
    r"""The paper's layout: a row a model, SSIM and PSNR of the four modes; needs booktabs."""
    heads = " & ".join(name for _ in range(2) for name in MODES.values())
    lines = [r"\begin{tabular}{lr" + "c" * 8 + "}", r"\toprule"]
    lines += [r" & & \multicolumn{4}{c}{SSIM} & \multicolumn{4}{c}{PSNR} \\", rf"model & parameters & {heads} \\", r"\midrule"]
    for model in _models(results):
        of = _of_model(results, model)
        number = lambda mode, figure, of=of: f"{values(of[mode], figure).mean():.4g}" if mode in of else "--"
        cells = [number(mode, figure) for figure in ("ssim", "psnr_times_sigma") for mode in MODES]
        name = model.replace("_", r"\_")
        lines.append(rf"{name} & {next(iter(of.values()))['parameters']:,} & {' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def csv_rows(results: Results) -> list[dict[str, Any]]:
    """A line a run: figures with their SD, and what they were made by."""
    return [
        {"model": model, "mode": mode, "parameters": of["parameters"], "seconds_per_frame": of["seconds_per_frame"]}
        | {name: value for figure in FIGURES for name, value in _mean_and_sd(figure, values(of, figure)).items()}
        | {"series": len(values(of, "ssim")), "step": of["step"], "suite": f"{of['suite']} {of['version']}"}
        | {"configuration": of["configuration"], "training": of["training"], "command": of["command"]}
        for (model, mode), of in results.items()
    ]


def curve(results: Results) -> str:
    """Gain of magnitudes of the proposed mode at every input SNR, mean over series: a Markdown row a model."""
    proposed = {model: of for (model, mode), of in results.items() if mode == "proposed"}
    if not proposed:
        return ""
    levels = sorted({case["input_snr"] for of in proposed.values() for case in of["cases"]} - {None})
    series = len(values(next(iter(proposed.values())), "gain_db", levels[0])) if levels else 0
    title = f"gain of magnitudes, dB, at input SNR (n = {series})"
    lines = [f"| {title} | {' | '.join(f'{level:g}' for level in levels)} |", "|---" * (len(levels) + 1) + "|"]
    for model, of in proposed.items():
        gains = [f"{values(of, 'gain_db', level).mean():.2f}" for level in levels]
        lines.append(f"| {model} | {' | '.join(gains)} |")
    return "\n".join(lines)


def findings(results: Results, figure: str = "psnr_times_sigma") -> list[Finding]:
    """The paper's statements about Table 2, each with the comparisons that can be made with the runs there are."""
    mean = {key: float(values(of, figure).mean()) for key, of in results.items()}
    models = _models(results)
    in_all = [(model, mode) for model in models for mode in MODES if mode != "proposed"]
    worst = [(model, mode) for model in models for mode in MODES if mode != "without_reconstruction"]
    deep = [(f"{b}_{cells}3d", f"{b}_{cells}2d") for b in BACKBONES for cells in ("conv", "vit")]
    large = [(f"{b}_cnnt_large", model) for b in BACKBONES for model in models if model.startswith(b)]
    proposed = lambda pairs: [((one, "proposed"), (other, "proposed")) for one, other in pairs if one != other]
    return [
        _finding("the proposed training is the best of every model", [((m, "proposed"), (m, o)) for m, o in in_all], mean),
        _finding(
            "without reconstruction knowledge it is the worst of every model",
            [((m, o), (m, "without_reconstruction")) for m, o in worst],
            mean,
        ),
        _finding("networks in three dimensions are above those in two", proposed(deep), mean),
        _finding("CNNT-large is the first of its backbone", proposed(large), mean),
        _finding("HRNet-CNNT-large is the first of all", proposed([("hrnet_cnnt_large", model) for model in models]), mean),
    ]


def _finding(statement: str, pairs: Sequence[tuple[Any, Any]], mean: Mapping[Any, float]) -> Finding:
    known = [(better, worse) for better, worse in pairs if better in mean and worse in mean]
    missed = [(mean[better] - mean[worse], better, worse) for better, worse in known if mean[better] <= mean[worse]]
    words = [f"{_named(better)} against {_named(worse)}: {gap:+.2f}" for gap, better, worse in sorted(missed)]
    return Finding(statement, len(known) - len(missed), len(known), words)


def _named(key: tuple[str, str]) -> str:
    model, mode = key
    return model if mode == "proposed" else f"{model} {MODES[mode]}"


def gaps(results: Results, figure: str = "gain_db") -> str:
    """What every mode loses against the proposed one on the same series, dB, with the p-value of a paired t-test (Holm over all)."""
    others = [mode for mode in MODES if mode != "proposed"]
    pairs = {
        (model, mode): paired(list(values(of["proposed"], figure)), list(values(of[mode], figure)))
        for model in _models(results)
        for of in [_of_model(results, model)]
        for mode in others
        if mode in of and "proposed" in of
    }
    if not pairs:
        return ""
    p_values = dict(zip(pairs, holm([pair.t_test for pair in pairs.values()]), strict=True))
    lines = [f"| lost against the proposed, dB (p) | {' | '.join(MODES[mode] for mode in others)} |", "|---" * 4 + "|"]
    for model in dict.fromkeys(model for model, _ in pairs):
        cells = []
        for mode in others:
            if (model, mode) not in pairs:
                cells.append("")
                continue
            of = _of_model(results, model)
            gap = float(np.mean(values(of["proposed"], figure) - values(of[mode], figure)))
            p_value = p_values[model, mode]
            cells.append(f"{gap:.2f}" + ("" if p_value is None else f" ({p_value:.1e})"))
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _models(results: Results) -> list[str]:
    return list(dict.fromkeys(model for model, _ in results))


def _of_model(results: Results, model: str) -> dict[str, Mapping[str, Any]]:
    return {mode: results[model, mode] for mode in MODES if (model, mode) in results}


def _cell(figures: np.ndarray, best: float | None) -> str:
    text = f"{figures.mean():.4g}"
    text = f"**{text}**" if figures.mean() == best else text
    return f"{text} ± {figures.std(ddof=1):.2g}" if len(figures) > 1 else text


def _mean_and_sd(name: str, figures: np.ndarray) -> dict[str, float]:
    return {name: float(figures.mean())} | ({f"{name}_sd": float(figures.std(ddof=1))} if len(figures) > 1 else {})
