"""What is done with a measurement: series of images are denoised, raw data is reconstructed and denoised."""

import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_dtype

from snraware_jax import denoising
from snraware_jax.errors import InputError
from snraware_jax.formats import mrd, mrd_images
from snraware_jax.formats.hdf5 import require_finite
from snraware_jax.formats.images import Images, fitting
from snraware_jax.formats.series import Series
from snraware_jax.formats.series_images import images_of
from snraware_jax.inference.denoiser import Bundled
from snraware_jax.progress import say
from snraware_jax.recon import chain
from snraware_jax.reconstruction import joined
from snraware_jax.serve import replies
from snraware_jax.serve.protocol import Image, Readout

EMPTIEST, SMALL = 32, 1 << 26  # k-space takes at most so many times the bytes that came, and these
G_MAP_BY = "send one, of the data role GFACTOR"
NO_MAGNITUDE = {ismrmrd.IMTYPE_PHASE: "phase", ismrmrd.IMTYPE_REAL: "the real part", ismrmrd.IMTYPE_IMAG: "the imaginary part"}


class Task(NamedTuple):
    """What a server does.

    Attributes:
      network: a bundle's denoiser.
      units, noise_sd: of images, as `denoising.scale_of` takes them; raw data is reconstructed in SNR units.
      strength: of `denoising.denoise`.
      noise: MRD file with the noise scan of raw data, instead of the readouts that come with it.
      noise_map: whether raw data gives noise maps too.
    """

    network: Bundled
    units: str = "known"
    noise_sd: float | None = None
    strength: float = 1.0
    noise: Path | None = None
    noise_map: bool = False

    @property
    def magnitude(self) -> bool:
        """Whether the network is of magnitudes."""
        return self.network.bundle.settings.magnitude

    @property
    def comment(self) -> str:
        """Of denoised images."""
        strength = "" if self.strength == 1 else f", strength {self.strength:g}"
        return f"denoised by SNRAware, model {self.network.bundle.sha256[:12]}{strength}"


class Answer(NamedTuple):
    """What goes back.

    Attributes:
      images: of a series.
      said: what the user should know, a line each.
      failure: why it is not denoised; None: it is.
    """

    images: list[Image]
    said: tuple[str, ...] = ()
    failure: str | None = None


def attempted(work: Callable[[], Answer], otherwise: Callable[[str], Answer]) -> Answer:
    """What `work` answers, warnings among what is said; where it fails, what `otherwise` makes of the reason."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            answer = work()
        except (InputError, OSError) as error:
            answer = otherwise(str(error))
        except Exception as error:  # whatever one measurement does, the others are served
            say(traceback.format_exc(), sys.stderr)
            answer = otherwise(f"the server failed ({type(error).__name__}: {error}): send its log to whoever runs it.")
    told = dict.fromkeys(str(one.message) for one in caught)
    return answer._replace(said=(*told, *answer.said))


def originals(series: Sequence[Image], why: str) -> Answer:
    """A series as it came, in a series of its own."""
    return Answer([replies.original(image, why) for image in series], failure=why)


def is_g_map(image: Image) -> bool:
    """Whether an image is a g-map, by its data role; attributes that are no XML say nothing."""
    try:
        return replies.is_plain(image.attributes) and mrd_images.is_g_map(mrd_images.attributes_of(image.attributes))
    except mrd_images.BROKEN:
        return False


def denoised(task: Task, name: str, series: Sequence[Image], maps: Sequence[Sequence[Image]]) -> Answer:
    """A series denoised, in the units, types and order in which its images came.

    Args:
      task: what is done.
      name: of the series, for messages.
      series: its images.
      maps: series of g-maps, of which the first that fits is used.

    Raises:
      InputError: if it cannot be.
    """
    kind = NO_MAGNITUDE.get(int(series[0].head["image_type"]))
    images = as_images(name, series)
    if kind and not np.iscomplexobj(images.data):
        raise InputError(f"{name} is {kind} alone: send complex images.")
    if not task.magnitude and not np.iscomplexobj(images.data):
        raise InputError(
            f"{name} is magnitude only; the model was trained on complex data. Send complex images, or serve a magnitude model."
        )
    images = mrd_images.with_one_of(images, (as_images(f"g-map of {name}", one) for one in maps))
    scale = denoising.scale_of(images, name, units=task.units, noise_sd=task.noise_sd, g_map_by=G_MAP_BY)
    unused = [f"{name}: no g-map of its size among {len(maps)}"] if maps and images.g_map is None else []
    result = denoising.denoise(task.network, images, scale, magnitude=task.magnitude, strength=task.strength)
    rows = images.template.rows.ravel()
    pixels = np.empty((len(series), *series[0].pixels.shape), result.data.dtype)
    pixels[rows] = result.data.reshape(pixels.shape)
    pixels = as_type(pixels, series[0].pixels.dtype)
    return Answer(
        [replies.with_pixels(image, one, task.comment) for image, one in zip(series, pixels, strict=True)],
        (*unused, *scale.said),
    )


def as_images(name: str, series: Sequence[Image]) -> Images:
    """Images of a stream as those of a file.

    Raises:
      InputError: several sizes or types, several channels, images missing, NaN or Inf, damaged attributes.
    """
    found = sorted({f"{'x'.join(map(str, image.pixels.shape))} {image.pixels.dtype.name}" for image in series})
    if len(found) > 1:
        raise InputError(f"{name} holds images of {' and '.join(found)}: send each kind as a series of its own.")
    path = Path(name)
    _require_plain(name, series[0].attributes)
    with fitting(path, *mrd_images.BROKEN):
        attributes = mrd_images.attributes_of(series[0].attributes)
        header, stored = np.stack([image.head for image in series]), np.stack([image.pixels for image in series])
        images = mrd_images.series_of(path, f"image_{header['image_series_index'][0]}", header, stored, attributes)
    if not images.data.size:
        raise InputError(f"{name} has images without a pixel: export them again.")
    require_finite(name, "image [frame, slice, row, column]", images.data)
    return images


def _require_plain(name: str, xml: str) -> None:
    if not replies.is_plain(xml):
        raise InputError(f"{name}: its XML has a DOCTYPE, which MRD does not: leave it out.")


def as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values in the type of what came: integers rounded, within their limits; magnitudes of complex images are float32."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(dtype)
    if dtype.kind == "c" and not np.iscomplexobj(values):
        return values.astype("<f4")
    return values.astype(dtype)


def from_raw(task: Task, name: str, xml: str, readouts: list[Readout]) -> Answer:
    """Raw data reconstructed in SNR units and denoised, with its g-map; where the network fails, not denoised.

    Readouts are forgotten as they are taken.

    Raises:
      InputError: if it cannot be reconstructed.
    """
    if not xml:
        raise InputError(f"{name}: readouts without the header of the measurement: send METADATA_XML_TEXT before them.")
    _require_plain(name, xml)
    rows, path = _rows(readouts), Path(name)
    document, heads = mrd.document_of(path, xml), mrd.heads_of(rows)
    _require_room(name, document, rows, sum(map(len, heads)))
    scans = mrd.scans_of(path, xml, rows, task.noise)
    del rows
    names, accelerations, volume = [scan.name for scan in scans], (scans[0].acceleration,), scans[0].kspace.ndim == 5
    height, width = scans[0].fov_mm
    field_of_view = width, height, document.encoding[0].encodedSpace.fieldOfView_mm.z
    made = list(chain.reconstruct_all((scans.pop(0) for _ in names), accelerations))
    together = joined(path, names, made)
    if len(together) < len(made):
        heads = [np.concatenate(heads)]
    answers = [
        _of_series(task, name, series, head[:1] if volume else head, field_of_view)
        for series, head in zip(together, heads, strict=True)
    ]
    failures = [answer.failure for answer in answers if answer.failure is not None]
    return Answer(
        [image for answer in answers for image in answer.images],
        tuple(dict.fromkeys(line for answer in answers for line in answer.said)),
        failures[0] if failures else None,
    )


def _require_room(name: str, document: ismrmrd.xsd.ismrmrdHeader, rows: np.ndarray, frames: int) -> None:
    """A header may claim any matrix; what would be mostly empty is refused before room is made for it."""
    came = sum(samples.nbytes for samples in rows["data"])
    for encoding in document.encoding:
        matrix = encoding.encodedSpace.matrixSize
        needed = 8 * frames * int(rows["head"]["active_channels"].max()) * matrix.x * matrix.y * matrix.z
        if needed > EMPTIEST * came + SMALL:
            raise InputError(
                f"{name}: {frames} frames of {matrix.x} x {matrix.y} x {matrix.z} (x, y, z) take {needed:,} bytes, where "
                f"{came:,} came: check matrixSize in its header."
            )


def _of_series(task: Task, name: str, series: Series, heads: np.ndarray, field_of_view: tuple[float, float, float]) -> Answer:
    """Images, g-map, and noise map if it is wanted, of one series."""
    images = images_of(series)
    maps = series.g_map.reshape(-1, *series.image.shape[1:])
    place = lambda data, number, comment, role="Image": replies.from_readouts(
        heads[: len(data)], data, field_of_view, number, comment, role
    )
    g_map = place(maps, replies.G_MAP, "g-factor map", "GFACTOR")
    in_units = "SNR units: noise SD 1 before denoising"

    def work() -> Answer:
        scale = denoising.scale_of(images, name)
        result = denoising.denoise(task.network, images, scale, magnitude=task.magnitude, strength=task.strength)
        shown = place(result.data.reshape(series.image.shape), replies.RECONSTRUCTED, f"{task.comment}; {in_units}")
        if task.noise_map:
            noise = denoising.noise_map(task.network, images, scale, task.strength) * scale.divisors
            noise = noise.reshape(series.image.shape).astype(np.float32)
            shown += place(noise, replies.NOISE_MAP, "noise SD of the denoised images, SNR units", "NoiseSD")
        return Answer([*shown, *g_map], scale.said)

    def otherwise(why: str) -> Answer:
        comment = f"NOT DENOISED: {why}; {in_units}"
        return Answer([*place(series.image, replies.NOT_DENOISED, comment), *g_map], failure=why)

    return attempted(work, otherwise)


def _rows(readouts: list[Readout]) -> np.ndarray:
    """Readouts as a file holds them; the list is emptied, for k-space is large."""
    rows = np.zeros(len(readouts), acquisition_dtype)
    rows["head"] = np.array([readout.head for readout in readouts])
    for row in range(len(readouts) - 1, -1, -1):
        rows["data"][row] = readouts.pop().samples.reshape(-1).view(np.float32)
    return rows
