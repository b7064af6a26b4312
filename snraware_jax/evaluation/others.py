"""Further baselines, chosen by name: total variation at its best, non-local means, MP-PCA, local PCA, BM4D; slow ones."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.evaluation import baselines
from snraware_jax.evaluation.baselines import CONVERGED, STRENGTHS, WEIGHTS, best_strength, nlm3d, tv3d
from snraware_jax.evaluation.cases import Clean, noise_of
from snraware_jax.evaluation.in_distribution import Case, Denoise, Method
from snraware_jax.noise import NoiseSettings
from snraware_jax.progress import Progress

TITLES = {"tv": "TV-3D, best weight", "nlm": "NLM-3D", "mp_pca": "MP-PCA", "local_pca": "local PCA", "bm4d": "BM4D"}
REALISATIONS = 16  # of the noise, for its power spectral density


def check(names: Sequence[str]) -> None:
    """Refuses what cannot be run, before any work begins.

    Raises:
      InputError: for an unknown or repeated name, or a package that is missing.
    """
    for name in names:
        if name not in TITLES:
            raise InputError(f"--others={','.join(names)}: no baseline is called {name!r}; there are {', '.join(TITLES)}")
        if names.count(name) > 1:
            raise InputError(f"--others={','.join(names)}: {name} is named twice; once is enough")
        if name in baselines.PACKAGES:
            baselines.load(name)


def methods(
    names: Sequence[str],
    series: Sequence[Clean],
    cases: Sequence[Case],
    noise: NoiseSettings,
    *,
    magnitude: bool = False,
    show_progress: bool = True,
) -> dict[str, Method]:
    """The baselines of these names for `in_distribution.evaluate`, by the name that the table calls them.

    Total variation, iterated until it has converged, and non-local means get the strength that is best for each level, BM4D the true
    power spectral density of each series' noise: they know more than a network is told.

    Args:
      names: of `TITLES`.
      series, noise, magnitude: what `noisy_cases` made `cases` from.
      show_progress: False on processes that must stay silent.

    Raises:
      InputError: as `check`; for series that a baseline cannot take; for BM4D if the PSD of the noise is not known.
    """
    check(names)
    makers: dict[str, Callable[[], Method]] = {
        "tv": lambda: _at_best(partial(tv3d, tolerance=CONVERGED), WEIGHTS, cases, "weight of TV-3D", show_progress),
        "nlm": lambda: _at_best(nlm3d, STRENGTHS, cases, "strength of NLM-3D", show_progress),
        "mp_pca": lambda: _pca(baselines.mp_pca, cases),
        "local_pca": lambda: _pca(baselines.local_pca, cases),
        "bm4d": lambda: _bm4d(series, cases, noise, magnitude, show_progress),
    }
    return {TITLES[name]: makers[name]() for name in names}


def _at_best(denoise: Callable, strengths: Sequence[float], cases: Sequence[Case], label: str, show_progress: bool) -> Method:
    best = {}
    for level in sorted({case.peak_snr for case in cases}):
        of_level = [case for case in cases if case.peak_snr == level]
        best[level] = best_strength(denoise, strengths, of_level, f"{label} at peak SNR {level:g}" if show_progress else "")
    return lambda case: denoise(case.noisy, case.g_map, best[case.peak_snr])


def _pca(method: Denoise, cases: Sequence[Case]) -> Method:
    for case in cases:
        baselines.require_frames(case.noisy)
    return lambda case: method(case.noisy, case.g_map)


def _bm4d(series: Sequence[Clean], cases: Sequence[Case], noise: NoiseSettings, magnitude: bool, show_progress: bool) -> Method:
    if magnitude:
        raise InputError("--others=bm4d: the noise of magnitudes is not additive and has no PSD; leave bm4d out for this run")
    for one in series:
        if one.native_noise:
            raise InputError(
                f"--others=bm4d: series {one.sample_id} has noise of its own (SD {one.native_noise:g}), whose PSD is not known; "
                "leave bm4d out for these records"
            )
    for case in cases:
        baselines.require_blocks(case.noisy)
    densities = {}
    first = {case.name: case for case in reversed(cases)}  # of a series: relative to its SD, its noise is that of every level
    with Progress(len(first), "PSD of the noise", unit="series", enabled=show_progress) as progress:
        for one in series:
            case = first[f"series {one.sample_id}"]
            densities[case.name] = noise_psd(noise_of(one, case.peak_snr, noise), case.g_map, not noise.temporal_probability)
            progress.update(len(densities))
    return lambda case: baselines.bm4d(case.noisy, case.g_map, densities[case.name])


def noise_psd(
    noise: Callable[[Array], Array], g_map: np.ndarray, independent_frames: bool, count: int = REALISATIONS
) -> np.ndarray:
    """Power spectral density of noise divided by g: the mean of |FFT|^2 over both parts of `count` realisations.

    Args:
      noise: key -> `[T, H, W]` complex, of `cases.noise_of`.
      g_map: `[H, W]`, by which it is divided.
      independent_frames: whether frames are, so that the density is the same at every temporal frequency and averaged over them.

    Returns:
      `[T, H, W]` float64, DC first, of one part (real or imaginary), of a transform that is not normalised: T H W of white noise
      of SD 1.
    """
    draw = jax.jit(noise)

    def power_of(key: Array) -> np.ndarray:
        unit = np.asarray(draw(key), np.complex128) / g_map
        # both parts together: |F(re)|^2 + |F(im)|^2 at k is the mean of |F|^2 at k and -k
        power = np.abs(np.fft.fftn(unit)) ** 2
        mirrored = np.roll(np.flip(power), 1, axis=(0, 1, 2))
        return (power + mirrored) / 4

    density = np.asarray(sum(power_of(key) for key in jax.random.split(jax.random.key(0), count)) / count)
    return np.broadcast_to(density.mean(axis=0), density.shape) if independent_frames else density
