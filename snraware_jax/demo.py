"""From a simulated raw scan to a report, by the commands that a user would give, each of which is shown."""

import json
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data_pipeline.simulator import Settings, Simulated, simulate
from snraware_jax.denoise_report import about_now
from snraware_jax.denoising import positive
from snraware_jax.errors import InputError
from snraware_jax.evaluation import results
from snraware_jax.formats.hdf5 import read_series
from snraware_jax.formats.mrd import write_scan
from snraware_jax.recon import chain

SEED, SUBJECT = 3_000_000, 5  # of a population that neither trainings nor test suites see; a short axis
# R = 4 and a 99.5th percentile of 25 SNR units before its loss: noise that is plain to see
SETTINGS = Settings(matrix=(144, 192), acceleration=4, signal_snr=(25.0, 25.0))


def run(folder: Path, command: Callable[[Sequence[str]], int], settings: Settings = SETTINGS) -> Path:
    """Simulates a scan, reconstructs and denoises it, and compares the result with the truth.

    Args:
      folder: of everything.
      command: runs a verb of `snraware`, as `cli.main` does.
      settings: of the simulator.

    Returns:
      the report.

    Raises:
      InputError: if a command fails.
    """

    def give(*arguments: str) -> None:
        print(f"$ snraware {shlex.join(arguments)}", flush=True)
        if command(arguments):
            raise InputError(f"snraware {arguments[0]} failed; the line above says why")

    started = time.perf_counter()
    raw, scan, denoised = (str(folder / name) for name in ("meas.h5", "scan.h5", "denoised.h5"))
    print(f"demo: simulating a raw cine, R = {settings.acceleration}", flush=True)
    made = simulate(SEED, SUBJECT, settings)
    write_scan(raw, made.scan)
    give("reconstruct", raw, "-o", scan)
    give("denoise", scan, "-o", denoised)
    _compare(folder, made, Path(scan), Path(denoised), started)
    give("report", str(folder))
    return folder / "report.html"


def _compare(folder: Path, made: Simulated, scan: Path, denoised: Path, started: float) -> None:
    """Leaves in a folder what `snraware report` reads: the scan before and after, and its truth."""
    before, after, about = read_series(scan), read_series(denoised), json.loads(Path(f"{denoised}.json").read_text())
    # the same k-space without noise in the same chain: what is left of aliases is in both
    plan = chain.calibrate(made.scan, (made.scan.acceleration,))
    clean = np.asarray(chain.apply(plan, made.noise_free, made.scan.acquired))
    g_map = positive(before.g_map)  # a series is over g
    entry = results.Entry("simulated cine", before.image * g_map, after.image * g_map, g_map, clean * g_map)
    gain = 20 * np.log10(_rms(entry.noisy - entry.reference) / _rms(entry.denoised - entry.reference))
    print(f"demo: the error is {gain:.1f} dB smaller than before", flush=True)
    table = results.Table(
        "Gain over the noisy input", ["figure", "dB"], [["complex squared error, all points and frames", gain]]
    )
    title, seconds = f"snraware demo: a simulated cine at R = {made.scan.acceleration}", time.perf_counter() - started
    results.write(folder, [entry], about_now(title, about["bundle"], seconds, about["said"], [table]))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(values) ** 2)))
