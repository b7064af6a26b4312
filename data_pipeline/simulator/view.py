"""The image plane: where every fine pixel lies in the body and in the heart.

The body's frame in mm: x to the patient's left, y posterior, z superior; its origin is the middle of the chest at the height of the
heart. The heart's frame is that of `heart.py`.
"""

import math
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.fourier import fast_length
from data_pipeline.simulator.subject import Settings


class View(NamedTuple):
    """An image plane on the fine grid.

    Attributes:
      body: `[3, H, W]` float32 (x, y, z) of every fine pixel.
      shape: (H, W).
      spacing_mm: of the fine grid along rows and columns, in units of the body (a small body is seen on a larger scale).
      pixel_mm: the smaller of the two.
      middle: row and column of `centre`.
      centre: `[3]` point of the body in the middle of the field of view.
      down, across, normal: `[3]` unit vectors of the image in the body's frame.
      heart_axes: `[3, 3]` rows: unit vectors x, y, z of the heart's frame.
      apex: `[3]` the origin of the heart's frame.
    """

    body: np.ndarray
    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    pixel_mm: float
    middle: tuple[int, int]
    centre: np.ndarray
    down: np.ndarray
    across: np.ndarray
    normal: np.ndarray
    heart_axes: np.ndarray
    apex: np.ndarray


def fine_shape(settings: Settings, fov_mm: tuple[float, float]) -> tuple[int, int]:
    """A grid at least `settings.fine` times the matrix along ky, about as fine along kx, of sizes that transform quickly."""
    ky, kx = settings.matrix
    rows = fast_length(settings.fine * ky)
    return rows, fast_length(max(math.ceil(rows * fov_mm[1] / fov_mm[0]), kx))


def heart_axes(card: dict) -> np.ndarray:
    """Unit vectors of the heart's frame `[3, 3]`: the apex points left, forward and down by the card's angles."""
    azimuth, dip = np.deg2rad(card["axis_deg"])
    base = -np.array([math.sin(azimuth) * math.cos(dip), -math.cos(azimuth) * math.cos(dip), -math.sin(dip)])
    # away from the right ventricle: left and posterior, at right angles to the long axis
    lateral = np.array([0.72, 0.66, 0.2])
    lateral = lateral - base * (base @ lateral)
    lateral /= np.linalg.norm(lateral)
    inferior = np.cross(base, lateral)
    return np.stack([lateral, inferior if inferior[2] < 0 else -inferior, base])


def place(card: dict, settings: Settings, fov_mm: tuple[float, float], offset_mm: float = 0.0) -> View:
    """The card's image plane, moved by `offset_mm` along its normal (another slice of a study)."""
    axes = heart_axes(card)
    long = card["lv_length_mm"]
    apex = np.array(card["heart_mm"]) - 0.5 * long * axes[2]
    down, across, through = plane_axes(card, axes)
    normal = np.cross(down, across)
    origin = apex + through @ axes + offset_mm * normal
    # the view is centred between heart and body, nearer the heart the smaller it is
    near = np.clip(1.9 - 1.6 * card["zoom"], 0.2, 1)
    to_body = np.array([0.0, 0.0, 0.3 * origin[2]]) - origin
    centre = origin + (1 - near) * (down * (down @ to_body) + across * (across @ to_body))
    centre = centre + card["shift_mm"][0] * across + card["shift_mm"][1] * down

    shape = fine_shape(settings, fov_mm)
    spacing = tuple(f / n / card["scale"] for f, n in zip(fov_mm, shape, strict=True))
    view = View(
        np.zeros(0), shape, spacing, min(spacing), (shape[0] // 2, shape[1] // 2), centre, down, across, normal, axes, apex
    )
    return view._replace(body=points(view, shape))


def points(view: View, shape: tuple[int, int]) -> np.ndarray:
    """Positions `[3, h, w]` float32 in the body of a grid of `shape` over the view's field of view, index N//2 at its centre."""
    rows, columns = (
        ((np.arange(new) - new // 2) * (old * spacing / new)).astype(np.float32)
        for new, old, spacing in zip(shape, view.shape, view.spacing_mm, strict=True)
    )
    axes = zip(view.centre.astype(np.float32), view.down.astype(np.float32), view.across.astype(np.float32), strict=True)
    return np.stack([centre + down * rows[:, None] + across * columns for centre, down, across in axes])


def plane_axes(card: dict, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image axes down and across `[3]` in the body's frame, and a point of the plane in the heart's frame."""
    tilt = np.deg2rad(card["tilt_deg"])
    long = card["lv_length_mm"]
    if card["plane"] == "axial":
        first, second = axes @ [1.0, 0, math.sin(tilt[0])], axes @ [0, 1.0, math.sin(tilt[1])]
        point = np.array([card["offset_mm"] - 6, 0, (0.2 + 0.6 * card["level"]) * long])
    elif card["plane"] in ("short_axis", "oblique"):
        first = np.array([math.cos(tilt[0]), 0, math.sin(tilt[0])])
        second = np.array([0, math.cos(tilt[1]), math.sin(tilt[1])])
        point = np.array([card["offset_mm"] - 6, 0, card["level"] * long])
    else:
        azimuth = math.radians({"four_chamber": 8, "two_chamber": 95, "three_chamber": 130}[card["plane"]]) + tilt[0]
        first = np.array([0, 0, 1.0])
        second = np.array([math.cos(azimuth), math.sin(azimuth), 0])
        point = -card["offset_mm"] * np.array([math.sin(azimuth), -math.cos(azimuth), 0]) + np.array([0, 0, 0.62 * long])
    first = first / np.linalg.norm(first)
    second = second - first * (first @ second)
    second = second / np.linalg.norm(second)
    turn = math.radians(card["rotation_deg"])
    across = (math.cos(turn) * first + math.sin(turn) * second) @ axes
    down = (math.cos(turn) * second - math.sin(turn) * first) @ axes
    return down, (-across if card["flip"] else across), point


def in_heart(view: View, body: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points `[3, h, w]` of the body as x, y, z of the heart's frame, float32."""
    apex = view.apex.astype(np.float32)[:, None, None]
    x, y, z = np.tensordot(view.heart_axes.astype(np.float32), body - apex, 1)
    return x, y, z
