"""Which format a file or folder is of: by its first bytes, then by its suffix."""

import gzip
import zlib
from pathlib import Path

import h5py

from snraware_jax.errors import InputError
from snraware_jax.formats.authors import g_maps_beside
from snraware_jax.formats.hdf5 import KIND, NOISE_MAP
from snraware_jax.formats.images import DICOM, Kind, suffix_of

HEAD = 560  # bytes: a NIfTI-2 header, and the DICM of DICOM at 128
BY_SUFFIX: dict[str, Kind] = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".dcm": "dicom",
    ".ima": "dicom",
    ".h5": "mrd",
    ".hdf5": "mrd",
    ".mrd": "mrd",
    ".npy": "numpy",
    ".npz": "numpy",
}


def kind_of(path: Path) -> Kind:
    """See `images.kind_of`."""
    if path.is_dir():
        return _kind_of_folder(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder.")
    head = first_bytes(path)
    if not head:
        raise InputError(f"{path} is empty (0 bytes): copy or export it again.")
    found = _by_content(path, head) or BY_SUFFIX.get(suffix_of(path))
    if found is None:
        raise InputError(
            f"{path} is no image that can be read: give NIfTI (.nii, .nii.gz), DICOM, MRD or a series (.h5), .npy or .npz."
        )
    return found


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(HEAD)


def _unpacked(path: Path) -> bytes:
    """The first bytes of what a gzip file holds."""
    try:
        with gzip.open(path) as file:
            return file.read(HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be decompressed ({error}): copy it again.") from error


def is_nifti(head: bytes) -> bool:
    """Whether bytes begin a NIfTI-1 (single or pair) or NIfTI-2 file."""
    return head[344:347] in (b"n+1", b"ni1") or head[4:7] in (b"n+2", b"ni2")


def is_dicom(head: bytes) -> bool:
    """Whether bytes begin a DICOM file with a preamble."""
    return head[128:132] == b"DICM"


def _by_content(path: Path, head: bytes) -> Kind | None:
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        return _kind_of_hdf5(path)
    if is_dicom(head):
        return "dicom"
    if is_nifti(head):
        return "nifti"
    if head[:2] == b"\x1f\x8b":
        return "nifti" if is_nifti(_unpacked(path)) else None
    if head[:6] == b"\x93NUMPY":
        return "authors" if has_partner(path) else "numpy"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06") and path.suffix.lower() == ".npz":
        return "numpy"
    return None


def has_partner(path: Path) -> bool:
    """Whether a file is the real or imaginary half of the authors' pair."""
    stem, _, part = path.stem.rpartition("_")
    other = {"real": "imag", "imag": "real"}.get(part)
    return other is not None and path.with_name(f"{stem}_{other}.npy").is_file()


def _kind_of_hdf5(path: Path) -> Kind:
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("kind") in (KIND, NOISE_MAP):
                return "series"
            if image_groups(file):
                return "mrd"
            if "dataset/data" in file:
                return "raw"
            found = sorted(file)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged HDF5 ({error}): copy or make it again.") from error
    raise InputError(f"{path} is HDF5 but neither MRD nor a series in SNR units: it holds {found}; export MRD or NIfTI.")


def image_groups(file: h5py.File) -> list[str]:
    """Names of the groups of an MRD file that hold images: a header, data, and attributes."""
    names: list[str] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Group) and all(isinstance(item.get(part), h5py.Dataset) for part in ("header", "data")):
            names.append(name)

    file.visititems(visit)
    return sorted(names)


def is_series(path: Path) -> bool:
    """See `images.is_series`."""
    return path.is_dir() and bool(_kinds_of_folder(path))


def _kinds_of_folder(path: Path) -> list[Kind]:
    """Of what a folder holds files: the authors' arrays, DICOM, both or neither."""
    files = _visible(path)
    found: list[Kind] = ["authors"] if any(file.name.endswith("_real.npy") for file in files) else []
    return [*found, "dicom"] if any(_is_dicom_file(file) for file in files) else found


def _visible(path: Path) -> list[Path]:
    """Files of a folder."""
    return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))


def _is_dicom_file(file: Path) -> bool:
    """Whether a file belongs to a DICOM series; DICOMDIR is a list of others."""
    if file.name.upper() == "DICOMDIR":
        return False
    return file.suffix.lower() in DICOM or is_dicom(first_bytes(file))


def _kind_of_folder(path: Path) -> Kind:
    found = _kinds_of_folder(path)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{path} holds DICOM files, and NAME_real.npy too: put each into a folder of its own.")
    below = sorted(folder.name for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    where = f"; it has folders: give one of them, {path / below[0]}" if below else ": give a folder of DICOM files, or a file"
    raise InputError(f"{path} holds no DICOM series and no NAME_real.npy with NAME_imag.npy{where}.")


def files_of(path: Path) -> tuple[Path, ...]:
    """See `images.files_of`."""
    if not path.is_dir():
        pair = path.suffix == ".npy" and has_partner(path)
        name = path.stem.rpartition("_")[0]
        found = [path.with_name(f"{name}_{part}.npy") for part in ("imag", "real")] if pair else []
        return tuple(sorted((*found, *g_maps_beside(path.parent)[:1]))) if found else (path,)
    kinds, files = _kinds_of_folder(path), _visible(path)
    found = [file for file in files if "dicom" in kinds and _is_dicom_file(file)]
    if "authors" in kinds:
        found += [file for file in files if file.name.endswith(("_real.npy", "_imag.npy"))] + g_maps_beside(path)[:1]
    return tuple(sorted(found))
