"""A g-map that comes in a file of its own: whether it fits the images, and what it says of their axes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.images import Images, require_same_place, size


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
