"""What we think of images before anything is denoised: size, units, noise, g-map, k-space; nothing is written."""

from typing import NamedTuple

import numpy as np

from snraware_jax.denoising import g_map_of, positive
from snraware_jax.formats.images import Images, remarks, size
from snraware_jax.inference.support import support
from snraware_jax.inference.units import background

PEAK = 99.9  # percentile of magnitudes that counts as their peak


class Checked(NamedTuple):
    """What was found.

    Attributes:
      lines: for a reader.
      ready: whether `snraware denoise` takes the images as they are.
    """

    lines: tuple[str, ...]
    ready: bool


def check(images: Images, name: str) -> Checked:
    """Measures images as `formats.images.read` gives them.

    Raises:
      InputError: if their g-map cannot be used.
    """
    frames, slices, *_ = images.data.shape
    ratio, over_g = float(images.units.get("scale_ratio", 1.0)), bool(images.units.get("over_g"))
    g_map, said = g_map_of(images, name)
    data = images.data / np.float32(ratio) * (positive(g_map) if over_g else np.float32(1))
    values = "complex" if np.iscomplexobj(data) else "magnitudes: for a magnitude model, or with --phase FILE"
    negative = not np.iscomplexobj(data) and bool(data.min() < 0)
    if negative:
        values = "VALUES BELOW 0, so no magnitudes: a real or imaginary part, or a phase; give the magnitudes, and --phase FILE"
    count = " of ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((frames, "frame"), (slices, "slice")) if n > 1)
    lines = [f"{name}: {images.kind}, {size(images.data.shape)}{f' ({count})' if count else ''}, {values}"]
    if images.spacing is not None:
        lines.append(f"voxels {_voxels(images.spacing)} mm (slice, row, column)")
    lines += [line.removeprefix(f"{name}: ") for line in (*remarks(images, name), *said)]
    if ratio != 1:
        lines.append(f"values were multiplied by {ratio:g}, as their header says")
    if images.g_map is not None:
        inside = g_map[g_map > 0]
        lines.append(f"g-map from {inside.min():.3g} to {inside.max():.3g}, median {np.median(inside):.3g}")
    found = background(data, g_map)
    if found is None:
        lines.append(
            "no background to measure the noise on" + ("" if over_g else ": denoise it with --noise-sd SD or --units snr")
        )
        return Checked(tuple(lines), over_g and not negative)
    verdict = (
        "SNR units, by its format"
        if over_g
        else "SNR units"
        if found.in_snr_units
        else f"not SNR units: denoise it with --units auto or --noise-sd {found.sd:.3g}"
    )
    lines.append(f"noise SD {found.sd:.3g} over g, from {found.voxels:,} background voxels: {verdict}")
    lines.append(
        f"peak SNR {np.percentile(np.abs(data), PEAK) / found.sd:.3g} (percentile {PEAK} of magnitudes over the noise SD)"
    )
    if np.iscomplexobj(data):
        lines.append(_of_k_space(data, found.sd, g_map, images.spacing))
    return Checked(tuple(lines), (over_g or found.in_snr_units) and not negative)


def _of_k_space(data: np.ndarray, sd: float, g_map: np.ndarray, spacing: tuple[float, float, float] | None) -> str:
    rows, columns = support(data, sd, g_map)
    held, sizes = (int(rows.sum()), int(columns.sum())), data.shape[-2:]
    said = f"k-space: noise in {held[0]} of {sizes[0]} rows and {held[1]} of {sizes[1]} columns"
    if held == sizes:
        return said
    effective = ""
    if spacing is not None:
        effective = f"; effective voxels {_voxels([mm * n / m for mm, n, m in zip(spacing[1:], sizes, held, strict=True)])} mm"
    return f"{said}: zero-filled or filtered, so that the noise of neighbours is correlated{effective}"


def _voxels(spacing: "tuple[float, ...] | list[float]") -> str:
    return " x ".join("?" if np.isnan(mm) else f"{mm:.3g}" for mm in spacing)
