"""Images with their geometry, whatever file they came from: `read`, `write`, and the one type between them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing, replacing_folder
from snraware_jax.formats.hdf5 import require_finite

Kind = Literal["nifti", "dicom", "mrd", "series", "numpy", "authors", "raw"]
Wanted = Literal["images and g-map", "images", "phase", "g-map"]  # what is read of a file that may hold several series
AXES = "[frame, slice, row, column]"
DICOM = (".dcm", ".ima")
CONTAINERS = (".nii", ".nii.gz", ".npy", ".npz", ".h5", ".hdf5", ".mrd")


@dataclass(frozen=True)
class Images:
    """One image series: what every reader returns and every writer takes.

    A single slice has 1 slice, a volume 1 frame. Values are those of the file's own scale (slope and intercept applied), in
    the file's own units: nothing is converted to SNR units here.

    Attributes:
      data: `[frames, slices, H, W]`, complex64, or float32 where there is no phase. Frames are time points or repetitions.
      kind: the format it came from.
      g_map: `[slices, H, W]` float32 as stored, dimensionless once divided by `units["g_map_scale_ratio"]`, if there is one.
      affine: `[4, 4]` from (column, row, slice, 1) to millimetres, x to the right, y to the front, z up (RAS); None: unknown.
      spacing: millimetres between (slices, rows, columns); None: unknown; NaN between slices: that alone is.
      units: what the file says of its scale: `slope`, `intercept`, `scale_ratio` (values are this many times the image),
        `g_map_scale_ratio`, `phase_unit`, `over_g` (values were divided by the g-map: noise SD 1 everywhere). JSON values.
      metadata: everything else that may interest a reader. JSON values.
      template: what the writer of `kind` needs to give the geometry back.
      phase: the series that the phase was read from, where it came in a file of its own.
    """

    data: np.ndarray
    kind: Kind
    g_map: np.ndarray | None = None
    affine: np.ndarray | None = None
    spacing: tuple[float, float, float] | None = None
    units: dict = field(default_factory=dict)
    metadata: dict = field(default_factory=dict)
    template: Any = field(default=None, repr=False)
    phase: "Images | None" = field(default=None, repr=False)


def size(shape: tuple[int, ...]) -> str:
    """`[frames, slices, H, W]` or `[slices, H, W]` as messages say it: "192x256x30", rows first, axes of length 1 left out."""
    *others, height, width = shape
    return "x".join(str(n) for n in (height, width, *(n for n in reversed(others) if n > 1)))


def remarks(images: Images, name: str) -> list[str]:
    """What a user should know of the geometry of images, a line each; nothing where all is as usual.

    Args:
      images: as `read` returns them.
      name: of their file, for the lines.
    """
    said = []
    if uneven := images.metadata.get("uneven_slices_mm"):
        least, largest, apart = uneven
        said.append(
            f"{name}: SLICES LIE UNEVENLY, {least:.4g} to {largest:.4g} mm apart: an affine, whose steps are even, puts them up to "
            f"{apart:.3g} mm from their places"
        )
    return said


def read(
    path: str | Path,
    *,
    phase: str | Path | None = None,
    gmap: str | Path | None = None,
    series: str | None = None,
    resize_gmap: bool = False,
) -> Images:
    """Read the images of a file, or of a folder that is one DICOM series or the authors' real, imaginary and g-map files.

    Args:
      path: NIfTI, DICOM, MRD images, a series in SNR units, .npy, .npz.
      phase: the phase of a magnitude image, of any of these formats and any usual unit; of several series in it, the only one
        whose header says that it is phase.
      gmap: its g-factor map, likewise; it takes the place of one in `path`, which is not read then.
      series: which one, where `path` holds several.
      resize_gmap: interpolate a g-map of another matrix and the same field of view.

    Raises:
      InputError: a file is absent, damaged, of another kind, holds several series, NaN or Inf, or does not fit the images.
    """
    path = Path(path)
    images = _read_one(path, series, "images and g-map" if gmap is None else "images")
    if phase is not None:
        from snraware_jax.formats.phase import with_phase

        images = with_phase(images, _read_one(Path(phase), None, "phase"), path, Path(phase))
    if gmap is not None:
        images = with_g_map(images, _read_one(Path(gmap), None, "g-map"), Path(gmap), resize=resize_gmap)
    return images


def _read_one(path: Path, series: str | None, wanted: Wanted) -> Images:
    kind = kind_of(path)
    if kind == "raw":
        raise InputError(
            f"{path} holds raw k-space, not images: reconstruct it first, `snraware reconstruct {path.name} -o scan.h5`."
        )
    if series is not None and kind not in ("dicom", "mrd", "authors"):
        raise InputError(f"{path} holds one series: leave out --series {series}.")
    images = _reader(kind)(path, series, wanted)
    if not images.data.size:
        raise InputError(f"{path}: its images are {size(images.data.shape)}, without a pixel: export the data again.")
    require_finite(path, f"image {AXES}", images.data)
    if images.g_map is not None:
        require_finite(path, "g-map [slice, row, column]", images.g_map)
    return images


def _reader(kind: Kind) -> Callable[[Path, str | None, Wanted], Images]:
    """`(path, series, wanted) -> Images` of one format."""
    if kind == "nifti":
        from snraware_jax.formats.nifti import read_images
    elif kind == "dicom":
        from snraware_jax.formats.dicom import read_images
    elif kind == "mrd":
        from snraware_jax.formats.mrd_images import read_images
    elif kind == "series":
        from snraware_jax.formats.series_images import read_images
    elif kind == "numpy":
        from snraware_jax.formats.arrays import read_images
    else:
        from snraware_jax.formats.authors import read_images
    return read_images


def pick(path: Path, wanted: Wanted, name: str) -> str:
    """What to type where a file holds several series, for example that called `name`: --series is for IN alone."""
    if wanted not in ("phase", "g-map"):
        return f"give one, for example --series '{name}'."
    flag = {"phase": "phase", "g-map": "gmap"}[wanted]
    output = path.with_name(f"{flag}{path.suffix if path.is_file() else ''}").name
    return (
        f"--{flag} takes one {wanted} series: write it by itself, for example `snraware convert {path} --series '{name}' "
        f"-o {output}`, and give that."
    )


def kind_of(path: str | Path) -> Kind:
    """The format of a file or folder, by its content, then by its suffix; "raw" is k-space, which is no image.

    Raises:
      InputError: if there is no such file, or it is of no known kind.
    """
    from snraware_jax.formats.sniff import kind_of as sniff

    return sniff(Path(path))


def is_series(path: str | Path) -> bool:
    """Whether a folder holds files that make one series: of DICOM (DICOMDIR alone is none), or the authors' arrays.

    Folders below it are not looked into.

    Raises:
      OSError: if the folder, or a file in it, cannot be read.
    """
    from snraware_jax.formats.sniff import is_series as sniff

    return sniff(Path(path))


def files_of(path: str | Path) -> tuple[Path, ...]:
    """Every file that `read` opens for the images at `path`, sorted: of its content alone depend the images.

    The file itself; NAME_real.npy, NAME_imag.npy and the g-map of a folder of the authors' arrays, or beside one of the pair;
    the DICOM files of a folder. Of a folder that is no series there is none, and what is absent is named all the same.

    Raises:
      OSError: if a folder, or a file in it, cannot be read.
    """
    from snraware_jax.formats.sniff import files_of as sniff

    return sniff(Path(path))


def with_g_map(images: Images, g_map: Images, path: Path, *, resize: bool = False) -> Images:
    """`images` with the g-map that was read from `path`, a map for every slice.

    Arrays `[N, H, W]` of NumPy files and the authors' are slices where the g-map is `[N, H, W]` too. `resize` interpolates a
    map of another matrix linearly, as if its field of view were that of the images.

    Raises:
      InputError: if the map is complex, negative somewhere, of another size, or lies elsewhere in the patient.
    """
    if np.iscomplexobj(g_map.data):
        raise InputError(f"{path} is complex; a g-map is real: give its magnitude.")
    values = g_map.data
    if values.shape[1] == 1 and images.data.shape[1] in (1, values.shape[0]) and values.shape[0] > 1:
        values = values.swapaxes(0, 1)
    either = images.kind in ("numpy", "authors") and images.template.axes == 3  # frames or slices
    if either and images.data.shape[:2] == (values.shape[1], 1):
        images = _as_slices(images)
    if len(values) > 1 or (not either and len(images.data) == values.shape[1] > images.data.shape[1]):
        raise InputError(f"{path} holds {g_map.data.shape[0]} g-maps; frames share one, slices have one each: give those.")
    if (negative := int((values < 0).sum())) > 0:
        raise InputError(f"{path}: g-map holds {negative} negative values; g is 0 or more: give the map itself.")
    wanted = images.data.shape[1:]
    if values.shape != (1, *wanted):
        differ = f"{path}: g-map is {size(g_map.data.shape)}, image is {size(images.data.shape)}."
        if values.shape[1] == 1 < wanted[0]:
            raise InputError(f"{differ} Every slice needs a g-map of its own.")
        if not resize:
            raise InputError(f"{differ} Use --gmap-resize if the fields of view agree.")
    require_same_place(images, g_map, path, "g-map")
    if values.shape != (1, *wanted):
        from skimage.transform import resize as interpolate

        values = np.asarray(interpolate(values[0], wanted, order=1, mode="edge", anti_aliasing=False), np.float32)[None]
    units = {name: value for name, value in images.units.items() if name != "g_map_scale_ratio"}
    if "scale_ratio" in g_map.units:
        units["g_map_scale_ratio"] = g_map.units["scale_ratio"]
    return replace(images, g_map=values[0], units=units, metadata=images.metadata | {"g_map_from": path.name})


def _as_slices(images: Images) -> Images:
    """Frames of one slice as slices of one frame, those of the phase too."""
    phase = None if images.phase is None else replace(images.phase, data=images.phase.data.swapaxes(0, 1))
    return replace(images, data=images.data.swapaxes(0, 1), phase=phase)


def require_same_place(images: Images, other: Images, path: Path, what: str) -> None:
    """Refuse a second image that lies elsewhere in the patient, by more than a tenth of a voxel.

    Raises:
      InputError: if both affines are known and a corner of the fields of view differs so much.
    """
    if images.affine is None or other.affine is None:
        return
    apart = np.linalg.norm(_corners(images, images.affine) - _corners(other, other.affine), axis=0).max()
    voxel = np.linalg.norm(images.affine[:3, :3], axis=0).min()
    if not apart <= 0.1 * voxel:
        raise InputError(
            f"{path}: the {what} lies up to {apart:.3g} mm from the image in the patient: give the {what} of this image, "
            "or resample it."
        )


def _corners(images: Images, affine: np.ndarray) -> np.ndarray:
    """Where the outer corners of the corner voxels lie, `[3, 8]` mm."""
    _, slices, height, width = images.data.shape
    ends = [(-0.5, size - 0.5) for size in (width, height, slices)]
    corners = np.array([(c, r, s, 1) for c in ends[0] for r in ends[1] for s in ends[2]], float)
    return (affine @ corners.T)[:3]


def write(path: str | Path, images: Images, like: Images, *, integers: bool = False) -> tuple[Path, ...]:
    """Write images in the format that the name of `path` says, with the geometry of `like`, which `read` returned.

    A name with no such suffix is of the format of `like`. Where the phase of `like` came in a file of its own, complex
    images become two outputs again: the magnitude, and beside it NAME_phase in the unit of that file. Outputs appear under
    their names only when they are complete.

    Args:
      path: file, or the folder of a DICOM series or of the authors' arrays.
      images: `data` of as many slices, rows and columns as `like`, and as many frames or one.
      like: template of geometry and header.
      integers: NIfTI in the integer type of `like` with one slope, instead of float32.

    Returns:
      the files and folders written.

    Raises:
      InputError: if that format cannot hold these images.
      ValueError: shapes that disagree, NaN or Inf.
    """
    path = Path(path)
    _require_writable(path, images, like)
    outputs = [(path, images, like)]
    if like.phase is not None and np.iscomplexobj(images.data):
        from snraware_jax.formats.phase import split_phase

        magnitude, phase = split_phase(images, like.phase)
        outputs = [(path, magnitude, like), (beside(path, "_phase"), phase, like.phase)]
    with ExitStack() as stack:
        for name, part, template in outputs:
            _write_one(stack, name, part, template, integers)
    return tuple(name for name, _, _ in outputs)


def _require_writable(path: Path, images: Images, like: Images) -> None:
    shape, expected = images.data.shape, like.data.shape
    if len(shape) != 4 or shape[1:] != expected[1:] or shape[0] not in (1, expected[0]):
        raise ValueError(f"{path}: images {shape} do not have the shape {expected} of the input, or one frame of it")
    if not (good := np.isfinite(images.data)).all():
        raise ValueError(f"{path}: images to write hold {int((~good).sum())} NaN or Inf of {good.size} values")


def _write_one(stack: ExitStack, path: Path, images: Images, like: Images, integers: bool) -> None:
    kind = _output_kind(path, like)
    if integers and kind != "nifti":
        raise InputError(f"{path}: integers are an option of NIfTI alone (DICOM always holds them): leave it out.")
    folder = kind == "authors" or (kind == "dicom" and path.suffix.lower() not in (".dcm", ".ima"))
    temporary = stack.enter_context(replacing_folder(path) if folder else replacing(path))
    try:
        _writer(kind, integers)(temporary, images, like)
    except InputError as error:  # writers know the temporary name alone
        raise InputError(f"{path}: {error}") from error


def _writer(kind: Kind, integers: bool) -> Callable[[Path, Images, Images], None]:
    """`(path, images, like)` of one format."""
    if kind == "nifti":
        from snraware_jax.formats.nifti import write_images

        return partial(write_images, integers=integers)
    if kind == "dicom":
        from snraware_jax.formats.dicom_write import write_images
    elif kind == "mrd":
        from snraware_jax.formats.mrd_images import write_images
    elif kind == "series":
        from snraware_jax.formats.series_images import write_images
    elif kind == "numpy":
        from snraware_jax.formats.arrays import write_images
    else:
        from snraware_jax.formats.authors import write_images
    return write_images


def suffix_of(path: Path) -> str:
    """The suffix in small letters, ".nii.gz" as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def _output_kind(path: Path, like: Images) -> Kind:
    suffix = suffix_of(path)
    if suffix in (".nii", ".nii.gz"):
        return "nifti"
    if suffix in (".npy", ".npz"):
        return "numpy"
    if suffix in (".h5", ".hdf5", ".mrd"):
        if like.kind in ("mrd", "series"):
            return like.kind
        raise InputError(f"{path}: {like.kind} images are not written as {suffix}: give {beside(path, '', '.nii.gz').name}.")
    if like.kind in ("dicom", "authors"):
        return like.kind
    raise InputError(f"{path}: the name must end with {', '.join(CONTAINERS)}: give {path.name}.nii.gz, for example.")


def beside(path: Path, ending: str, suffix: str | None = None) -> Path:
    """NAME with `ending` behind its stem, of the same suffix or of another."""
    found = path.name[len(path.name) - len(suffix_of(path)) :]
    stem = path.name[: len(path.name) - len(found)]
    return path.with_name(f"{stem}{ending}{found if suffix is None else suffix}")


@contextmanager
def fitting(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turns what a damaged file makes its decoder raise into a message that names the file.

    Raises:
      InputError: for any of `errors`, saying what the decoder said.
    """
    try:
        yield
    except InputError:
        raise
    except errors as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} is damaged or not what it says it is ({said}): copy or export it again.") from error
