"""Grey and white matter from the user's own MNI ICBM152 templates (nothing is shipped), bent to another subject."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from data_pipeline.simulator.brain_anatomy import Brain
from snraware_jax.errors import InputError

PARTS = ("t1", "gm", "wm")
CENTRE_RAS_MM = (0.0, -18.0, 8.0)  # of the template's brain
SHARPER = 1.7  # exponent on the fractions: an average of many subjects has no sharp borders
COARSE = 3


def bend_template(points: np.ndarray, folder: Path, card: dict) -> Brain:
    """Reads grey and white matter of the templates at points `[3, D, H, W]` (mm from the middle of the brain; x left, y posterior).

    Raises:
      InputError: if a template is missing, or they do not lie on one grid.
    """
    (t1, grey, white), affine = load(folder)
    scale = np.array(card["brain_half_mm"]) / (69, 87, 68)
    x, y, z = (p / np.float32(s) for p, s in zip(points, scale, strict=True))
    world = np.stack([CENTRE_RAS_MM[0] - x, CENTRE_RAS_MM[1] - y, CENTRE_RAS_MM[2] + z])
    inverse = np.linalg.inv(affine).astype(np.float32)
    index = np.tensordot(inverse[:3, :3], world, 1) + inverse[:3, 3, None, None, None]
    look = lambda volume, step=1: ndimage.map_coordinates(volume, index / np.float32(step), order=1, mode="nearest")
    g, w = (np.clip(look(part), 0, 1) ** SHARPER for part in (grey, white))
    fluid = np.clip(1 - look(grey) - look(white), 0, 1) ** SHARPER
    total = np.maximum(g + w + fluid, 1e-3)
    hull = look(_hull(t1 > 0, abs(float(affine[0, 0]))), COARSE)
    inside = np.clip(0.5 - hull, 0, 1)
    return Brain(hull, g / total * inside, w / total * inside)


def load(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """The templates `[X, Y, Z]` float32 in 0..1 in the order of `PARTS`, and their common affine matrix `[4, 4]`."""
    import nibabel

    volumes, affines = [], []
    for part in PARTS:
        found = sorted(folder.glob(f"mni_icbm152_{part}_*.nii*"))
        if not found:
            raise InputError(
                f"{folder}: no mni_icbm152_{part}_*.nii.gz here: give the folder of the MNI ICBM152 2009a templates"
            )
        image = nibabel.Nifti1Image.from_filename(found[0])
        values = np.asarray(image.dataobj, np.float32)
        volumes.append(values / max(float(values.max()), 1e-6))
        affines.append(image.affine)
    if len({volume.shape for volume in volumes}) > 1 or not all(np.allclose(a, affines[0]) for a in affines):
        raise InputError(f"{folder}: the templates t1, gm and wm lie on different grids: take them from one release")
    return volumes, affines[0]


def _hull(mask: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Signed distance in mm to a mask with its furrows closed, on every third voxel."""
    coarse = ndimage.gaussian_filter(mask.astype(np.float32), 2.0)[::COARSE, ::COARSE, ::COARSE]
    closed = np.asarray(ndimage.binary_closing(np.pad(coarse > 0.5, 6), iterations=5), bool)[6:-6, 6:-6, 6:-6]
    outside, inside = (np.asarray(ndimage.distance_transform_edt(part)) for part in (~closed, closed))
    return ndimage.gaussian_filter((outside - inside) * COARSE * voxel_mm, 2.5).astype(np.float32)
