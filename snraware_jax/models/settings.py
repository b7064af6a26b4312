"""What network to build: plain values, checked."""

import re
from dataclasses import dataclass

CELLS = {
    "T1": "attention between frames (CNNT)",
    "C3": "3-D convolution",
    "C2": "2-D convolution",
}
BACKBONES = ("hrnet", "stack")
NORMS = ("layer", "instance2d", "none")
HEADS = ("none", "filter_bank")
INPUTS = ("complex_g", "complex", "magnitude_g", "magnitude")


@dataclass(frozen=True)
class ModelSettings:
    """A network; the defaults are the paper's HRNet with CNNT cells (Table 2, 27.5 M parameters).

    Attributes:
      backbone: "hrnet", or "stack", a small network at half resolution of which only `channels` and `head` are free.
      cells: the cells of every block in order, each a letter and a digit ("T1T1T1"); "T1T1,C3" gives one string per level,
        the last of which serves the remaining levels.
      channels: at full resolution, doubled with each level.
      levels: resolutions, each half of the one before.
      heads: of the attention, a divisor of `channels`.
      mixer_ratio: widening inside the two convolutions that end a cell; 0 leaves the mixer out.
      norm: "layer" (ties the network to H, W of `patch`), "instance2d" or "none".
      patch: T, H, W that the network is built for; a layer norm needs H, W.
      stochastic_depth: probability with which training skips a cell's attention or mixer for one sample.
      remat: compute the inside of cells again in the gradient instead of keeping it.
      input: what the network sees: "complex_g" (paper: real and imaginary part, g-map), "complex", "magnitude_g" or "magnitude".
        It returns the image in the same form.
      head: "none", or "filter_bank", which lets the network steer a bank of smoothing filters.

    Raises:
      ValueError: naming the field and what it may be.
    """

    backbone: str = "hrnet"
    cells: str = "T1T1T1"
    channels: int = 64
    levels: int = 2
    heads: int = 64
    mixer_ratio: float = 4.0
    norm: str = "layer"
    patch: tuple[int, int, int] = (16, 64, 64)
    stochastic_depth: float = 0.1
    remat: bool = False
    input: str = "complex_g"
    head: str = "none"

    def __post_init__(self) -> None:
        for field, choices in (("backbone", BACKBONES), ("norm", NORMS), ("head", HEADS), ("input", INPUTS)):
            if getattr(self, field) not in choices:
                raise ValueError(f"model.{field} is {getattr(self, field)!r}: choose one of {', '.join(choices)}")
        if self.channels < 1:
            raise ValueError(f"model.channels is {self.channels}: give 1 or more")
        if self.backbone == "hrnet":
            self._check_hrnet()

    def _check_hrnet(self) -> None:
        if self.levels < 1:
            raise ValueError(f"model.levels is {self.levels}: give 1 or more")
        if not 0 <= self.stochastic_depth < 1:
            raise ValueError(f"model.stochastic_depth is {self.stochastic_depth}: give a probability in [0, 1)")
        if self.mixer_ratio and self.mixer_ratio * self.channels < 1:
            raise ValueError(f"model.mixer_ratio is {self.mixer_ratio}: give at least 1 / channels, or 0 for no mixer")
        cells = [cell for level in range(self.levels) for cell in self.cells_of_level(level)]
        if "T1" in cells and (self.heads < 1 or self.channels % self.heads):
            raise ValueError(f"model.heads {self.heads} does not divide the {self.channels} channels: choose a divisor")
        step = 2 ** (self.levels - 1)
        if any(size % step or size < 2 * step for size in self.patch[1:]):
            raise ValueError(
                f"model.patch {self.patch}: {self.levels} levels need H and W in multiples of {step}, at least {2 * step}"
            )

    @property
    def magnitude(self) -> bool:
        """Whether it sees magnitudes, without phase."""
        return self.input.startswith("magnitude")

    def cells_of_level(self, level: int) -> list[str]:
        """The cells of the blocks at `level`: "T1T1,C3" -> ["T1", "T1"] at level 0, ["C3"] from level 1 on."""
        by_level = self.cells.split(",")
        cells = re.findall("..?", by_level[min(level, len(by_level) - 1)])
        unknown = [cell for cell in cells if cell not in CELLS]
        if unknown or not cells:
            exist = ", ".join(f"{name} ({what})" for name, what in CELLS.items())
            raise ValueError(f"model.cells {self.cells!r}: {(unknown or ['nothing'])[0]} is not a cell; these exist: {exist}")
        return cells

    def shape_of_level(self, level: int) -> tuple[int, int, int]:
        """H, W, channels at `level`."""
        return self.patch[1] >> level, self.patch[2] >> level, self.channels << level
