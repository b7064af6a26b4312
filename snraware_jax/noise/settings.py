"""What noise to make: ranges of the random choices as one hashable value, and the presets."""

from dataclasses import dataclass
from typing import Literal, get_args

SigmaDistribution = Literal["uniform", "log_uniform"]
PartialFourierAxes = Literal["independent", "one_or_both"]
Order = Literal["g_then_filter", "filter_then_g"]
GMaps = Literal["random", "random_or_ones", "ones"]
# beyond these, numbers of single precision overflow or vanish
LARGEST_SIGMA, STRONGEST = 1e6, 10.0


@dataclass(frozen=True)
class NoiseSettings:
    """Ranges from which every training sample draws its noise; the defaults are the paper's (Methods, g-factor augmentation).

    Attributes:
      sigma_min, sigma_max: range of the noise SD before the g-map, SNR units.
      sigma_distribution: "uniform" (paper) or "log_uniform", which shows a network high SNR as often as low SNR.
      gaussian_sigmas: strengths of the Gaussian k-space filter, one drawn per axis; a larger value filters more, 0 not at all.
      temporal_probability: chance of a Gaussian filter along time too (authors' code; not for volumes).
      temporal_sigmas: its strengths.
      partial_fourier_axes: "independent", each axis with `partial_fourier_probability` (paper), or "one_or_both": one of the axes or
        all of them, each of these with the same chance (authors' code).
      partial_fourier_probability: chance, per axis, that a partial Fourier ratio is drawn at all.
      partial_fourier_ratios: acquired share of the axis, cut on a random side with a tapered Hanning edge.
      taper_samples: width of that edge.
      resolution_ratios: share of the axis that is kept, the same number of outer samples cut on both sides.
      order: "g_then_filter" (paper, as on a scanner) or "filter_then_g" (the authors' code).
      g_maps: "random" draws one of the sample's g-maps, "random_or_ones" one of them or a uniform one; "ones" leaves the noise uniform.
      filters: False leaves the noise white ("without MR noise" of Table 2).
      margin: points around a patch on which its noise is made too, along H and W; half of them along time, if that is filtered.

    Raises:
      ValueError: naming the field and what it may be.
    """

    sigma_min: float = 0.0
    sigma_max: float = 32.0
    sigma_distribution: SigmaDistribution = "uniform"
    gaussian_sigmas: tuple[float, ...] = (0.8, 1.0, 1.5, 2.0, 2.25)
    temporal_probability: float = 0.0
    temporal_sigmas: tuple[float, ...] = (0.25, 0.5, 0.65, 0.85, 1.0, 1.5, 2.0, 2.25)
    partial_fourier_axes: PartialFourierAxes = "independent"
    partial_fourier_probability: float = 0.5
    partial_fourier_ratios: tuple[float, ...] = (1.0, 0.85, 0.7, 0.65, 0.55)
    taper_samples: int = 10
    resolution_ratios: tuple[float, ...] = (1.0, 0.85, 0.7, 0.65, 0.55)
    order: Order = "g_then_filter"
    g_maps: GMaps = "random"
    filters: bool = True
    margin: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            is_list, numbers = name.endswith(("sigmas", "ratios")), value if isinstance(value, tuple) else (value,)
            if is_list != isinstance(value, tuple) or (is_list and not all(isinstance(n, int | float) for n in numbers)):
                raise ValueError(f"noise.{name} is {value!r}: give {'several numbers, as a tuple' if is_list else 'one value'}")
        for name in ("sigma_min", "sigma_max", "partial_fourier_probability", "temporal_probability"):
            if not isinstance(getattr(self, name), int | float):
                raise ValueError(f"noise.{name} is {getattr(self, name)!r}: give a number")
        if not 0 <= self.sigma_min <= self.sigma_max <= LARGEST_SIGMA:
            limits = f"need 0 <= min <= max <= {LARGEST_SIGMA:g}"
            raise ValueError(f"noise.sigma_min {self.sigma_min} and sigma_max {self.sigma_max}: {limits}")
        for name, choices in (
            ("sigma_distribution", SigmaDistribution),
            ("partial_fourier_axes", PartialFourierAxes),
            ("order", Order),
            ("g_maps", GMaps),
        ):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"noise.{name} is {getattr(self, name)!r}: choose one of {', '.join(get_args(choices))}")
        if self.sigma_distribution == "log_uniform" and self.sigma_min == 0:
            raise ValueError(
                "noise.sigma_min is 0, which a log-uniform distribution cannot reach: give a positive one, say 0.8"
            )
        for name in ("gaussian_sigmas", "temporal_sigmas", "partial_fourier_ratios", "resolution_ratios"):
            if not getattr(self, name):
                raise ValueError(f"noise.{name} is empty: give at least one value to draw from")
        for name in ("gaussian_sigmas", "temporal_sigmas"):
            if not all(0 <= sigma <= STRONGEST for sigma in getattr(self, name)):
                raise ValueError(f"noise.{name} is {getattr(self, name)}: strengths lie from 0 to {STRONGEST:g}")
        for name in ("partial_fourier_ratios", "resolution_ratios"):
            if not all(0 < ratio <= 1 for ratio in getattr(self, name)):
                raise ValueError(f"noise.{name} is {getattr(self, name)}: ratios lie in (0, 1]")
        reached, kept = min(self.partial_fourier_ratios), min(self.resolution_ratios)
        if reached <= (1 - kept) / 2:
            raise ValueError(
                f"noise.partial_fourier_ratios down to {reached} and resolution_ratios down to {kept} leave nothing of an axis: need "
                "the first above (1 - the second) / 2"
            )
        for name in ("temporal_probability", "partial_fourier_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"noise.{name} is {getattr(self, name)}: a probability lies in [0, 1]")
        for name in ("taper_samples", "margin"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 0:
                raise ValueError(f"noise.{name} is {getattr(self, name)!r}: give a whole number of samples, 0 or more")

    @property
    def margins(self) -> tuple[int, int, int]:
        """Points before and behind a patch, along T, H, W, on which its noise is made too."""
        if not self.filters:
            return 0, 0, 0
        return self.margin // 2 if self.temporal_probability else 0, self.margin, self.margin

    @property
    def g_margin(self) -> int:
        """Points around a patch for which its g-maps are needed: amplified noise from there is filtered into it."""
        return self.margin if self.filters and self.order == "g_then_filter" and self.g_maps != "ones" else 0


PRESETS = {
    "paper": NoiseSettings(),
    "upstream": NoiseSettings(
        sigma_min=0.1,
        sigma_max=128.0,
        temporal_probability=0.2,
        partial_fourier_axes="one_or_both",
        partial_fourier_ratios=(1.0, 0.875, 0.75, 0.625),
        resolution_ratios=(1.0, 0.75, 0.65, 0.55),
        order="filter_then_g",
        g_maps="random_or_ones",
    ),
}
