"""Images with their geometry, whatever file they came from: `read`, `write`, and the one type between them."""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing, replacing_folder, require_own_folder
from snraware_jax.formats.hdf5 import require_finite

Kind = Literal["nifti", "dicom", "mrd", "series", "numpy", "authors", "raw"]
Wanted = Literal["images and g-map", "images", "phase", "g-map"]  # what is read of a file that may hold several series
Role = Literal["denoised", "unchanged", "noise map", "g-map"]  # what is written, for headers that say it
MAPS = ("noise map", "g-map")
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
    if why := images.metadata.get("no_stack"):
        said.append(f"{name}: NO AFFINE, every slice is a series by itself: {why}")
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
        from snraware_jax.formats.gmap import with_g_map

        images = with_g_map(images, _read_one(Path(gmap), None, "g-map"), Path(gmap), resize=resize_gmap)
    return images


def _read_one(path: Path, series: str | None, wanted: Wanted) -> Images:
    kind = kind_of(path)
    if kind == "raw":
        raise InputError(
            f"{path} holds raw k-space, not images: reconstruct it first, `snraware reconstruct {shlex.quote(str(path))} -o scan.h5`."
        )
    if series is not None and kind not in ("dicom", "mrd", "authors"):
        raise InputError(f"{path} holds one series: leave out --series {series}.")
    images = _reader(kind)(path, series, wanted)
    if not images.data.size:
        raise InputError(f"{path}: its images are {size(images.data.shape)}, without a pixel: export the data again.")
    require_finite(path, f"{wanted if wanted in ('phase', 'g-map') else 'image'} {AXES}", images.data)
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


def write(
    path: str | Path, images: Images, like: Images, *, integers: bool = False, role: Role = "denoised"
) -> tuple[Path, ...]:
    """Write images in the format that the name of `path` says, with the geometry of `like`, which `read` returned.

    A name with no such suffix is of the format of `like`. Where the phase of `like` came in a file of its own, complex
    images become two outputs again: the magnitude, and beside it NAME_phase in the unit of that file. Outputs appear under
    their names only when they are complete.

    Args:
      path: file, or the folder of a DICOM series or of the authors' arrays.
      images: `data` of as many slices, rows and columns as `like`, and as many frames or one.
      like: template of geometry and header.
      integers: NIfTI in the integer type of `like` with one slope, instead of float32.
      role: what they are, for the headers that say it. Maps, which are real, get a scale, a series number and a description of
        their own in DICOM, their data role in MRD, a kind of their own among series in SNR units.

    Returns:
      the files and folders written.

    Raises:
      InputError: as `require_writable`.
      ValueError: shapes that disagree, NaN or Inf, complex maps.
    """
    path = Path(path)
    _require_like(path, images, like, role)
    require_writable(path, like, integers=integers, role=role, images=images)
    parts = [images]
    if like.phase is not None and np.iscomplexobj(images.data):
        from snraware_jax.formats.phase import split_phase

        parts = list(split_phase(images, like.phase))
    outputs = _outputs(path, like, np.iscomplexobj(images.data))
    with ExitStack() as stack:
        for (name, template), part in zip(outputs, parts, strict=True):
            kind = _output_kind(name, template)
            temporary = stack.enter_context(replacing_folder(name) if _is_folder(name, kind) else replacing(name))
            with naming(name):  # writers know the temporary name alone
                _writer(kind, integers, role)(temporary, part, template)
    return tuple(name for name, _ in outputs)


def require_writable(
    path: str | Path, like: Images, *, integers: bool = False, role: Role = "denoised", images: Images | None = None
) -> None:
    """Refuse an output that `write` would refuse: before any work is done for it. Nothing is written.

    Args:
      path, like, integers, role: as `write` takes them.
      images: what will be written, if it has another number of frames than `like`, or is real where that is complex.

    Raises:
      InputError: a format that is not written from that of `like`, or cannot hold complex images; a file name for several
        files; integers where there are none; a folder in the place of a file, a file in that of a folder, a folder with other
        files; a folder that nothing can be written to.
    """
    path, images = Path(path), like if images is None else images
    is_complex = role not in MAPS and np.iscomplexobj(images.data)
    for name, template in _outputs(path, like, is_complex):
        try:
            kind = _output_kind(name, template)
        except InputError as error:
            if name == path:
                raise
            raise InputError(
                f"{path}: its phase came as {template.kind}, which goes to no {name.name} beside it: give "
                f"{beside(path, '', '.nii.gz')}, which both can be, or the phase as {like.kind}."
            ) from error
        if integers and kind != "nifti":
            raise InputError(f"{name}: integers are an option of NIfTI alone (DICOM always holds them): leave it out.")
        _require_place(name, folder=_is_folder(name, kind))
        with naming(name):
            _checker(kind, integers, role)(name, template, len(images.data), is_complex and like.phase is None)


def _outputs(path: Path, like: Images, is_complex: bool) -> list[tuple[Path, Images]]:
    """Names of the outputs, and the input whose header each gets: two where the phase came in a file of its own."""
    if like.phase is None or not is_complex:
        return [(path, like)]
    return [(path, like), (beside(path, "_phase"), like.phase)]


def _require_like(path: Path, images: Images, like: Images, role: Role) -> None:
    shape, expected = images.data.shape, like.data.shape
    if len(shape) != 4 or shape[1:] != expected[1:] or shape[0] not in (1, expected[0]):
        raise ValueError(f"{path}: images {shape} do not have the shape {expected} of the input, or one frame of it")
    if not (good := np.isfinite(images.data)).all():
        raise ValueError(f"{path}: images to write hold {int((~good).sum())} NaN or Inf of {good.size} values")
    if role in MAPS and np.iscomplexobj(images.data):
        raise ValueError(f"{path}: a {role} is real")


def _require_place(path: Path, *, folder: bool) -> None:
    if folder:
        require_own_folder(path)
    elif path.is_dir():
        raise InputError(f"{path} is a folder, and the output a file: give {path / f'denoised{suffix_of(path)}'}, for example.")
    above = next(one for one in Path(os.path.abspath(path)).parents if one.exists())
    if not above.is_dir():
        raise InputError(f"{path}: {above} is a file: give another folder.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{path}: nothing can be written to {above}: give another path, or change its permissions.")


def _is_folder(path: Path, kind: Kind) -> bool:
    return kind == "authors" or (kind == "dicom" and path.suffix.lower() not in DICOM)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the name of an output before the messages of those who do not know it.

    Raises:
      InputError: for any of them.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _checker(kind: Kind, integers: bool, role: Role) -> Callable[[Path, Images, int, bool], None]:
    """`(path, like, frames, is_complex)` of one format: raises InputError where its writer would."""
    if kind == "nifti" and integers:
        from snraware_jax.formats.nifti import require_integers

        return lambda path, like, frames, is_complex: require_integers(like, is_complex)
    if kind == "dicom":
        from snraware_jax.formats.dicom_write import require_writable
    elif kind == "authors":
        from snraware_jax.formats.authors import require_writable
    elif kind == "series":
        from snraware_jax.formats.series_images import require_writable
    else:
        return lambda path, like, frames, is_complex: None
    return partial(require_writable, role=role)


def _writer(kind: Kind, integers: bool, role: Role) -> Callable[[Path, Images, Images], None]:
    """`(path, images, like)` of one format."""
    if kind == "nifti":
        from snraware_jax.formats.nifti import write_images

        return partial(write_images, integers=integers)
    if kind == "numpy":
        from snraware_jax.formats.arrays import write_images

        return write_images
    if kind == "dicom":
        from snraware_jax.formats.dicom_write import write_images
    elif kind == "mrd":
        from snraware_jax.formats.mrd_images import write_images
    elif kind == "series":
        from snraware_jax.formats.series_images import write_images
    else:
        from snraware_jax.formats.authors import write_images
    return partial(write_images, role=role)


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
    endings = CONTAINERS if like.kind in ("mrd", "series") else CONTAINERS[:4]
    raise InputError(
        f"{path}: the name must end with {', '.join(endings)}: give {beside(path, '', '.nii.gz').name}, for example."
    )


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
