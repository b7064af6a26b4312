"""NIfTI-1 and NIfTI-2 files, .nii and .nii.gz: values read, the header and its extensions kept as they are.

A voxel (i, j, k, t) is data[t, k, j, i]: the first axis of the file is the column, the second the row. Nothing is reoriented.

Source: the NIfTI-1 and NIfTI-2 headers of the NIfTI Data Format Working Group (nifti1.h, nifti2.h).
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.images import Images, Wanted, fitting
from snraware_jax.formats.scaled import Scale, fits, limits_of, new_scale, to_integers

LENGTHS = {1: 348, 2: 540}  # of the header, by version
# what nibabel and NumPy raise where numbers of a header make no sense
BROKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


class Template(NamedTuple):
    """All of a file but its voxels.

    Attributes:
      head: header and extensions, up to the first voxel.
      version: 1 or 2.
      order: "<" or ">", of the bytes.
    """

    head: bytes
    version: int
    order: str


def read_images(path: Path, series: str | None = None, wanted: Wanted = "images") -> Images:
    """Read one NIfTI file of 2 to 4 axes; magnitude and other real values as float32, complex ones as complex64.

    Integers become slope * v + intercept in float64, then float32.

    Raises:
      InputError: not NIfTI, a pair of files, cut short, more axes, colours.
    """
    content = _content(path)
    with fitting(path, *BROKEN):
        version, order = _version(path, content)
        header = _header(content, version, order)
        shape, start = _shape(path, header), _start(path, header, version)
        stored = _voxels(path, content, header, shape, start)
        scale = _scale(path, header, stored.dtype.kind == "c")
        affine = _affine(header)
        return Images(
            data=_scaled(stored, scale),
            kind="nifti",
            affine=affine,
            spacing=_spacing(header),
            units={"slope": scale.slope, "intercept": scale.intercept} if scale else {},
            metadata=_metadata(header, version, stored.dtype) | {"name": path.name, "affine_known": affine is not None},
            template=Template(content[:start], version, order),
        )


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:  # the whole stream, for its checksum is at the end
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be decompressed ({error}): copy it again.") from error


def _version(path: Path, content: bytes) -> tuple[int, str]:
    for version, length in LENGTHS.items():
        for order in "<>":
            if struct.unpack(f"{order}i", content[:4].ljust(4, b"\0"))[0] == length and len(content) >= length:
                magic = content[344:348] if version == 1 else content[4:8]
                if magic == f"n+{version}\0".encode() and len(content) >= length + 4:
                    return version, order
                if magic == f"ni{version}\0".encode():
                    raise InputError(f"{path} is half of a pair (.hdr, .img): join them into one .nii file.")
    raise InputError(f"{path} has no NIfTI header: it is damaged, or another kind of file; copy or convert it again.")


def _header(content: bytes, version: int, order: str) -> Any:
    """The header as it is: nibabel's own reading repairs some fields."""
    import nibabel

    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    return kind(content[: LENGTHS[version]], endianness=order, check=False)


def _shape(path: Path, header: Any) -> tuple[int, int, int, int]:
    """`[frames, slices, H, W]`."""
    axes = int(header["dim"][0])
    dims = [int(n) for n in header["dim"][1 : axes + 1]] if 1 <= axes <= 7 else []
    if not dims or min(dims) < 1:
        raise InputError(
            f"{path}: its header says dim = {header['dim'].tolist()}; every axis needs 1 or more: export it again."
        )
    if any(n > 1 for n in dims[4:]):
        raise InputError(
            f"{path} has {axes} axes ({'x'.join(map(str, dims))}); up to 4 can be read (x, y, z, t): split it into 4-D files."
        )
    width, height, slices, frames = (*dims, 1, 1, 1)[:4]
    return frames, slices, height, width


def _start(path: Path, header: Any, version: int) -> int:
    start = float(header["vox_offset"])
    if not (start.is_integer() and start >= LENGTHS[version] + 4):
        raise InputError(
            f"{path}: its header says that voxels start at byte {start:g}, which is no such place: export it again."
        )
    return int(start)


def _voxels(path: Path, content: bytes, header: Any, shape: tuple[int, int, int, int], start: int) -> np.ndarray:
    from nibabel.nifti1 import data_type_codes

    code = int(header["datatype"])
    if code not in data_type_codes.dtype:
        raise InputError(f"{path}: its header says datatype {code}, which NIfTI does not know: export it again.")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iufc" or not dtype.itemsize:
        label = data_type_codes.label[code]
        raise InputError(f"{path} holds values of type {label}; numbers are needed, real or complex: convert it.")
    count = int(np.prod(shape, dtype=object))
    if start + count * dtype.itemsize > len(content):
        raise InputError(
            f"{path} is cut short: its header promises {count * dtype.itemsize} bytes of voxels, "
            f"{max(len(content) - start, 0)} are there; copy it again."
        )
    return np.frombuffer(content, dtype, count, start).reshape(shape)


def _scale(path: Path, header: Any, is_complex: bool) -> Scale | None:
    """None where values are stored as they are."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return None
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise InputError(f"{path}: its header has scl_slope {slope}, scl_inter {intercept}: correct them, or export it again.")
    if is_complex and intercept:
        raise InputError(f"{path} is complex with scl_inter {intercept}, which has no meaning: set it to 0.")
    return None if (slope, intercept) == (1, 0) else Scale(slope, intercept)


def _scaled(stored: np.ndarray, scale: Scale | None) -> np.ndarray:
    is_complex = stored.dtype.kind == "c"
    data = np.empty(stored.shape, np.complex64 if is_complex else np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes Inf, which is refused by name
        for values, frame in zip(stored, data, strict=True):
            if scale is not None:
                values = values.astype(np.complex128 if is_complex else np.float64) * scale.slope + scale.intercept
            frame[...] = values
    return data


def _affine(header: Any) -> np.ndarray | None:
    """That of the sform, else of the qform; None without either, or of numbers that make none."""
    if header["sform_code"] <= 0 and header["qform_code"] <= 0:
        return None
    from nibabel.spatialimages import HeaderDataError

    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError):
        return None
    return affine if np.isfinite(affine).all() else None


def _spacing(header: Any) -> tuple[float, float, float] | None:
    pixdim = [abs(float(value)) for value in header["pixdim"][1:4]]
    return (pixdim[2], pixdim[1], pixdim[0]) if all(0 < value < np.inf for value in pixdim) else None


def _metadata(header: Any, version: int, dtype: np.dtype) -> dict:
    found = {
        "format": f"NIfTI-{version}",
        "stored": str(dtype.newbyteorder("=")),
        "description": bytes(header["descrip"].item()).split(b"\0")[0].decode("latin-1"),
        "qform_code": int(header["qform_code"]),
        "sform_code": int(header["sform_code"]),
    }
    info, names = int(header["dim_info"]), {1: "column", 2: "row", 3: "slice"}
    axes = {"frequency_axis": names.get(info & 3), "phase_encode_axis": names.get(info >> 2 & 3)}
    step, unit = float(header["pixdim"][4]), {8: "sec", 16: "msec", 24: "usec"}.get(int(header["xyzt_units"]) & 0x38)
    if unit is not None and 0 < step < np.inf:
        found["frame_seconds"] = step * SECONDS[unit]
    return found | {name: axis for name, axis in axes.items() if axis}


def write_images(path: Path, images: Images, like: Images, *, integers: bool = False) -> None:
    """Write one NIfTI file: float32, complex64 for complex, or the integer type of `like`.

    Of a NIfTI `like`, header and extensions are copied byte by byte, but for datatype, bitpix, scl_slope and scl_inter, and,
    where the frames of `like` became one, dim[0] and dim[4]. With `integers`, slope and intercept of `like` are kept where
    all values fit, else one new slope is made; values come back to within half a slope.

    Raises:
      InputError: integers of complex images, or where `like` has none.
    """
    template = like.template if like.kind == "nifti" else _new_template(like)
    header = _header(template.head, template.version, template.order)
    if len(images.data) != len(like.data):
        header["dim"][0], header["dim"][4] = 3, 1
    scale, convert = Scale(1.0, 0.0), lambda values: values
    if integers:
        require_integers(like, np.iscomplexobj(images.data))
        scale, convert = _integers(images.data, header)
    else:
        header.set_data_dtype(np.complex64 if np.iscomplexobj(images.data) else np.float32)
    header["scl_slope"], header["scl_inter"] = scale
    dtype = header.get_data_dtype().newbyteorder(template.order)
    with path.open("wb") as raw:
        # no name and no time in the stream: the same images give the same bytes
        packed = gzip.GzipFile("", "wb", 1, raw, 0) if path.suffix.lower() == ".gz" else None
        file = packed or raw
        file.write(header.binaryblock + template.head[len(header.binaryblock) :])
        for frame in images.data:
            file.write(np.ascontiguousarray(convert(frame), dtype).tobytes())
        if packed:
            packed.close()


def require_integers(like: Images, is_complex: bool) -> None:
    """Refuse integers where there are none.

    Raises:
      InputError: complex images, or an input `like` of another type.
    """
    template = like.template if like.kind == "nifti" else _new_template(like)
    dtype = _header(template.head, template.version, template.order).get_data_dtype()
    if dtype.kind not in "iu" or is_complex:
        raise InputError(f"integers are for real images whose input holds integers, not {dtype}: leave them out.")


def _integers(data: np.ndarray, header: Any) -> tuple[Scale, Any]:
    dtype = header.get_data_dtype()
    limits = limits_of(8 * dtype.itemsize, dtype.kind == "i")
    slope = float(header["scl_slope"])
    scale = Scale(slope, float(header["scl_inter"])) if slope and np.isfinite(slope) else Scale(1.0, 0.0)
    if not fits(data, scale, limits):
        scale = new_scale(data, limits, lambda value: float(header["scl_slope"].dtype.type(value)))
    return scale, lambda values: to_integers(values, scale, limits)


def _new_template(like: Images) -> Template:
    """The header of images that came from another format: NIfTI-1, scanner coordinates where they are known."""
    import nibabel

    frames, slices, height, width = like.data.shape
    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_shape((width, height, slices, frames) if frames > 1 else (width, height, slices))
    header.set_xyzt_units("mm", "sec")
    if like.spacing:
        header["pixdim"][1:4] = np.nan_to_num(like.spacing[::-1], nan=1)  # 1 is what NIfTI says of what is unknown
    if like.affine is not None:
        header.set_qform(like.affine, code=1)
        header.set_sform(like.affine, code=1)
    header["pixdim"][4] = like.metadata.get("frame_seconds", 0)
    header["vox_offset"] = LENGTHS[1] + 4
    return Template(header.binaryblock + bytes(4), 1, "<")
