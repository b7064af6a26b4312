"""Evaluates a trained workdir on series it has not seen: gain in dB beside Gaussian and TV-3D, and pictures.

    python launch/evaluate.py --workdir=runs/hrnet_cnnt-quick
    python launch/evaluate.py --workdir=runs/laptop --data=RECORDS --split=all --series=11 --others=nlm,mp_pca --output=DIR
    python launch/evaluate.py --workdir=runs/laptop --suite=suites/realtime_cine      # made by python -m data_pipeline.suites
    python launch/evaluate.py --bundle=model.snr --suite=suites/realtime_cine

Writes table.csv and one picture a noise level to OUTPUT, and what `snraware report OUTPUT` makes a page of; of a
suite results.json, figures of every case.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict, config_flags

from launch import program

if TYPE_CHECKING:
    from snraware_jax.training.best import Best

CONFIG = config_flags.DEFINE_config_file("config", None, "checked against the workdir's own configuration, if given")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of launch/train.py")
DATA = flags.DEFINE_string("data", None, "folder of records [those of the training]")
SPLIT = flags.DEFINE_enum("split", "test", ["train", "validation", "test", "all"], "which records")
SERIES = flags.DEFINE_integer("series", None, "how many of them, evenly chosen [that of the configuration]")
PEAK_SNR = flags.DEFINE_list("peak_snr", None, "noise levels, --peak_snr=4,8,16,32 [those of the configuration]")
OTHERS = flags.DEFINE_list("others", [], "further baselines, slow ones: --others=tv,nlm,mp_pca,local_pca,bm4d")
OUTPUT = flags.DEFINE_string(
    "output", None, "folder for the table and the pictures [WORKDIR/evaluation, WORKDIR/SUITE; BUNDLE/...]"
)
BUNDLE = flags.DEFINE_string("bundle", None, "file of launch/export.py or snraware import-weights, instead of a workdir")
SUITE = flags.DEFINE_string("suite", None, "folder of a test suite, instead of records")
CASES = flags.DEFINE_integer("cases", None, "how many subjects of a suite, the first [all]", lower_bound=1)
REPLICAS = flags.DEFINE_integer("replicas", 64, "noisy copies of every scan of a suite", lower_bound=2)
PART = flags.DEFINE_list("part", None, "frames, rows, columns of a scan of slices, about the labelled heart: 12,80,80 [all]")
DRAWS = flags.DEFINE_integer("draws", 1, "of the noise of every series of a suite", lower_bound=1)
CHECKS = flags.DEFINE_bool("checks", False, "of scans also SURE, residual, lesions, phase, error of the g-map")
OF_RECORDS = (DATA, SPLIT, SERIES, PEAK_SNR, OTHERS)
OF_SUITES = (CASES, REPLICAS, PART, DRAWS, CHECKS)


def main() -> None:
    from launch import evaluation, suite
    from snraware_jax.errors import InputError
    from snraware_jax.evaluation import others
    from snraware_jax.training import configuration

    others.check(OTHERS.value)
    if (WORKDIR.value is None) == (BUNDLE.value is None):
        raise InputError("which network? --workdir=DIR, the folder of launch/train.py, or --bundle=FILE")
    idle, of = (OF_RECORDS, "records, not of a --suite") if SUITE.value else (OF_SUITES, "a --suite, not of records")
    if given := [flag.name for flag in idle if flag.present]:
        raise InputError(f"--{given[0]} is of {of}; leave it out")
    network = Path(WORKDIR.value or BUNDLE.value or "")
    config, restore = (_of_workdir if WORKDIR.value else _of_bundle)(network)
    config.mesh.fsdp, config.vgg_weights = 1, ""  # the machine need not be the one of the training
    _set_from_flags(config)
    configuration.validate(config, devices=1)
    beside = network if WORKDIR.value else network.with_suffix("")
    output = Path(OUTPUT.value or beside / (Path(SUITE.value).name if SUITE.value else "evaluation"))
    if SUITE.value:
        program.keep_compiled_programs(beside / "compilation_cache")
        options = suite.Options(CASES.value, DRAWS.value, REPLICAS.value, _part(), CHECKS.value)
        suite.evaluate(restore(config), Path(SUITE.value), output, options)
        return
    data = DATA.value or config.data.path or (WORKDIR.value and str(beside / "data"))
    if not data:
        raise InputError(f"{BUNDLE.value}: has no records of its own; give --data=RECORDS or --suite=DIR")
    program.keep_compiled_programs(beside / "compilation_cache")
    evaluation.evaluate(config, restore(config), Path(data), SPLIT.value, output, OTHERS.value)


Restore = Callable[[ConfigDict], "Best"]


def _of_workdir(workdir: Path) -> tuple[ConfigDict, Restore]:
    """The configuration of a run, and how to restore its network."""
    from configs import base
    from snraware_jax.training import best, configuration

    config = configuration.restore(workdir, base.get_config())
    if CONFIG.value is not None:
        configuration.compare(CONFIG.value, workdir)
        config = CONFIG.value
    return config, lambda config: best.restore(config, workdir)


def _of_bundle(path: Path) -> tuple[ConfigDict, Restore]:
    """The configuration that a bundle was trained with, the paper's if it does not say, and how to make its network."""
    from configs import base
    from snraware_jax.inference import bundle
    from snraware_jax.training import best, configuration

    found = bundle.load(path)
    config, kept = base.get_config(), found.card.get("configuration")
    if kept is not None:
        config = configuration.of_values(kept, config, str(path), "export it again")
    return config, lambda config: best.of_bundle(config, found)


def _set_from_flags(config: ConfigDict) -> None:
    from snraware_jax.errors import InputError

    if SERIES.value is not None:
        config.evaluation.series = SERIES.value
    if PEAK_SNR.value is not None:
        try:
            config.evaluation.peak_snr = tuple(float(level) for level in PEAK_SNR.value)
        except ValueError as error:
            raise InputError(f"--peak_snr={','.join(PEAK_SNR.value)}: give numbers, --peak_snr=4,8,16,32") from error


def _part() -> tuple[int, int, int] | None:
    """The three sizes of --part."""
    from snraware_jax.errors import InputError

    if PART.value is None:
        return None
    if len(PART.value) != 3 or not all(size.isdecimal() and int(size) > 0 for size in PART.value):
        raise InputError(f"--part={','.join(PART.value)}: give frames, rows, columns above 0, --part=12,80,80")
    frames, height, width = map(int, PART.value)
    return frames, height, width


if __name__ == "__main__":
    program.run(main)
