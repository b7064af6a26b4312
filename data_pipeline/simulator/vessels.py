"""Vessel trees in three dimensions, drawn where they cross the image plane."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.shapes import Layer, cover, hypotenuse
from data_pipeline.simulator.view import View


class Tree(NamedTuple):
    """Segments of a vessel tree: `start`, `end` `[N, 3]` in the body's frame, `radius` `[N]`, mm; `brightness` `[N]`."""

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray
    brightness: np.ndarray


def grow(
    rng: np.random.Generator, root: tuple[float, float, float], heading: tuple[float, float, float], radius: float, levels: int
) -> Tree:
    """A tree that bifurcates `levels` times from `root`; the radii obey Murray's law, r^3 = r_1^3 + r_2^3.

    Source: Murray, PNAS 1926.
    """
    start = np.array([root], float)
    direction = np.array([heading], float) / np.linalg.norm(heading)
    size = np.array([radius])
    starts, ends, radii = [], [], []
    for _ in range(levels):
        length = size * rng.uniform(2.6, 5, len(size)) + 2.0
        end = start + length[:, None] * direction
        starts.append(start)
        ends.append(end)
        radii.append(size)
        share = rng.uniform(0.25, 0.75, len(size))
        across = _cross(direction, rng.normal(size=direction.shape))
        across /= _norm(across) + 1e-9
        angle = rng.uniform(0.3, 0.75, (2, len(size), 1))
        # the thinner daughter turns more
        turns = (np.cos(angle[0]) * direction + np.sin(angle[0]) * (1 - share)[:, None] * 1.4 * across,
                 np.cos(angle[1]) * direction - np.sin(angle[1]) * share[:, None] * 1.4 * across)  # fmt: skip
        direction = np.concatenate(turns)
        direction /= _norm(direction)
        start = np.concatenate([end, end])
        size = np.concatenate([size * share ** (1 / 3), size * (1 - share) ** (1 / 3)])
        keep = size > 0.4
        start, direction, size = start[keep], direction[keep], size[keep]
    radii = np.concatenate(radii)
    return Tree(np.concatenate(starts), np.concatenate(ends), radii, rng.uniform(0.6, 1.2, len(radii)))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Vector products `[N, 3]`; `np.cross` takes several times as long."""
    after, before = [1, 2, 0], [2, 0, 1]
    return a[:, after] * b[:, before] - a[:, before] * b[:, after]


def _norm(vectors: np.ndarray) -> np.ndarray:
    """Lengths `[N, 1]`."""
    return np.sqrt(np.einsum("ni,ni->n", vectors, vectors))[:, None]


def join(trees: list[Tree]) -> Tree:
    """Several trees as one."""
    return Tree(*(np.concatenate(parts) for parts in zip(*trees, strict=True)))


def draw(tree: Tree, view: View, tissue: str, inside: np.ndarray, slice_mm: float) -> Layer:
    """The part of a tree that a slice cuts, seen inside the coverage `inside` `[H, W]`; vessels thinner than the slice are fainter."""
    coverage = np.zeros_like(inside)
    for segment in _cut(tree, view, inside, slice_mm):
        _add(coverage, segment, view.pixel_mm)
    return Layer(tissue, coverage * inside)


def to_image(points: np.ndarray, view: View) -> np.ndarray:
    """Points `[N, 3]` of the body's frame as (row, column, height over the plane in mm)."""
    offset = points - view.centre
    down, across = view.spacing_mm
    return np.stack(
        [offset @ view.down / down + view.middle[0], offset @ view.across / across + view.middle[1], offset @ view.normal],
        axis=1,
    )


class Segment(NamedTuple):
    """A thick line on the image: grid points from `low` to before `high` (row, column), its ends there, radius in mm, coverage."""

    low: list[int]
    high: list[int]
    start: list[float]
    end: list[float]
    radius: float
    weight: float


def _cut(tree: Tree, view: View, inside: np.ndarray, slice_mm: float) -> Iterator[Segment]:
    """The parts of a tree's segments that lie within the slice and near a point of `inside`."""
    start, end = (to_image(points, view) for points in (tree.start, tree.end))
    half = 0.5 * slice_mm + tree.radius
    lowest = np.minimum(np.abs(start[:, 2]), np.abs(end[:, 2]))
    crossing = np.where(start[:, 2] * end[:, 2] < 0, 0, lowest) < half
    start, end, half = start[crossing], end[crossing], half[crossing]
    radius, brightness = tree.radius[crossing], tree.brightness[crossing]
    rise = end[:, 2] - start[:, 2]
    tilted = np.abs(rise) > 1e-6
    steep = np.where(tilted, rise, 1.0)
    cuts = np.sort(np.stack([(-half - start[:, 2]) / steep, (half - start[:, 2]) / steep]), axis=0).clip(0, 1)
    first, last = np.where(tilted, cuts, [[0.0], [1.0]])[..., None]  # the part of the axis within the slice
    start, end = start + first * (end - start), start + last * (end - start)
    reach = np.ceil(radius / view.pixel_mm)[:, None] + 2
    flat = np.stack([start, end])[..., :2]
    low = (np.floor(flat.min(axis=0)) - reach).clip(0, inside.shape).astype(int)
    high = (np.ceil(flat.max(axis=0)) + reach + 1).clip(0, inside.shape).astype(int)
    middle = np.abs(0.5 * (start[:, 2] + end[:, 2]))
    weight = brightness * np.minimum(3 * radius / slice_mm, 1) * np.clip((half - middle) / (0.5 * slice_mm), 0.15, 1)
    sums = np.pad(np.cumsum(np.cumsum(inside > 0, axis=0, dtype=np.int32), axis=1), ((1, 0), (1, 0)))
    (r0, c0), (r1, c1) = low.T, high.T
    seen = sums[r1, c1] - sums[r0, c1] - sums[r1, c0] + sums[r0, c0] > 0
    parts = (low, high, start, end, radius, np.minimum(weight, 1))
    yield from map(Segment, *(part[seen].tolist() for part in parts))


def _add(coverage: np.ndarray, segment: Segment, pixel_mm: float) -> None:
    """Draws a segment, touching only the grid points near it."""
    (r0, c0), (r1, c1), start, end, radius, weight = segment
    row = np.arange(r0, r1, dtype=np.float32)[:, None] - start[0]
    column = np.arange(c0, c1, dtype=np.float32) - start[1]
    dr, dc = end[0] - start[0], end[1] - start[1]
    scale = 1 / (dr * dr + dc * dc + 1e-6)
    along = (row * (dr * scale) + column * (dc * scale)).clip(0, 1)
    distance = hypotenuse(row - along * dr, column - along * dc) * pixel_mm - radius
    part = coverage[r0:r1, c0:c1]
    np.maximum(part, weight * cover(distance, pixel_mm), out=part)
