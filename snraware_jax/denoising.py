"""Images of any file denoised: their units and g-map, slices or a volume or frames, strength, and back into the file's own units."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from snraware_jax import __version__, files, own_noise, own_regions
from snraware_jax.errors import InputError
from snraware_jax.formats import images as images_of
from snraware_jax.formats.atomic import write_json
from snraware_jax.formats.images import Images
from snraware_jax.inference.denoiser import Bundled, memory_of
from snraware_jax.inference.units import background, sd_of_noise

Denoiser = Callable[[np.ndarray, np.ndarray], np.ndarray]
SCALED = 20.0  # median of a g-map from which it has been multiplied: no array leaves ten times the noise in half of an image
SERIES = (".h5", ".hdf5", ".mrd")  # suffixes of its format
GADGETRON = 100.0  # what it multiplies g-maps by


class Scale(NamedTuple):
    """What makes SNR units of images.

    Attributes:
      divisor: of the images; their noise then has SD g.
      g_map: `[slices, H, W]` float32, 0 where nothing is known.
      said: what a user should know, a line each.
      over_g: whether the images are over g, so that their noise has the SD `divisor` everywhere, and g has to be multiplied by.
    """

    divisor: float
    g_map: np.ndarray
    said: tuple[str, ...]
    over_g: bool = False

    @property
    def divisors(self) -> np.ndarray:
        """What images `[frames, slices, H, W]` are divided by: fits that shape, float32."""
        if not self.over_g:
            return np.float32(self.divisor) * np.ones(1, np.float32)
        return (self.divisor / positive(self.g_map)).astype(np.float32)


def positive(g_map: np.ndarray) -> np.ndarray:
    """A g-map with 1 where it is 0, float32."""
    return np.where(g_map > 0, g_map, 1).astype(np.float32)


def scale_of(
    images: Images, name: str, *, units: str = "known", noise_sd: float | None = None, g_map_by: str = "give --gmap FILE"
) -> Scale:
    """How images become SNR units.

    Args:
      images: as `formats.images.read` gives them.
      name: of the file, for messages.
      units: "known": refused unless the file says so, or its background has a noise SD of 1; "snr": they are, whatever the
        background; "auto": divided by the noise SD of the background.
      noise_sd: where g is 1, by which they are divided, after a ratio that their header records.
      g_map_by: how a user gives a g-map, for messages.

    Raises:
      InputError: if it cannot be known, with the noise SD that was found.
    """
    g_map, said = g_map_of(images, name, g_map_by)
    ratio = float(images.units.get("scale_ratio", 1.0))
    said += [f"{name}: values were multiplied by {ratio:g}, as their header says; dividing"] if ratio != 1 else []
    if images.units.get("over_g"):
        if noise_sd is not None:
            raise InputError(f"{name} is in SNR units, its noise SD is 1: leave out --noise-sd {noise_sd:g}.")
        return Scale(1.0, g_map, tuple(said), over_g=True)
    if noise_sd is not None or units == "snr":
        divisor = ratio * (1.0 if noise_sd is None else noise_sd)
        _require_signal(images, divisor, name)
        return Scale(divisor, g_map, (*said, *([] if noise_sd is None else [f"{name}: noise SD {noise_sd:g} as given"])))
    found = background(images.data / ratio, g_map)
    if found is None:
        raise InputError(
            f"{name}: no background to measure the noise on: give --noise-sd SD, or --units snr if its noise SD is g."
        )
    measured = f"{name}: noise SD {found.sd:.3g} over g, from {found.voxels:,} background voxels"
    if found.in_snr_units:
        return Scale(ratio, g_map, (*said, f"{measured}: SNR units"))
    if units == "auto":
        return Scale(ratio * found.sd, g_map, (*said, f"{measured}; dividing"))
    raise InputError(
        f"{name}: noise SD is {found.sd:.3g}, not 1: not in SNR units. Give --noise-sd {found.sd:.3g} (our estimate, from "
        f"{found.voxels:,} background voxels), a g-map, or --units auto."
    )


def _require_signal(images: Images, noise_sd: float, name: str) -> None:
    """Refuses images that are far below the noise that they are said to have: a network would invent what is not there.

    Raises:
      InputError: with both figures.
    """
    largest = float(np.abs(images.data).max())
    if largest < noise_sd:
        raise InputError(
            f"{name}: its largest value, {largest:.3g}, is below a noise SD of {noise_sd:.3g}: give --noise-sd SD in the units of the "
            "file, or --units auto."
        )


def g_map_of(images: Images, name: str, by: str = "give --gmap FILE") -> tuple[np.ndarray, list[str]]:
    """The g-map in units of 1, ones where there is none, and what is to be said of it."""
    shape = images.data.shape[1:]
    if images.g_map is None:
        return np.ones(shape, np.float32), [f"{name}: NO G-MAP: taken as 1 everywhere, which parallel imaging is not; {by}"]
    ratio = float(images.units.get("g_map_scale_ratio", 1.0))
    g_map, said = images.g_map / np.float32(ratio), []
    inside = g_map[g_map > 0]
    if not inside.size:
        raise InputError(f"{name}: its g-map is 0 everywhere: {by} that is right.")
    median = float(np.median(inside))
    if median > SCALED:
        said.append(f"{name}: g-map median is {median:.3g}: looks like Gadgetron's x100; dividing.")
        g_map, median = g_map / np.float32(GADGETRON), median / GADGETRON
    if not 1 / SCALED < median < SCALED:
        raise InputError(
            f"{name}: g-map median is {median:.3g}, which no g-factors have: {by} in units of 1, 0 where it is not known."
        )
    return g_map, said


def with_its_noise(images: Images, output: Path) -> Images:
    """Images as the format of `output` can hold them: a series over its g-map says so in its own format alone.

    Everywhere else noise of SD 1 with a g-map beside it would be taken for noise of SD g, so it is multiplied by g.
    """
    if images.g_map is None or not images.units.get("over_g") or images_of.suffix_of(output) in SERIES:
        return images
    return replace(images, data=images.data * positive(images.g_map), units=images.units | {"over_g": False})


def denoise(network: Denoiser, images: Images, scale: Scale, *, magnitude: bool = False, strength: float = 1.0) -> Images:
    """Denoised images, in the units of the input: y + strength (f(y) - y), y in SNR units.

    Frames of a slice go through the network together, and the slices of a single frame as a volume.

    Args:
      network: (series `[T, H, W]` complex64, g-map `[H, W]` or `[T, H, W]`) -> series.
      images: to denoise.
      scale: of `scale_of`.
      magnitude: whether the network is of magnitudes.
      strength: 0 leaves the noise, 1 is what the network says.

    Raises:
      InputError: if the result is not finite, or nothing was changed.
    """
    image = in_snr_units(images, scale, magnitude)
    denoised = np.empty_like(image)
    for place, series, g_map in each_series(image, scale.g_map):
        denoised[place] = network(series, g_map)
    if not np.isfinite(denoised).all():
        raise InputError("the network gives values that are not finite; are the images in SNR units?")
    denoised[:, ~image.any(axis=(0, 2, 3))] = 0  # slices of zeros, masked or padded, in which there is nothing to denoise
    if np.array_equal(denoised, image):
        raise InputError("the network changed nothing: nothing was denoised")
    result = (image + np.float32(strength) * (denoised - image)) * scale.divisors
    return replace(images, data=result if np.iscomplexobj(images.data) and not magnitude else np.real(result))


def in_snr_units(images: Images, scale: Scale, magnitude: bool = False) -> np.ndarray:
    """`[frames, slices, H, W]` complex64."""
    values = np.abs(images.data) if magnitude and np.iscomplexobj(images.data) else images.data
    return values.astype(np.complex64) / scale.divisors


def each_series(image: np.ndarray, g_map: np.ndarray) -> Iterator[tuple[tuple[Any, Any], np.ndarray, np.ndarray]]:
    """What goes through a network together: the frames of every slice, or the slices of a single frame as a volume.

    Args:
      image: `[frames, slices, H, W]`.
      g_map: `[slices, H, W]`; where it is 0, 1 takes its place.

    Yields:
      its place in `image`, the series `[T, H, W]`, its g-map `[H, W]` or `[T, H, W]`.
    """
    g_map = positive(g_map)
    if len(image) == 1:
        yield (0, slice(None)), image[0], g_map
        return
    for number in range(image.shape[1]):
        yield (slice(None), number), np.ascontiguousarray(image[:, number]), g_map[number]


BESIDE = ("phase", "gmap", "mask", "noise_scan")  # files that are read beside an input


class Asked(NamedTuple):
    """What is asked for one input.

    Attributes:
      phase, gmap: files beside it.
      gmap_resize: whether the g-map may be of another matrix.
      series: which one, where it holds several.
      units, noise_sd: of `scale_of`.
      noise_scan: a file of noise alone, of which `noise_sd` is measured.
      strength: of `denoise`; None: the best by Stein's estimate.
      noise_map, report: whether they are made too.
      mask: labels of regions whose SNR is measured.
      integers: NIfTI in the integer type of the input.
    """

    phase: Path | None = None
    gmap: Path | None = None
    gmap_resize: bool = False
    series: str | None = None
    units: str = "known"
    noise_sd: float | None = None
    strength: float | None = 1.0
    integers: bool = False
    noise_map: bool = False
    report: bool = False
    mask: Path | None = None
    noise_scan: Path | None = None

    @property
    def beside(self) -> tuple[Path | None, ...]:
        """Files that are read beside the input."""
        return self.phase, self.gmap, self.mask, self.noise_scan


def denoise_file(
    source: Path, output: Path, networks: Sequence[Bundled], asked: Asked, *, overwrite: bool = False
) -> str | None:
    """Denoises one file, or folder that is one series, and writes what it was made from beside it, OUTPUT.json; None if it was there.

    What else is asked for lies beside it too: the noise map in OUTPUT_noise, the report in OUTPUT_report.

    Args:
      source: the input.
      output: its output.
      networks: of which the first is taken that the images are for; one of complex images is not for magnitudes.
      asked: what is asked for.
      overwrite: whether an output that is there is made again.

    Raises:
      InputError: if the input cannot be used, or an output exists that was not made from it; nothing is written then.
    """
    started = time.perf_counter()
    made_from: dict[str, Any] = {
        "sources": [[path.name, files.digest_of(path)] for path in (source, *asked.beside) if path is not None],
        "options": {name: value for name, value in asked._asdict().items() if name not in BESIDE},
        "version": __version__,
    }
    sidecar = output.with_name(f"{output.name}.json")
    with_network = lambda one: made_from | {"bundle": one.bundle.sha256}
    if not overwrite and any(_is_done(sidecar, with_network(one)) for one in networks):
        return None
    images = images_of.read(source, phase=asked.phase, gmap=asked.gmap, series=asked.series, resize_gmap=asked.gmap_resize)
    if images.metadata.get("role") == "noise map":
        raise InputError(f"{source.name} is a noise map, not images: give the series that it lies beside.")
    network = _network_for(images, networks, source, asked)
    magnitude, strength = network.bundle.settings.magnitude, asked.strength
    noise_output, report_output = images_of.beside(output, "_noise"), images_of.beside(output, "_report", "")
    outputs = [output, *([noise_output] if asked.noise_map else []), *([report_output] if asked.report else [])]
    outputs += [images_of.beside(output, "_phase")] if images.phase is not None else []
    _require_free(sidecar, outputs, source, asked)
    like_output = replace(images, data=np.abs(images.data)) if magnitude else images
    images_of.require_writable(output, images, integers=asked.integers, images=like_output)
    if asked.noise_map:
        images_of.require_writable(noise_output, images, role="noise map")
    labels = None if asked.mask is None else own_regions.read(asked.mask, images)
    noise_sd = asked.noise_sd if asked.noise_scan is None else _of_noise_scan(asked.noise_scan, images)
    scale = scale_of(images, source.name, units=asked.units, noise_sd=noise_sd)
    said = [*images_of.remarks(images, source.name), *scale.said]
    if magnitude and len(networks) > 1:
        said.append(f"{source.name}: magnitudes, so with the model of magnitudes; with --phase FILE the other would be used")
    if strength is None:
        strength = _best_strength(network, images, scale)
        said.append(f"{source.name}: strength {strength:.3g}, the best by Stein's estimate if its noise is {own_noise.MODEL}")
    denoised = denoise(network, images, scale, magnitude=magnitude, strength=strength)
    noise = noise_map(network, images, scale, strength) if asked.noise_map or asked.mask else None
    regions = []
    if labels is not None and noise is not None:
        before, after = (in_snr_units(one, scale) for one in (images, denoised))
        regions = own_regions.measure(before, after, positive(scale.g_map), noise, labels)
        said += [f"{source.name}: {own_regions.sentence(one)}" for one in regions]
        said.append(f"{source.name}: SNR of regions by the noise to first order, if that of the input is {own_noise.MODEL}")

    # first of all: what an interruption leaves behind is known by it as this command's own
    with _undone_alone(sidecar, outputs):
        write_json(sidecar, with_network(network) | {"outputs": []})
        written = images_of.write(output, with_its_noise(denoised, output), images, integers=asked.integers)
        if noise is not None and asked.noise_map:
            of_noise = replace(denoised, data=noise * scale.divisors, phase=None)
            written += images_of.write(noise_output, with_its_noise(of_noise, noise_output), images, role="noise map")
            said.append(f"{noise_output}: noise SD of the output to first order, if that of the input is {own_noise.MODEL}")
        if asked.report:
            from snraware_jax.denoise_report import write_report

            seconds = time.perf_counter() - started
            page = write_report(report_output, network.bundle, images, denoised, scale, noise, said, seconds)
            written += (report_output,)
            said.append(f"{page}: the report")
        about = with_network(network) | {
            "outputs": [path.name for path in written],
            "divisor": scale.divisor,
            "strength": strength,
            "regions": [one._asdict() for one in regions],
            "said": said,
        }
        write_json(sidecar, about)
    return "\n".join([*said, f"{output}: {images_of.size(images.data.shape)}, denoised"])


def _network_for(images: Images, networks: Sequence[Bundled], source: Path, asked: Asked) -> Bundled:
    """The first network that takes these images.

    Raises:
      InputError: if none does, or what is asked for needs another.
    """
    phased = np.iscomplexobj(images.data)
    network = next((one for one in networks if one.bundle.settings.magnitude or phased), None)
    if network is None:
        raise InputError(
            f"{source.name} is magnitude only; the model was trained on complex data. "
            "Add --phase FILE, or use a magnitude model."
        )
    if not network.bundle.settings.magnitude:
        return network
    if asked.noise_map or asked.mask or asked.strength is None:
        raise InputError(
            "noise maps, --mask and --strength sure need complex images and a model of them: noise of magnitudes is not Gaussian."
        )
    if not phased and images.data.min() < 0:
        raise InputError(
            f"{source.name} has values below 0, down to {images.data.min():.3g}: no magnitudes, but a real or imaginary part, "
            "or a phase. Give the magnitudes, and --phase FILE."
        )
    return network


def _require_free(sidecar: Path, outputs: Sequence[Path], source: Path, asked: Asked) -> None:
    """Refuses outputs that are inputs, or that were not made from this input.

    Raises:
      InputError: naming the output.
    """
    read = {path.resolve() for path in (source, *asked.beside) if path is not None}
    if same := [path for path in (*outputs, sidecar) if path.resolve() in read]:
        raise InputError(f"{same[0]} is an input: give -o another name.")
    made = _about(sidecar).get("sources")  # the same file with other content, or other options, may be replaced
    ours = bool(made) and made[0][0] == source.name
    for path in (*outputs, sidecar):
        files.require_replaceable(path, lambda _: ours)


def _of_noise_scan(path: Path, images: Images) -> float:
    """Noise SD, where g is 1, of a file that holds nothing else, on the scale of `images`.

    Raises:
      InputError: if it is of another matrix, or empty.
    """
    scan = images_of.read(path)
    if scan.data.shape[1:] != images.data.shape[1:]:
        raise InputError(
            f"{path}: the noise scan is {images_of.size(scan.data.shape)}, the image {images_of.size(images.data.shape)}: "
            "give one of the same matrix, or --noise-sd SD."
        )
    g_map, _ = g_map_of(images, path.name)
    return sd_of_noise(scan.data / float(scan.units.get("scale_ratio", 1.0)), g_map, path)


@contextmanager
def _undone_alone(sidecar: Path, outputs: Sequence[Path]) -> Iterator[None]:
    """Leaves no sidecar where writing failed before there was an output."""
    try:
        yield
    except BaseException:
        if not any(path.exists() for path in outputs):
            sidecar.unlink(missing_ok=True)
        raise


def _best_strength(network: Bundled, images: Images, scale: Scale) -> float:
    """Of the series in the middle."""
    every = list(each_series(in_snr_units(images, scale), scale.g_map))
    _, series, g_map = every[len(every) // 2]
    with memory_of("Stein's estimate"):
        return own_noise.best_strength(network.whole, series, g_map, jax.random.key(0))


def noise_map(network: Bundled, images: Images, scale: Scale, strength: float) -> np.ndarray:
    """Noise SD of the output, `[frames, slices, H, W]` float32 in SNR units, of every series."""
    partly = own_noise.with_strength(network.whole, strength)
    found = np.empty(images.data.shape, np.float32)
    for number, (place, series, g_map) in enumerate(each_series(in_snr_units(images, scale), scale.g_map)):
        noise = own_noise.noise_of(series, g_map)
        with memory_of("the noise map"):
            found[place] = own_noise.noise_map(partly, series, g_map, noise, jax.random.key(number))
    if not np.isfinite(found).all():
        raise InputError("the noise map is not finite: the network has no derivative at some point of these images")
    return found


def _is_done(sidecar: Path, made_from: dict[str, Any]) -> bool:
    """Whether outputs are there that were made from the same content in the same way."""
    about = _about(sidecar)
    outputs = [sidecar.with_name(name) for name in about.get("outputs", [])]
    same = {name: about.get(name) for name in made_from} == made_from
    return same and bool(outputs) and all(path.exists() for path in outputs)


def _about(sidecar: Path) -> dict[str, Any]:
    """What a sidecar says; nothing if there is none, or it is something else."""
    try:
        return dict(json.loads(sidecar.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
