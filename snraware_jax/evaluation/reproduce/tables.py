"""Tables 2 and 3: which runs they need, and the files that are written of their results."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snraware_jax.errors import InputError
from snraware_jax.evaluation import generalisation
from snraware_jax.evaluation.generalisation import Measured
from snraware_jax.evaluation.regions import Region
from snraware_jax.evaluation.reproduce import runs, table2
from snraware_jax.evaluation.reproduce.runs import Asked
from snraware_jax.evaluation.reproduce.table2 import MODES
from snraware_jax.formats.atomic import replacing, write_csv, write_json

CINES = {"small": "cine_small", "paper": "cine"}
HEARTS = {"real-time cine": ("realtime_cine",), "perfusion": ("perfusion_stress", "perfusion_rest")}  # of Table 3
# how scans are looked at: replicas, and of slices a part about the heart (frames, rows, columns)
SCANS = {"small": ("--replicas=8", "--part=12,72,72"), "paper": ("--replicas=64",)}
FLAT = ("vit2d", "conv2d")  # cells of the networks that the paper did not train in the other modes


def table_2(asked: Asked) -> int:
    """Trains what is missing, network after network: first all of them as proposed, then the ablations; 1 if a run failed."""
    wanted, rows = _wanted(asked), asked.output / "rows"
    if not wanted:
        raise InputError("networks in 2-D are trained as proposed only, as in the paper; add proposed to --modes")
    rows.mkdir(exist_ok=True)
    suite = runs.suite(asked.output, CINES[asked.preset])
    _check(rows, runs.version(suite))
    failed = []
    for number, (model, mode) in enumerate(wanted):
        name = f"{model}-{mode}"
        print(f"reproduce: {name}, {number + 1} of {len(wanted)}", flush=True)
        try:
            if not (rows / f"{name}.json").exists():
                workdir, command = runs.train(asked, model, mode)
                row = runs.evaluate(workdir, suite, workdir / suite.name, []) | {"training": command}
                write_json(rows / f"{name}.json", row)
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"reproduce: {name} failed with exit code {error.returncode}; the others go on", file=sys.stderr)
        _write_table_2(asked.output)
    if any(rows.iterdir()):
        print(f"reproduce: {asked.output / 'table2.md'}, and .csv, .tex", flush=True)
    return 1 if failed else 0


def _wanted(asked: Asked) -> list[tuple[str, str]]:
    in_2d = lambda model: model.endswith(FLAT)
    return [(model, mode) for mode in asked.modes for model in asked.models if mode == "proposed" or not in_2d(model)]


def _check(rows: Path, version: str) -> None:
    """Refuses rows that cannot stand in one table with new ones.

    Raises:
      InputError: if one is of another version of the suite, or damaged.
    """
    for path in sorted(rows.glob("*.json")):
        if (found := runs.read(path).get("version")) != version:
            raise InputError(f"{path}: of version {found} of the suite, not {version}; give another --output, or delete it")


def _write_table_2(output: Path) -> None:
    """The tables of all rows that there are, in the order of the paper."""
    from configs.table2 import MODELS

    names = [(model, mode) for model in MODELS for mode in MODES]
    paths = {key: output / "rows" / f"{'-'.join(key)}.json" for key in names}
    results = {key: runs.read(path) for key, path in paths.items() if path.exists()}
    if not results:
        return
    found = [
        f"- {one.statement}: {one.held} of {one.made} comparisons" + "".join(f"\n  - not so: {words}" for words in one.against)
        for one in table2.findings(results)
    ]
    sections = {
        "Table 2": table2.markdown(results),
        "What a mode loses": table2.gaps(results),
        "Input SNR": table2.curve(results),
        "The paper's findings": "\n".join(found),
        "Runs": _runs(results),
    }
    with replacing(output / "table2.md") as temporary:
        temporary.write_text("\n\n".join(f"## {title}\n{text}" for title, text in sections.items()) + "\n")
    with replacing(output / "table2.tex") as temporary:
        temporary.write_text(table2.latex(results))
    write_csv(output / "table2.csv", table2.csv_rows(results))


def _runs(results: table2.Results) -> str:
    lines = ["| run | configuration | suite | step | command |", "|---|---|---|---|---|"]
    for (model, mode), of in results.items():
        lines.append(
            f"| {model} {mode} | {of['configuration']} | {of['suite']} {of['version']} | {of['step']} | `{of['training']}` |"
        )
    return "\n".join(lines)


def table_3(asked: Asked) -> int:
    """Measures one network, trained in all modes, on scans of hearts that are unlike those of its training."""
    blocks, titled, lines = [], {}, []
    trained = {mode: runs.train(asked, asked.model, mode) for mode in asked.modes}
    for title, names in HEARTS.items():
        results: dict[str, list[dict[str, Any]]] = {mode: [] for mode in trained}
        for suite in [runs.suite(asked.output, name) for name in names]:
            for mode, (workdir, _) in trained.items():
                results[mode].append(runs.evaluated(workdir, suite, workdir / suite.name, SCANS[asked.preset]))
        measured = _measured(results)
        titled[title] = found = generalisation.rows(measured)
        blocks.append(f"### {title}, {asked.model}\n{generalisation.table(found)}\n\n{generalisation.fidelities(measured)}")
        made_by = {
            MODES[mode]: {
                "training": trained[mode][1],
                "configuration": of[0]["configuration"],
                "suites": " ".join(f"{one['suite']} {one['version']}" for one in of),
            }
            for mode, of in results.items()
        }
        lines += [row | made_by.get(row["method"], {}) for row in generalisation.csv_rows(title, found)]
        print(blocks[-1], flush=True)
        write_json(asked.output / f"table3-{title.replace(' ', '_')}.json", results)
    commands = "\n".join(f"- {mode}: `{command}`" for mode, (_, command) in trained.items())
    how = (
        f"Simulated scans; {' '.join(SCANS[asked.preset])} of launch/evaluate.py --suite; versions and commands in table3-*.json. "
        "The noise SD of a point has a relative error of 1 / sqrt(4 N - 4) by N replicas, of magnitudes 1 / sqrt(2 N - 2); that of a "
        "region is the root mean square over its points."
    )
    with replacing(asked.output / "table3.md") as temporary:
        temporary.write_text("\n\n".join([*blocks, how, commands]) + "\n")
    with replacing(asked.output / "table3.tex") as temporary:
        temporary.write_text(generalisation.latex(titled))
    write_csv(asked.output / "table3.csv", lines)
    print(f"reproduce: {asked.output / 'table3.md'}, and .csv, .tex", flush=True)
    return 0


def _measured(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Any]]:
    """Figures of the cases by method, the reconstruction itself among them: as `generalisation.rows` takes them."""

    def of(case: Mapping[str, Any], which: str) -> Measured:
        return Measured({name: Region(**one) for name, one in case[which]["regions"].items()}, case[which]["g_factor"])

    cases = {mode: [case for of_suite in suites for case in of_suite["cases"]] for mode, suites in results.items()}
    first, *others = cases
    return {
        MODES[first]: [of(case, "denoised") for case in cases[first]],
        generalisation.RAW: [of(case, "raw") for case in cases[first]],
        **{MODES[mode]: [of(case, "denoised") for case in cases[mode]] for mode in others},
    }
