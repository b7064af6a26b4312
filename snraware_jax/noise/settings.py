"""What noise to make: the paper's ranges as one hashable value."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NoiseSettings:
    """Ranges from which every training sample draws its noise; the defaults are the paper's (Methods, g-factor augmentation).

    Attributes:
      sigma_min, sigma_max: range of the noise SD before the g-map, SNR units.
      sigma_distribution: "uniform" (paper) or "log_uniform", which shows a network high SNR as often as low SNR.
      gaussian_sigmas: strengths of the Gaussian k-space filter, one drawn per axis; a larger value filters more.
      partial_fourier_probability: chance, per axis, that a partial Fourier ratio is drawn at all.
      partial_fourier_ratios: acquired share of the axis, cut on a random side with a tapered Hanning edge.
      taper: width of that edge as a share of the axis: 10 samples of the 144 phase encodes of the paper's scans.
      resolution_ratios: share of the axis that is kept, the same number of outer samples cut on both sides.
      order: "g_then_filter" (paper, as on a scanner) or "filter_then_g" (the authors' code).
      g_maps: "random" draws one of the sample's g-maps; "ones" leaves the noise uniform.
      filters: False leaves the noise white ("without MR noise" of Table 2).
    """

    sigma_min: float = 0.0
    sigma_max: float = 32.0
    sigma_distribution: Literal["uniform", "log_uniform"] = "uniform"
    gaussian_sigmas: tuple[float, ...] = (0.8, 1.0, 1.5, 2.0, 2.25)
    partial_fourier_probability: float = 0.5
    partial_fourier_ratios: tuple[float, ...] = (1.0, 0.85, 0.7, 0.65, 0.55)
    taper: float = 10 / 144
    resolution_ratios: tuple[float, ...] = (1.0, 0.85, 0.7, 0.65, 0.55)
    order: Literal["g_then_filter", "filter_then_g"] = "g_then_filter"
    g_maps: Literal["random", "ones"] = "random"
    filters: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_min <= self.sigma_max:
            raise ValueError(f"noise.sigma_min {self.sigma_min} and sigma_max {self.sigma_max}: need 0 <= min <= max")
        if self.sigma_distribution == "log_uniform" and self.sigma_min == 0:
            raise ValueError(
                "noise.sigma_min is 0, which a log-uniform distribution cannot reach: give a positive one, say 0.8"
            )
        if self.sigma_distribution not in ("uniform", "log_uniform"):
            raise ValueError(f"noise.sigma_distribution is {self.sigma_distribution!r}: choose 'uniform' or 'log_uniform'")
        if self.order not in ("g_then_filter", "filter_then_g"):
            raise ValueError(f"noise.order is {self.order!r}: choose 'g_then_filter' or 'filter_then_g'")
        if self.g_maps not in ("random", "ones"):
            raise ValueError(f"noise.g_maps is {self.g_maps!r}: choose 'random' or 'ones'")
        for name in ("gaussian_sigmas", "partial_fourier_ratios", "resolution_ratios"):
            if not getattr(self, name):
                raise ValueError(f"noise.{name} is empty: give at least one value to draw from")
        for name in ("partial_fourier_ratios", "resolution_ratios"):
            if not all(0 < ratio <= 1 for ratio in getattr(self, name)):
                raise ValueError(f"noise.{name} is {getattr(self, name)}: ratios lie in (0, 1]")
