"""The fixed test suites, made from seeds: series like those of the training, and reconstructed scans with their truth.

    python -m data_pipeline.suites --output=suites                           # all: 4 to 40 s a scan on two cores, 1 GB
    python -m data_pipeline.suites --output=suites --suites=realtime_cine --subjects=2

Writes OUTPUT/SUITE/SUITE-NNN.npz (`snraware_jax.evaluation.scans`), of the series shards of records, and OUTPUT/SUITE/index.json with
the command and a digest of every file, whose own digest is the suite's version. What is there already is not made again.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipeline import prepare
from data_pipeline.simulator import TABLE_1, Settings, study
from data_pipeline.sources import SHARDS, digest, open_source
from snraware_jax.errors import InputError, describe
from snraware_jax.evaluation import scans
from snraware_jax.formats.atomic import write_json
from snraware_jax.progress import Progress
from snraware_jax.recon import chain

INDEX = "index.json"
SEED = 2_000_000  # of populations that no training sees


class Suite(NamedTuple):
    """A population and what is made of it.

    Attributes:
      settings: of the simulator.
      subjects: how many.
      series: whether of series that get noise as in training, instead of scans.
      first: number of the first subject, so that suites that are tested together do not share bodies.
      without: subjects that are left out, because a region is too thin in their slice to be measured away from its border.
    """

    settings: Settings
    subjects: int
    series: bool = False
    first: int = 0
    without: tuple[int, ...] = ()

    def subject(self, number: int) -> int:
        """Of the population, of a case."""
        return [one for one in range(self.first, self.first + number + 1 + len(self.without)) if one not in self.without][
            number
        ]


class Opened(NamedTuple):
    """A suite that is as its index says.

    Attributes:
      name, version: of the suite.
      settings: of the simulator.
      series: whether it is of series.
      files: its files, in order.
    """

    name: str
    version: str
    settings: dict[str, Any]
    series: bool
    files: list[Path]


SUITES = {
    "cine": Suite(TABLE_1["retro_cine"], 16, series=True),
    "cine_small": Suite(Settings(), 12, series=True),  # of the size that the quick configurations train on
    "realtime_cine": Suite(TABLE_1["realtime_cine"], 10),
    "perfusion_stress": Suite(replace(TABLE_1["perfusion_stress"], slices=1), 5),
    "perfusion_rest": Suite(replace(TABLE_1["perfusion_rest"], slices=1), 5, first=5, without=(8,)),
    "mprage": Suite(TABLE_1["mprage"], 1),
    "spine": Suite(replace(TABLE_1["spine"], slices=1), 1),
    "phantom_r2": Suite(TABLE_1["phantom_r2"], 3),
    "phantom_r4": Suite(TABLE_1["phantom_r4"], 3),
}


def make(suite: str, subject: int, settings: Settings) -> scans.ScanCase:
    """Simulates and reconstructs one scan of one slice or volume.

    Its truth is the same k-space without noise in the same chain: what unmixing leaves of aliases is in both, so that `noisy - truth`
    is noise and nothing else. (Against the fully sampled image a cine at R = 2 differs by some 1.5 % of its peak.)
    """
    made = study(SEED, SUITES[suite].subject(subject) if suite in SUITES else subject, settings)[0]
    plan = chain.calibrate(made.scan, (settings.acceleration,))
    g_map = np.asarray(plan.g_map)
    image, clean = (np.asarray(chain.apply(plan, k, made.scan.acquired)) * g_map for k in (made.scan.kspace, made.noise_free))
    shape = made.truth.shape
    return scans.ScanCase(
        name=f"{suite}-{subject:03d}",
        noisy=image.reshape(shape).astype(np.complex64),
        truth=clean.reshape(shape).astype(np.complex64),
        g_map=g_map,
        labels=made.labels,
        unmixing=np.asarray(plan.unmixing),
        acquired=made.scan.acquired,
        card=made.card,
    )


def build(name: str, folder: Path, subjects: int) -> str:
    """Makes what is missing of a suite in FOLDER/NAME; returns its version.

    Raises:
      InputError: if a file is there that the index knows with another content, or the suite was made with other settings.
    """
    home, suite = folder / name, SUITES[name]
    settings = json.loads(json.dumps(asdict(suite.settings)))  # tuples as lists, as they are read back
    before = _index(home / INDEX) if (home / INDEX).exists() else {"settings": settings, "files": {}}
    if before["settings"] != settings:
        raise InputError(f"{home}: made with other settings; delete it, and it is made again")
    known = {file: digest for file, digest in before["files"].items() if (home / file).exists()}
    paths = (_make_series if suite.series else _make_scans)(name, home, subjects)
    files = known | {path.name: _digest_of(path, known.get(path.name)) for path in paths}
    version = digest(json.dumps(files, sort_keys=True))
    index = {"suite": name, "version": version, "command": " ".join(sys.argv), "seed": SEED, "series": suite.series}
    write_json(home / INDEX, index | {"settings": settings, "files": files})
    return version


def _make_scans(name: str, home: Path, subjects: int) -> Iterator[Path]:
    with Progress(subjects, name, unit="scans") as progress:
        for subject in range(subjects):
            path = home / f"{name}-{subject:03d}.npz"
            if not path.exists():
                scans.write(path, make(name, subject, SUITES[name].settings))
            yield path  # first: a file that the index does not know is said before one that cannot be read
            if scans.read(path).card["settings"] != json.loads(json.dumps(asdict(SUITES[name].settings))):
                raise InputError(f"{path}: made with other settings; delete {home}, and it is made again")
            progress.update(subject + 1)


def _make_series(name: str, home: Path, subjects: int) -> Iterator[Path]:
    prepare.simulate(home, seed=SEED, subjects=(0, 0, subjects), settings=SUITES[name].settings)
    if (found := len(open_source(home, "test"))) != subjects:
        raise InputError(f"{home}: has {found} series, not {subjects}; delete it, and it is made again")
    yield from sorted(home.glob(SHARDS))


def _digest_of(path: Path, known: str | None) -> str:
    """The digest of a file, which has to be the known one if there is one."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if known not in (None, found):
        raise InputError(f"{path}: not as {INDEX} knows it; delete both, and it is made again")
    return found


def _index(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return {"settings": dict(found["settings"]), "files": dict(found["files"])} | found
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it, and it is written again") from error


def open_suite(home: Path) -> Opened:
    """A suite in its folder, every file checked against the index.

    Raises:
      InputError: if there is none, or a file is missing or not as the index knows it.
    """
    if not (home / INDEX).is_file():
        made = "python -m data_pipeline.suites --output=suites"
        raise InputError(f"{home}: no {INDEX}, so not a test suite; make one by {made} and give suites/NAME")
    index = _index(home / INDEX)
    for name, known in index["files"].items():
        if not (home / name).is_file():
            raise InputError(f"{home / name}: missing, though {INDEX} knows it; make the suite again")
        _digest_of(home / name, known)
    try:
        files = [home / name for name in sorted(index["files"])]
        return Opened(index["suite"], index["version"], index["settings"], bool(index["series"]), files)
    except KeyError as error:
        raise InputError(f"{home / INDEX}: damaged (lacks {error}); delete it, and make the suite again") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m data_pipeline.suites", description="Makes the fixed test suites.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the suites")
    parser.add_argument("--suites", default=",".join(SUITES), help="which, with commas between [all]")
    parser.add_argument("--subjects", type=int, help="how many of each [as many as the suite has]")
    options = parser.parse_args()
    names = options.suites.split(",")
    if unknown := [name for name in names if name not in SUITES]:
        parser.error(f"--suites: {unknown[0]} is none; choose from {', '.join(SUITES)}")
    if options.subjects is not None and options.subjects < 1:
        parser.error("--subjects must be 1 or more")
    try:
        for name in names:
            version = build(name, options.output, min(options.subjects or 10**6, SUITES[name].subjects))
            print(f"suites: {name}, version {version}, in {options.output / name}", flush=True)
    except (InputError, OSError) as error:
        parser.error(describe(error))


if __name__ == "__main__":
    main()
