"""The vertebral column as a curve: levels, their sizes, and coordinates along and across the curve.

The body's frame (mm) is x left, y posterior, z superior. Along the curve `s` grows downwards, `u` points backwards from the middle of
the bodies, `x` is measured from the curve.
"""

from typing import NamedTuple

import numpy as np

LEVELS = tuple(
    [f"C{i}" for i in range(1, 8)]
    + [f"T{i}" for i in range(1, 13)]
    + [f"L{i}" for i in range(1, 6)]
    + [f"S{i}" for i in range(1, 6)]
)
C7, T12, L5, S1 = (LEVELS.index(name) for name in ("C7", "T12", "L5", "S1"))
# mean adult: height of body and of the disc below it, half depth and half width of the body
BODY_MM = np.r_[np.linspace(13, 15, 7), np.linspace(16.5, 24, 12), np.linspace(26, 28, 5), 26, 22, 19, 16, 14]
DISC_MM = np.r_[np.full(7, 5.5), np.linspace(4.2, 7, 12), 8.5, 9.5, 10.5, 11.5, 11.0, 3.0, 2.2, 1.6, 1.2, 1.0]
DEPTH_MM = np.r_[np.linspace(7.5, 8.5, 7), np.linspace(8.5, 15, 12), np.linspace(16, 17.5, 5), 15, 12, 9, 7, 5.5]
WIDTH_MM = np.r_[np.linspace(9, 11, 7), np.linspace(12, 19, 12), np.linspace(20, 25, 5), 26, 24, 21, 18, 15]
# slope of the curve against the vertical, degrees, positive where it runs backwards: (level, slope)
CERVICAL = ((0, -12), (3, 0), (6, 17))
THORACIC = ((7, 19), (11, 4), (15, -9), (18, -13))
LUMBAR = ((19, -11), (21, 1), (22, 8), (23, 18))
SACRAL = ((24, 36), (25, 46), (26, 48), (28, 20))
STEP_MM = 0.5


class Column(NamedTuple):
    """Sampled curve and levels.

    Attributes:
      s, y, z, slope: `[N]` along the curve, mm and radians.
      sideways: `[N]` x of the curve, mm.
      centre: `[L]` s of the middle of every body.
      body, disc, depth, width: `[L]` as the tables above, of this subject.
      at: `[L, 3]` (x, y, z) of the middle of every body.
    """

    s: np.ndarray
    y: np.ndarray
    z: np.ndarray
    slope: np.ndarray
    sideways: np.ndarray
    centre: np.ndarray
    body: np.ndarray
    disc: np.ndarray
    depth: np.ndarray
    width: np.ndarray
    at: np.ndarray


def column(card: dict) -> Column:
    """The column of a card; the body's origin is the middle of the trunk at the card's middle level."""
    scale, height = card["scale"], np.array(card["height"])
    worn = 1 - 0.45 * np.array(card["wear"])
    body, disc = scale * BODY_MM * height * (1 - np.array(card["compressed"])), scale * DISC_MM * worn
    top = np.cumsum(np.r_[0, (body + disc)[:-1]])
    centre = top + body / 2
    gains = (1.0, card["kyphosis"], card["lordosis"], 1.0)
    knots = np.array(
        [
            (level, gain * slope)
            for part, gain in zip((CERVICAL, THORACIC, LUMBAR, SACRAL), gains, strict=True)
            for level, slope in part
        ]
    )
    s = np.arange(-60, top[-1] + body[-1] + 60, STEP_MM)
    slope = np.deg2rad(np.interp(s, centre[knots[:, 0].astype(int)], knots[:, 1]))
    width = round(30 / STEP_MM)
    smooth = np.convolve(
        np.pad(slope, width, mode="edge"), np.hanning(2 * width + 1) / np.hanning(2 * width + 1).sum(), "valid"
    )
    y, z = np.cumsum(np.sin(smooth)) * STEP_MM, -np.cumsum(np.cos(smooth)) * STEP_MM
    sideways = card["scoliosis_mm"] * np.sin(s / 75 + card["form"] % 7)
    at = np.stack([np.interp(centre, s, v) for v in (sideways, y, z)], 1)
    made = Column(s, y, z, smooth, sideways, centre, body, disc, scale * DEPTH_MM, scale * WIDTH_MM, at)
    level = np.interp(card["middle_level"], np.arange(len(at)), at[:, 2])
    trunk = float(skin_of_back(level, made, card)) - card["extent_mm"][1]
    return made._replace(y=y - trunk, z=z - level, at=at - (0, trunk, level))


def canal_centre(spine: Column, card: dict) -> np.ndarray:
    """u of the middle of the canal at every level."""
    return spine.depth + 1.5 + sac_half(card)


def sac_half(card: dict) -> np.ndarray:
    """Half depth of the dural sac at every level, mm; it ends at the second sacral one."""
    half = np.r_[np.full(7, 7.0), np.full(12, 7.0), 7.6, 7.8, 7.6, 7.4, 6.8, 5.2, 2.6, 0.1, 0.1, 0.1]
    return card["canal"] * card["scale"] * half


def skin_of_back(z: np.ndarray | float, spine: Column, card: dict) -> np.ndarray:
    """y of the skin at heights z: flat, as the patient lies on it, and clear of the spinous processes."""
    reach = canal_centre(spine, card) + 36 * card["scale"]
    flat = np.max((spine.at[:, 1] + reach)[C7 : S1 + 1])
    follows = np.interp(-z, -spine.z, spine.y + np.mean(reach))
    return np.asarray(0.82 * flat + 0.18 * follows + 1.25 * card["fat_mm"], np.float32)


def along(spine: Column, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points `[3, ...]` of the body as (s, u, x) of the column, by three steps towards the nearest point of the curve."""
    x, y, z = points
    look = lambda s, values: np.interp(s, spine.s, values).astype(np.float32)
    s = np.interp(-z, -spine.z, spine.s).astype(np.float32)
    for _ in range(3):
        slope = look(s, spine.slope)
        sine, cosine = np.sin(slope), np.cos(slope)
        dy, dz = y - look(s, spine.y), z - look(s, spine.z)
        s = s + np.clip(dy * sine - dz * cosine, -40, 40)
    slope = look(s, spine.slope)
    u = (y - look(s, spine.y)) * np.cos(slope) + (z - look(s, spine.z)) * np.sin(slope)
    return s, u, x - look(s, spine.sideways)


class Place(NamedTuple):
    """Where the points of a slice are: `body` `[3, H, W]`; `s`, `u`, `x` along, behind, beside the column; `level`, real."""

    body: np.ndarray
    s: np.ndarray
    u: np.ndarray
    x: np.ndarray
    level: np.ndarray

    def within(self, box: tuple[slice, slice]) -> "Place":
        """A part of the points."""
        return Place(self.body[:, box[0], box[1]], *(part[box] for part in self[1:]))

    def around(self, y: float, z: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns within `reach` of a point, for what is small; a slice is sagittal, all but a few degrees."""
        spans = []
        for line, at in ((self.body[2][:, self.body.shape[2] // 2], z), (self.body[1][self.body.shape[1] // 2], y)):
            found = np.flatnonzero(np.abs(line - at) < reach)
            spans.append(slice(found[0], found[-1] + 1) if len(found) else slice(0, 0))
        return spans[0], spans[1]

    def of(self, values: np.ndarray) -> np.ndarray:
        """A quantity of the levels at every point, interpolated between them."""
        below = np.minimum(self.level.astype(np.int32), len(values) - 2)
        values = np.asarray(values, np.float32)
        return values[below] + (self.level - below) * np.diff(values)[below]


def cells(place: Place, s: np.ndarray, spine: Column) -> tuple[np.ndarray, np.ndarray]:
    """Nearest level of every point, and the distance `v` along the column from its middle."""
    borders = spine.centre + 0.5 * (spine.body + spine.disc)
    level = np.minimum(np.searchsorted(borders, s), len(borders) - 1)
    return level, (s - spine.centre[level]).astype(np.float32)


def rounded(first: np.ndarray, second: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance to the intersection of two shapes with its edges rounded."""
    a, b = first + np.float32(radius), second + np.float32(radius)
    return np.minimum(np.maximum(a, b), 0) + np.hypot(np.maximum(a, 0), np.maximum(b, 0)) - np.float32(radius)
