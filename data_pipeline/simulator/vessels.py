"""Vessel trees in three dimensions, drawn where they cross the image plane."""

import math
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.shapes import Layer, cover
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
        across = np.cross(direction, rng.normal(size=direction.shape))
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
        angle = rng.uniform(0.3, 0.75, (2, len(size), 1))
        # the thinner daughter turns more
        turns = (np.cos(angle[0]) * direction + np.sin(angle[0]) * (1 - share)[:, None] * 1.4 * across,
                 np.cos(angle[1]) * direction - np.sin(angle[1]) * share[:, None] * 1.4 * across)  # fmt: skip
        direction = np.concatenate(turns)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        start = np.concatenate([end, end])
        size = np.concatenate([size * share ** (1 / 3), size * (1 - share) ** (1 / 3)])
        keep = size > 0.4
        start, direction, size = start[keep], direction[keep], size[keep]
    radii = np.concatenate(radii)
    return Tree(np.concatenate(starts), np.concatenate(ends), radii, rng.uniform(0.6, 1.2, len(radii)))


def join(trees: list[Tree]) -> Tree:
    """Several trees as one."""
    return Tree(*(np.concatenate(parts) for parts in zip(*trees, strict=True)))


def draw(tree: Tree, view: View, tissue: str, inside: np.ndarray, slice_mm: float) -> Layer:
    """The part of a tree that a slice cuts, seen inside the coverage `inside` `[H, W]`; vessels thinner than the slice are fainter."""
    coverage = np.zeros_like(inside)
    start, end = (to_image(points, view) for points in (tree.start, tree.end))
    lowest = np.minimum(np.abs(start[:, 2]), np.abs(end[:, 2]))
    crossing = np.where(start[:, 2] * end[:, 2] < 0, 0, lowest) < tree.radius + 0.5 * slice_mm
    rows, columns = inside.shape
    margin = 12.0
    near = crossing & (np.maximum(start[:, 0], end[:, 0]) > -margin) & (np.minimum(start[:, 0], end[:, 0]) < rows + margin)
    near &= (np.maximum(start[:, 1], end[:, 1]) > -margin) & (np.minimum(start[:, 1], end[:, 1]) < columns + margin)
    for i in np.flatnonzero(near):
        _add(coverage, start[i], end[i], float(tree.radius[i]), float(tree.brightness[i]), view.pixel_mm, slice_mm)
    return Layer(tissue, coverage * inside)


def to_image(points: np.ndarray, view: View) -> np.ndarray:
    """Points `[N, 3]` of the body's frame as (row, column, height over the plane in mm)."""
    offset = points - view.centre
    down, across = view.spacing_mm
    return np.stack(
        [offset @ view.down / down + view.middle[0], offset @ view.across / across + view.middle[1], offset @ view.normal],
        axis=1,
    )


def _add(
    coverage: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float, brightness: float, pixel_mm: float, slice_mm: float
) -> None:
    """Draws the part of a thick segment that lies within the slice, touching only the grid points near it."""
    half = 0.5 * slice_mm + radius
    rise = end[2] - start[2]
    if abs(rise) > 1e-6:  # the part of the axis within the slice
        cuts = np.clip(np.sort([(-half - start[2]) / rise, (half - start[2]) / rise]), 0, 1)
        start, end = start + cuts[0] * (end - start), start + cuts[1] * (end - start)
    reach = math.ceil(radius / pixel_mm) + 2
    low = np.maximum(np.floor(np.minimum(start, end)[:2]).astype(int) - reach, 0)
    high = np.minimum(np.ceil(np.maximum(start, end)[:2]).astype(int) + reach + 1, coverage.shape)
    if np.any(low >= high):
        return
    row = np.arange(low[0], high[0], dtype=np.float32)[:, None] - np.float32(start[0])
    column = np.arange(low[1], high[1], dtype=np.float32) - np.float32(start[1])
    dr, dc = (np.float32(v) for v in (end - start)[:2])
    along = np.clip((row * dr + column * dc) / (dr * dr + dc * dc + np.float32(1e-6)), 0, 1)
    distance = np.hypot(row - along * dr, column - along * dc) * np.float32(pixel_mm) - np.float32(radius)
    middle = abs(0.5 * (start[2] + end[2]))
    weight = brightness * min(3 * radius / slice_mm, 1.0) * min(1.0, max(0.15, (half - middle) / (0.5 * slice_mm)))
    part = coverage[low[0] : high[0], low[1] : high[1]]
    np.maximum(part, np.float32(min(weight, 1.0)) * cover(distance, pixel_mm), out=part)
