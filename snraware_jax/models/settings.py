"""What network to build: plain values, checked."""

import math
import re
from dataclasses import dataclass, fields

CELLS = {
    "T1": "attention between frames (CNNT)",
    "L1": "attention between the patches of a window of a frame",
    "G1": "attention between patches at one place of all windows of a frame",
    "V2": "attention between the windows of a frame (ViT)",
    "V3": "attention between windows of frames (3-D ViT)",
    "S3": "attention between the voxels of a window (3-D Swin)",
    "Sh": "the same, windows shifted by half",
    "C3": "3-D convolution",
    "C2": "2-D convolution",
}
BACKBONES = ("hrnet", "unet", "stack")
NORMS = ("layer", "channel", "instance2d", "none")
HEADS = ("none", "filter_bank")
INPUTS = ("complex_g", "complex", "magnitude_g", "magnitude")


@dataclass(frozen=True)
class ModelSettings:
    """A network; the defaults are the paper's HRNet with CNNT cells (Table 2, 27.5 M parameters).

    Attributes:
      backbone: "hrnet", "unet", or "stack", a small network at half resolution of which only `channels` and `head` are free.
      cells: the cells of every block in order, two characters each ("T1T1T1"); "T1T1,C3" gives one string per level, the last of
        which serves the remaining levels (and the bridge of a UNet, which is one level deeper).
      channels: at full resolution, doubled with each level.
      levels: resolutions, each half of the one before: 2 to 5 for an HRNet (1 is a plain stack of cells), 1 to 5 for a UNet.
      heads: of the attention in T1, L1 and G1 cells; in T1 a divisor of `channels`.
      window_heads: of the attention in V2, V3, S3 and Sh cells.
      window: T, H, W of the windows that L1, G1, V2, V3, S3 and Sh cells cut images into at level 0.
      window_patch: H, W of the patches that L1 and G1 cells cut windows into.
      relative_bias: whether L1, G1, V2 and V3 cells learn a bias for each relative position of two tokens.
      cosine: whether tokens are compared by the cosine of their angle (paper), or by their product over sqrt(length).
      gates: whether a UNet weights what its skips carry.
      mixer_ratio: widening inside the two convolutions that end a cell; 0 leaves the mixer out.
      norm: "layer" (paper; ties the network to H, W of `patch`), "channel" (over the channels of each voxel; not the paper's, any
        size), "instance2d" or "none".
      patch: T, H, W that the network is built for; a layer norm needs H, W.
      stochastic_depth: probability with which training skips a cell's attention or mixer for one sample.
      remat: compute the inside of cells again in the gradient instead of keeping it; on CPU it saves no memory.
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
    window_heads: int = 8
    window: tuple[int, int, int] = (16, 8, 8)
    window_patch: tuple[int, int] = (4, 4)
    relative_bias: bool = False
    cosine: bool = True
    gates: bool = False
    mixer_ratio: float = 4.0
    norm: str = "layer"
    patch: tuple[int, int, int] = (16, 64, 64)
    stochastic_depth: float = 0.1
    remat: bool = False
    input: str = "complex_g"
    head: str = "none"

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kinds = getattr(self, field.name), _kinds(field.default)
            if type(value) not in kinds:
                raise ValueError(f"model.{field.name} is {value!r}: give {' or '.join(kind.__name__ for kind in kinds)}")
        if not math.isfinite(self.mixer_ratio):
            raise ValueError(f"model.mixer_ratio is {self.mixer_ratio}: give a finite number")
        for field, choices in (("backbone", BACKBONES), ("norm", NORMS), ("head", HEADS), ("input", INPUTS)):
            if getattr(self, field) not in choices:
                raise ValueError(f"model.{field} is {getattr(self, field)!r}: choose one of {', '.join(choices)}")
        if self.channels < 1:
            raise ValueError(f"model.channels is {self.channels}: give 1 or more")
        if self.backbone != "stack":
            self._check_levels()

    def _check_levels(self) -> None:
        if not 1 <= self.levels <= 5:
            raise ValueError(f"model.levels is {self.levels}: give 1 to 5")
        sizes = {"model.window": (self.window, 3), "model.window_patch": (self.window_patch, 2), "data.patch": (self.patch, 3)}
        for field, (value, count) in sizes.items():
            if len(value) != count or not all(isinstance(size, int) and size > 0 for size in value):
                raise ValueError(f"{field} is {value}: give {count} whole numbers of 1 or more")
        for field in ("heads", "window_heads"):
            if getattr(self, field) < 1:
                raise ValueError(f"model.{field} is {getattr(self, field)}: give 1 or more")
        if self.gates and self.backbone != "unet":
            raise ValueError(
                f"model.gates is True, but a {self.backbone} has no gates: choose model.backbone unet, or no gates"
            )
        most = self.levels + (self.backbone == "unet")
        if self.cells.count(",") >= most:
            raise ValueError(f"model.cells {self.cells!r} has more than the {most} strings that {self.levels} level(s) can use")
        if not 0 <= self.stochastic_depth < 1:
            raise ValueError(f"model.stochastic_depth is {self.stochastic_depth}: give a probability in [0, 1)")
        if self.mixer_ratio and self.mixer_ratio * self.channels < 1:
            raise ValueError(f"model.mixer_ratio is {self.mixer_ratio}: give at least 1 / channels, or 0 for no mixer")
        cells = [cell for level in range(self.levels + 1) for cell in self.cells_of_level(level)]  # a UNet's bridge is the last
        if "T1" in cells and self.channels % self.heads:
            raise ValueError(f"model.heads {self.heads} does not divide the {self.channels} channels: choose a divisor")
        if any(size % self.step or size < 2 * self.step for size in self.patch[1:]):
            raise ValueError(
                f"data.patch {self.patch}: {self.levels} levels of a {self.backbone} need H and W in multiples of {self.step}, "
                f"at least {2 * self.step}"
            )

    @property
    def described(self) -> str:
        """In words: "hrnet of T1L1G1", or "stack", which has no cells."""
        return f"{self.backbone} of {self.cells}" if self.cells else self.backbone

    @property
    def magnitude(self) -> bool:
        """Whether it sees magnitudes, without phase."""
        return self.input.startswith("magnitude")

    @property
    def step(self) -> int:
        """H and W of whatever the network is given are multiples of this; a UNet halves once more than an HRNet, for its bridge."""
        return {"hrnet": 2 ** (self.levels - 1), "unet": 2**self.levels, "stack": 1}[self.backbone]

    def cells_of_level(self, level: int) -> list[str]:
        """The cells of the blocks at `level`: "T1T1,C3" -> ["T1", "T1"] at level 0, ["C3"] from level 1 on."""
        by_level = self.cells.split(",")
        cells = re.findall("..?", by_level[min(level, len(by_level) - 1)])
        unknown = [cell for cell in cells if cell not in CELLS]
        if unknown or not cells:
            exist = ", ".join(f"{name} ({what})" for name, what in CELLS.items())
            wrong = f"{unknown[0]!r} is not a cell, which has two characters" if unknown else "a level has no cells"
            raise ValueError(f"model.cells {self.cells!r}: {wrong}; these exist: {exist}")
        return cells

    def size_of_level(self, level: int) -> tuple[int, int, int]:
        """T, H, W at `level`."""
        frames, height, width = self.patch
        return frames, height >> level, width >> level


def _kinds(default: object) -> tuple[type, ...]:
    """The types that a field may have, by that of its default."""
    return (float, int) if isinstance(default, float) else (type(default),)
