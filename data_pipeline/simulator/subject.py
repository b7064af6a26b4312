"""What may be chosen, and what is drawn: the settings of the simulator, its named random streams, and one subject's card."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snraware_jax.errors import InputError

# the position in this list is part of every stream: append only
STREAMS = ("subject", "torso", "heart", "texture", "blood", "contrast", "coils", "noise", "phase")
KINDS = ("retro_cine", "realtime_cine", "perfusion", "mprage", "spine", "phantom")
ARRAYS = ("mixed", "body", "birdcage", "helmet", "spine")
MOST_SLICES = 64  # of a study: every view has so many streams
PLANES = ("short_axis", "four_chamber", "two_chamber", "three_chamber", "axial", "oblique")


@dataclass(frozen=True)
class Settings:
    """How the simulated scanner and its subjects are set; `protocols.TABLE_1` holds the paper's scans.

    Attributes:
      kind: what is scanned, and how it changes over the frames: one of `KINDS`.
      matrix: acquired (ky, kx), odd or even; of one partition.
      partitions: kz of a volume ("mprage"); 1 otherwise.
      slices: of a study, at most 64; the slices share body, coils, receiver and noise scan.
      slice_mm: distance between slices or partitions.
      frames: of the series: cardiac phases over one RR interval, real-time frames, or heartbeats of a first pass.
      coils: receive channels, 4 to 32.
      array: how they are arranged, one of `ARRAYS`; "mixed" is a body array, and for one subject in eight a birdcage.
      acceleration: R along ky, or (R along ky, R along kz) of a volume.
      calibration_lines: contiguous calibration lines, 3 R + 1 of the largest R that they shall serve; of a volume along ky and kz,
        as far as kz has them.
      sampling: "uniform", or "interleaved": the acquired lines move on by one each frame, which calibrates itself (no
        calibration lines of its own).
      partial_fourier: share of the ky lines up to the last one that is acquired; the first ones are missing.
      echo: share of a readout that is acquired; below 1 the samples before an asymmetric echo are missing.
      oversampling: of the readout.
      signal_snr: range of the 99.5th percentile of the clean series in SNR units (log-uniform).
      field_strength: tesla, 1.5 or 3.
      fov_mm: nominal field of view (ky, kx).
      zoom: range of the factor on `fov_mm`; below 1 the body reaches out of the image, as after outer volume suppression.
      fine: grid points per pixel along ky on which the object is drawn, at least; about as fine along kx.
      flip_deg, tr_ms: of the readout; TE is half of TR for balanced SSFP.
      frame_ms: time from one real-time frame to the next.
      stress: whether a first pass is one under stress (hyperaemia).
      dwell_us, noise_dwell_us: sampling interval of the imaging samples as stored, and of the noise scan.
      noise_readouts: readouts of the noise scan.
      noise_level: receiver noise SD in raw units.
      noise_correlation: range of the largest correlation coefficient between coils.
      broken_coil: chance that one coil receives almost nothing but noise.
    """

    kind: str = "retro_cine"
    matrix: tuple[int, int] = (96, 128)
    partitions: int = 1
    slices: int = 1
    slice_mm: float = 8.0
    frames: int = 16
    coils: int = 8
    array: str = "mixed"
    acceleration: int | tuple[int, int] = 2
    calibration_lines: int = 32
    sampling: str = "uniform"
    partial_fourier: float = 1.0
    echo: float = 1.0
    oversampling: int = 2
    signal_snr: tuple[float, float] = (60.0, 200.0)
    field_strength: float = 3.0
    fov_mm: tuple[float, float] = (285.0, 380.0)
    zoom: tuple[float, float] = (0.6, 1.2)
    fine: int = 3
    flip_deg: float = 50.0
    tr_ms: float = 2.97
    frame_ms: float = 40.0
    stress: bool = False
    dwell_us: float = 2.4
    noise_dwell_us: float = 20.0
    noise_readouts: int = 64
    noise_level: float = 1.0
    noise_correlation: tuple[float, float] = (0.15, 0.4)
    broken_coil: float = 0.02

    def __post_init__(self):
        for name, allowed, fix in self._rules():
            if not allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}: {fix}")

    def _rules(self) -> Iterator[tuple[str, bool, str]]:
        """Of every field with limits: its name, whether it keeps them, and what to do if not; a rule may rely on those before it."""
        yield "kind", self.kind in KINDS, f"choose one of {', '.join(KINDS)}"
        yield "array", self.array in ARRAYS, f"choose one of {', '.join(ARRAYS)}"
        yield "sampling", self.sampling in ("uniform", "interleaved"), "choose uniform or interleaved"
        yield "matrix", len(self.matrix) == 2 and min(self.matrix) > 0, "give ky, kx above 0, for example (96, 128)"
        for name in ("partitions", "slices", "frames", "oversampling", "fine", "noise_readouts"):
            yield name, getattr(self, name) > 0, "give a whole number above 0"
        yield "slices", self.slices <= MOST_SLICES, f"give at most {MOST_SLICES}"
        yield "coils", 4 <= self.coils <= 32, "give 4 to 32"
        volume = self.kind == "mprage"
        yield "partitions", volume or self.partitions == 1, 'only a volume (kind "mprage") has more than one'
        factors = self.acceleration if isinstance(self.acceleration, tuple) else (self.acceleration,)
        yield (
            "acceleration",
            min(factors) > 0 and len(factors) == (2 if volume else 1),
            "give R, or of a volume (R along ky, R along kz)",
        )
        enough = self.sampling == "uniform" or self.frames >= factors[0]
        yield "frames", enough, f"interleaved lines calibrate themselves over R frames: give {factors[0]} or more"
        yield (
            "calibration_lines",
            self.calibration_lines <= self.matrix[0],
            f"choose fewer, at most the {self.matrix[0]} of matrix",
        )
        least = 3 * factors[0] + 1
        yield (
            "calibration_lines",
            self.calibration_lines >= least,
            f"acceleration {factors[0]} needs more: choose at least {least}",
        )
        for name in ("partial_fourier", "echo"):
            yield name, 0.5 < getattr(self, name) <= 1, "give a share above 0.5, at most 1"
        yield "field_strength", self.field_strength in (1.5, 3.0), "it has no tissue table: choose 1.5 or 3.0"
        enough = self.noise_readouts * self.oversampling * self.matrix[1] >= 10 * self.coils
        yield "noise_readouts", enough, f"too few samples for {self.coils} coils: choose more"


def stream(seed: int, subject: int, name: str, view: int | None = None) -> np.random.Generator:
    """Random numbers of one component of one subject, or of one view of it: a new component changes nothing in the others."""
    return np.random.default_rng([seed, subject, STREAMS.index(name), *([] if view is None else [1 + view])])


def draw_card(rng: np.random.Generator, settings: Settings) -> dict:
    """Draws one subject: JSON values only, lengths in mm, angles in degrees, fractions of the RR interval.

    Ranges: left ventricle 48-245 ml (median 102), wall 5-11 mm (to 23 mm when hypertrophic), EF 18-74 %, heart rate 45-110 a
    minute.
    """
    hypertrophic, dilated, defect, arrhythmic = rng.random(4) < (0.12, 0.12, 0.25, 0.1)
    radius = rng.uniform(19, 27) + 7 * dilated - 2 * hypertrophic
    ejection = np.clip(rng.normal(0.60, 0.06), 0.45, 0.74) - 0.27 * dilated
    uniform = lambda low, high: float(rng.uniform(low, high))
    return {
        # body
        "scale": uniform(0.82, 1.15),
        "body_half_mm": [uniform(142, 188), uniform(90, 122)],
        "fat_mm": float(4 + rng.gamma(2.0, 3.5)),
        "muscle_mm": uniform(8, 17),
        "diaphragm_mm": uniform(-66, -36),
        "dome_mm": [uniform(18, 48), uniform(0, 26)],
        "spine_mm": uniform(0.56, 0.66),
        "rib_mm": uniform(23, 31),
        # heart
        "heart_mm": [uniform(16, 34), uniform(-40, -22), uniform(-6, 10)],
        "axis_deg": [float(v) for v in rng.normal((42, 40), (9, 9))],
        "lv_radius_mm": float(radius),
        "lv_length_mm": uniform(76, 98),
        "wall_mm": float(rng.uniform(6.5, 11) + rng.uniform(4, 12) * hypertrophic - 1.5 * dilated),
        "septum": float(rng.uniform(0.0, 0.5) * hypertrophic),
        "ejection_fraction": float(ejection),
        "shortening": float(rng.uniform(0.10, 0.18) * ejection / 0.6),
        "twist_deg": uniform(6, 20),
        "systole": uniform(0.32, 0.42),
        "defect": float(rng.uniform(0.4, 1.0) * defect),
        "defect_angle_deg": uniform(0, 360),
        "rv_radius_mm": uniform(25, 35),
        "trabeculae": uniform(0.2, 1.0),
        "epicardial_fat_mm": float(rng.gamma(2.5, 1.4)),
        "effusion_mm": float(rng.uniform(2, 8) * (rng.random() < 0.06)),
        "flow": uniform(0.03, 0.10),
        "jet": bool(rng.random() < 0.2),
        # time
        "heart_rate": uniform(45, 110),
        "rr_jitter": uniform(0.08, 0.2) if arrhythmic else uniform(0.01, 0.05),
        "footprint": uniform(0.03, 0.14),
        "trigger": uniform(0.3, 0.85),
        "breath_mm": uniform(5, 18),
        "breaths_per_second": uniform(0.2, 0.35),
        "breath_rest": int(rng.integers(2, 4)),
        # scanner
        "softness_mm": uniform(0.8, 2.8),
        "band": bool(rng.random() < 0.15),
    }


def draw_view(rng: np.random.Generator, settings: Settings) -> dict:
    """Draws one view of a subject: the plane through the heart and how it lies in the image; JSON values, units as `draw_card`."""
    plane = str(rng.choice(PLANES, p=(0.46, 0.15, 0.12, 0.12, 0.08, 0.07)))
    return {
        "plane": plane,
        "level": float(rng.uniform(0.12, 1.0)),
        "tilt_deg": [float(v) for v in rng.normal(0, 25 if plane == "oblique" else 6, 2)],
        "offset_mm": float(rng.normal(0, 4)),
        "rotation_deg": float(rng.uniform(0, 360)),
        "flip": bool(rng.random() < 0.5),
        "shift_mm": [float(v) for v in rng.normal(0, 12, 2)],
        "zoom": float(rng.uniform(*settings.zoom)),
    }
