"""An image series in SNR units: what reconstruction makes and denoising takes."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Series:
    """A complex image series of noise SD 1 in real and imaginary part, with the g-maps of its scan.

    The axis T is time, slice or depth. Frames share one g-map `[H, W]`; slices and the partitions of a volume have one each,
    `[T, H, W]`.

    Attributes:
      image: `[T, H, W]` complex64, SNR units (noise SD 1 after division by the native g-map).
      g_map: `[H, W]` or `[T, H, W]` float32, native g-factor map of the scan's own acceleration.
      g_maps: `[R, H, W]` or `[R, T, H, W]` float32, g-factor maps for `accelerations`, from the same calibration lines.
      accelerations: the R of `g_maps`, for example (2, 3, 4, 5, 6, 7, 8); (R along H, R along T) where a volume has two.
      acceleration: R of the scan itself, likewise.
      metadata: where it came from and how it was made: JSON values only.
    """

    image: np.ndarray
    g_map: np.ndarray
    g_maps: np.ndarray
    accelerations: tuple[int | tuple[int, int], ...]
    acceleration: int | tuple[int, int]
    metadata: dict = field(default_factory=dict)
