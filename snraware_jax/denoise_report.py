"""The report of a user's own images: what was removed, what is left, and what was assumed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from snraware_jax.denoising import Scale, each_series, in_snr_units
from snraware_jax.evaluation import results
from snraware_jax.evaluation.report import render
from snraware_jax.formats.images import Images, size
from snraware_jax.inference.bundle import Bundle
from snraware_jax.training import configuration


def write_report(
    folder: Path,
    bundle: Bundle,
    images: Images,
    denoised: Images,
    scale: Scale,
    noise: np.ndarray | None,
    said: Sequence[str],
    seconds: float,
) -> Path:
    """Writes FOLDER/report.html, all values in SNR units; its path.

    Args:
      folder: of the report; replaced if it is one.
      bundle: that denoised.
      images, denoised: before and after, in the units of the file.
      scale: between those and SNR units.
      noise: noise map of the output in SNR units, `[frames, slices, H, W]`, if there is one.
      said: warnings for the reader.
      seconds: that it took until now.
    """
    before, after = (in_snr_units(one, scale, bundle.settings.magnitude) for one in (images, denoised))

    def entries() -> Iterator[results.Entry]:
        for number, (place, series, g_map) in enumerate(each_series(before, scale.g_map)):
            name = "volume" if len(before) == 1 and before.shape[1] > 1 else f"slice {number + 1}"
            yield results.Entry(name, series, after[place], g_map, noise_map=None if noise is None else noise[place])

    facts = [
        ["images", f"{images.kind}, {size(images.data.shape)}"],
        ["divided by, for SNR units", "1 / g" if scale.over_g else scale.divisor],
        ["g-map", "none: 1 everywhere" if images.g_map is None else f"median {np.median(scale.g_map[scale.g_map > 0]):.3g}"],
        ["model", f"{bundle.settings.described}, step {bundle.card.get('step', '?')}"],
    ]
    title, table = (
        f"{images.metadata.get('name', 'images')}, denoised",
        results.Table("What was done", ["what", "value"], facts),
    )
    results.write(folder, entries(), about_now(title, bundle.sha256, seconds, said, [table]))
    return render(folder, show_progress=False)


def about_now(
    title: str, sha256: str, seconds: float, warnings: Sequence[str], tables: Sequence[results.Table]
) -> results.About:
    """How a report of this process was made, with the model of a digest."""
    versions = configuration.versions()
    command = versions.pop("command")
    device = jax.devices()[0].device_kind
    return results.About(title, command, sha256[:16], versions, None, device, seconds, list(warnings), list(tables))
