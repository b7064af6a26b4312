"""The paper's tables and figures, one command each: training runs, test suites, evaluation, and the table.

    python -m snraware_jax.evaluation.reproduce table2 --preset=small              # 44 trainings; killed, the same command goes on
    python -m snraware_jax.evaluation.reproduce table2 --models=hrnet_cnnt,unet_conv3d --modes=proposed
    python -m snraware_jax.evaluation.reproduce table3 --preset=small

To be run in the checkout, whose programs it starts. Every run has a folder OUTPUT/runs/MODEL-MODE of launch/train.py, every finished
one a file OUTPUT/rows/MODEL-MODE.json, which alone is enough to go on from. The tables are written anew after every run.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snraware_jax.errors import INTERRUPTED, STOPPED, InputError, describe
from snraware_jax.evaluation import paper_tables
from snraware_jax.formats.atomic import replacing

PRESETS = ("small", "paper")
CINES = {"small": "cine_small", "paper": "cine"}
HEARTS = {"real-time cine": ("realtime_cine",), "perfusion": ("perfusion_stress", "perfusion_rest")}  # of Table 3
# how scans are looked at: replicas, and of slices a part about the heart (frames, rows, columns)
SCANS = {"small": ("--replicas=16", "--part=12,72,72"), "paper": ("--replicas=64",)}
FLAT = ("vit2d", "conv2d")  # cells of the networks that the paper did not train in the other modes


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    try:
        if not Path("launch/train.py").is_file():
            raise InputError("no launch/train.py here; give the command in the checkout of the project")
        return {"table2": table2, "table3": table3}[options.what](options)
    except (InputError, OSError) as error:
        print(f"reproduce: {describe(error)}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"reproduce: {' '.join(map(str, error.cmd[1:]))} failed with exit code {error.returncode}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reproduce: interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    from configs import table2

    description = "Makes the paper's tables and figures."
    parser = argparse.ArgumentParser(prog="python -m snraware_jax.evaluation.reproduce", description=description)
    parser.add_argument("what", choices=["table2", "table3"])
    parser.add_argument("--preset", choices=PRESETS, default="small", help="sizes of networks, data and budgets [small]")
    parser.add_argument("--output", type=Path, help="folder of everything [runs/reproduction-PRESET]")
    parser.add_argument("--models", type=_names(table2.MODELS), help="of table2, with commas between [all 14]")
    parser.add_argument(
        "--modes", type=_names(paper_tables.MODES), help="with commas between [all 4; of networks in 2-D proposed]"
    )
    parser.add_argument("--model", choices=table2.MODELS, default="hrnet_cnnt_large", help="of table3 [hrnet_cnnt_large]")
    parser.add_argument("--data", type=Path, help="records to train on [simulated]")
    return parser


def _names(known: Sequence[str] | Mapping[str, str]) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none; choose from {', '.join(known)}")
        return names

    return parse


# ---------------------------------------------------------------- Table 2


def table2(options: argparse.Namespace) -> int:
    """Trains what is missing, network after network: first all of them as proposed, then the ablations; 1 if a run failed."""
    output = _output(options)
    wanted = _wanted(options)
    suite = _suite(output, CINES[options.preset])
    version = json.loads((suite / "index.json").read_text())["version"]
    failed = []
    for number, (model, mode) in enumerate(wanted):
        name = f"{model}-{mode}"
        print(f"reproduce: {name}, {number + 1} of {len(wanted)}", flush=True)
        try:
            if not _is_done(output / "rows" / f"{name}.json", options.preset, version):
                workdir, command = _train(output, model, mode, options)
                row = _evaluate(workdir, suite, []) | {"training": command, "preset": options.preset}
                _write_json(output / "rows" / f"{name}.json", row)
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"reproduce: {name} failed with exit code {error.returncode}; the others go on", file=sys.stderr)
        _write_table2(output, options)
    print(f"reproduce: {output / 'table2.md'}, and .csv, .tex", flush=True)
    return 1 if failed else 0


def _wanted(options: argparse.Namespace) -> list[tuple[str, str]]:
    from configs import table2

    models, modes = options.models or table2.MODELS, options.modes or list(paper_tables.MODES)
    flat = lambda model: model.endswith(FLAT)
    return [(model, mode) for mode in modes for model in models if options.modes or mode == "proposed" or not flat(model)]


def _is_done(path: Path, preset: str, version: str) -> bool:
    """Whether a row is there.

    Raises:
      InputError: if it is of another preset or suite, or damaged.
    """
    if not path.exists():
        return False
    row = _read(path)
    if (row.get("preset"), row.get("version")) != (preset, version):
        raise InputError(
            f"{path}: of preset {row.get('preset')}, suite {row.get('version')}; give another --output, or delete it"
        )
    return True


def _write_table2(output: Path, options: argparse.Namespace) -> None:
    """The tables of all rows that there are, in the order of the paper."""
    from configs import table2

    names = [(model, mode) for model in table2.MODELS for mode in paper_tables.MODES]
    paths = {key: output / "rows" / f"{'-'.join(key)}.json" for key in names}
    results = {key: _read(path) for key, path in paths.items() if path.exists()}
    if not results:
        return
    found = [
        f"- {one.statement}: {one.held} of {one.made} comparisons" + "".join(f"\n  - not so: {words}" for words in one.against)
        for one in paper_tables.findings(results)
    ]
    sections = {
        "Table 2": paper_tables.markdown_table2(results),
        "What a mode loses": paper_tables.gaps(results),
        "Input SNR": paper_tables.curve_table(results),
        "The paper's findings": "\n".join(found),
        "Runs": _runs(results),
    }
    with replacing(output / "table2.md") as temporary:
        temporary.write_text("\n\n".join(f"## {title}\n{text}" for title, text in sections.items()) + "\n")
    with replacing(output / "table2.tex") as temporary:
        temporary.write_text(paper_tables.latex_table2(results))
    rows = paper_tables.csv_table2(results)
    _write_csv(output / "table2.csv", rows)


def _runs(results: paper_tables.Results) -> str:
    lines = ["| run | configuration | suite | step | command |", "|---|---|---|---|---|"]
    for (model, mode), of in results.items():
        lines.append(
            f"| {model} {mode} | {of['configuration']} | {of['suite']} {of['version']} | {of['step']} | `{of['training']}` |"
        )
    return "\n".join(lines)


# ---------------------------------------------------------------- Table 3


def table3(options: argparse.Namespace) -> int:
    """Measures one network, trained in all modes, on scans of hearts that are unlike those of its training."""
    from snraware_jax.evaluation import generalisation

    output = _output(options)
    blocks, titled, lines = [], {}, []
    trained = {mode: _train(output, options.model, mode, options) for mode in options.modes or list(paper_tables.MODES)}
    for title, names in HEARTS.items():
        results: dict[str, list[dict[str, Any]]] = {mode: [] for mode in trained}
        for suite in [_suite(output, name) for name in names]:
            for mode, (workdir, _) in trained.items():
                results[mode].append(_scans(workdir, suite, options.preset))
        measured = _measured(results)
        titled[title] = found = generalisation.rows(measured)
        blocks.append(f"### {title}, {options.model}\n{generalisation.table(found)}\n\n{generalisation.fidelities(measured)}")
        made_by = {
            paper_tables.MODES[mode]: {
                "training": trained[mode][1],
                "configuration": of[0]["configuration"],
                "suites": " ".join(f"{one['suite']} {one['version']}" for one in of),
            }
            for mode, of in results.items()
        }
        lines += [row | made_by.get(row["method"], {}) for row in generalisation.csv_rows(title, found)]
        print(blocks[-1], flush=True)
        _write_json(output / f"table3-{names[0]}.json", results)
    commands = "\n".join(f"- {mode}: `{command}`" for mode, (_, command) in trained.items())
    how = f"Simulated scans; {' '.join(SCANS[options.preset])} of launch/evaluate.py --suite; versions and commands in table3-*.json."
    with replacing(output / "table3.md") as temporary:
        temporary.write_text("\n\n".join([*blocks, how, commands]) + "\n")
    with replacing(output / "table3.tex") as temporary:
        temporary.write_text(generalisation.latex(titled))
    _write_csv(output / "table3.csv", lines)
    print(f"reproduce: {output / 'table3.md'}, and .csv, .tex", flush=True)
    return 0


def _scans(workdir: Path, suite: Path, preset: str) -> dict[str, Any]:
    """Results of a run on a suite of scans, made if they are not there."""
    version = json.loads((suite / "index.json").read_text())["version"]
    path = workdir / suite.name / "results.json"
    if path.exists() and _read(path).get("version") == version:
        return _read(path)
    return _evaluate(workdir, suite, SCANS[preset])


def _measured(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Any]]:
    """Figures of the cases by method, the reconstruction itself among them: as `generalisation.rows` takes them."""
    from snraware_jax.evaluation.generalisation import Measured
    from snraware_jax.evaluation.regions import Region

    def of(case: Mapping[str, Any], which: str) -> Measured:
        return Measured({name: Region(**one) for name, one in case[which]["regions"].items()}, case[which]["g_factor"])

    cases = {mode: [case for of_suite in suites for case in of_suite["cases"]] for mode, suites in results.items()}
    first, *others = cases
    return {
        paper_tables.MODES[first]: [of(case, "denoised") for case in cases[first]],
        "raw": [of(case, "raw") for case in cases[first]],
        **{paper_tables.MODES[mode]: [of(case, "denoised") for case in cases[mode]] for mode in others},
    }


# ---------------------------------------------------------------- programs


def _output(options: argparse.Namespace) -> Path:
    output = options.output or Path("runs") / f"reproduction-{options.preset}"
    (output / "rows").mkdir(parents=True, exist_ok=True)
    return output


def _suite(output: Path, name: str) -> Path:
    _run([sys.executable, "-m", "data_pipeline.suites", f"--output={output / 'suites'}", f"--suites={name}"])
    return output / "suites" / name


def _train(output: Path, model: str, mode: str, options: argparse.Namespace) -> tuple[Path, str]:
    """Trains what is left of a run; its folder, and the command."""
    config = f"configs/table2.py:{model}-{mode}-{options.preset}"
    data = options.data or _records(output, config)
    workdir = output / "runs" / f"{model}-{mode}"
    flags = [f"--config={config}", f"--workdir={workdir}", f"--config.data.path={data}", "--config.evaluation.series=1"]
    command = [sys.executable, "launch/train.py", *flags]
    said = " ".join(["python", *command[1:]])
    done = workdir / "trained.json"
    if not done.exists():
        started = time.monotonic()
        _run(command)
        _write_json(done, {"command": said, "seconds_of_last_start": round(time.monotonic() - started)})
    return workdir, said


def _records(output: Path, config: str) -> Path:
    """Simulated records that all runs share."""
    from launch import program, training

    folder = output / "data"
    training.simulate(program.load_config(config), folder)
    return folder


def _evaluate(workdir: Path, suite: Path, flags: Sequence[str]) -> dict[str, Any]:
    output = workdir / suite.name
    command = ["launch/evaluate.py", f"--workdir={workdir}", f"--suite={suite}", f"--output={output}", *flags]
    _run([sys.executable, *command])
    return _read(output / "results.json")


def _run(command: Sequence[str]) -> None:
    """Runs a program to its end; it is told to stop when this one is.

    Raises:
      subprocess.CalledProcessError: if it fails.
    """
    with _ended(subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"})) as process:
        code = process.wait()
    if code in (INTERRUPTED, STOPPED):
        raise KeyboardInterrupt
    if code:
        raise subprocess.CalledProcessError(code, command)


@contextmanager
def _ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); delete it, and it is made again") from error


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
