"""What may be chosen, and what is drawn: the settings of the simulator, its named random streams, and one subject's card."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from snraware_jax.errors import InputError

# the position in this list is part of every stream: append only
STREAMS = ("subject", "torso", "heart", "texture", "blood", "contrast", "coils", "noise", "phase")
PLANES = ("short_axis", "four_chamber", "two_chamber", "three_chamber", "oblique")


@dataclass(frozen=True)
class Settings:
    """How the simulated scanner and its subjects are set.

    Attributes:
      matrix: acquired (ky, kx), odd or even.
      frames: cardiac phases over one RR interval.
      coils: receive channels, 4 to 32.
      acceleration: R along ky.
      calibration_lines: contiguous calibration lines, 3 R + 1 of the largest R that they shall serve.
      oversampling: of the readout.
      signal_snr: range of the 99.5th percentile of the clean series in SNR units (log-uniform).
      field_strength: tesla, 1.5 or 3.
      fov_mm: nominal field of view (ky, kx).
      zoom: range of the factor on `fov_mm`; below 1 the body reaches out of the image, as after outer volume suppression.
      fine: grid points per pixel on which the object is drawn.
      flip_deg, tr_ms: of the bSSFP readout; TE is half of TR.
      dwell_us, noise_dwell_us: sampling interval of the imaging samples as stored, and of the noise scan.
      noise_readouts: readouts of the noise scan.
      noise_level: receiver noise SD in raw units.
      noise_correlation: range of the largest correlation coefficient between coils.
    """

    matrix: tuple[int, int] = (96, 128)
    frames: int = 16
    coils: int = 8
    acceleration: int = 2
    calibration_lines: int = 32
    oversampling: int = 2
    signal_snr: tuple[float, float] = (60.0, 200.0)
    field_strength: float = 3.0
    fov_mm: tuple[float, float] = (285.0, 380.0)
    zoom: tuple[float, float] = (0.55, 1.0)
    fine: int = 3
    flip_deg: float = 50.0
    tr_ms: float = 2.97
    dwell_us: float = 2.4
    noise_dwell_us: float = 20.0
    noise_readouts: int = 64
    noise_level: float = 1.0
    noise_correlation: tuple[float, float] = (0.15, 0.4)

    def __post_init__(self):
        if len(self.matrix) != 2:
            raise InputError(f"matrix {self.matrix} must be ky, kx, for example (96, 128)")
        if min(*self.matrix, self.frames, self.acceleration) < 1 or not 4 <= self.coils <= 32:
            raise InputError(
                f"matrix {self.matrix}, frames {self.frames}, acceleration {self.acceleration} must be above 0, "
                f"and coils {self.coils} from 4 to 32"
            )
        if self.calibration_lines > self.matrix[0]:
            raise InputError(
                f"calibration_lines {self.calibration_lines} exceed the {self.matrix[0]} lines of matrix: choose fewer"
            )
        if self.calibration_lines < 3 * self.acceleration + 1:
            raise InputError(
                f"calibration_lines {self.calibration_lines} are too few for acceleration {self.acceleration}: "
                f"choose at least {3 * self.acceleration + 1}"
            )
        if self.field_strength not in (1.5, 3.0):
            raise InputError(f"field_strength {self.field_strength} has no tissue table: choose 1.5 or 3.0")
        if self.noise_readouts * self.oversampling * self.matrix[1] < 10 * self.coils:
            raise InputError(f"noise_readouts {self.noise_readouts} give too few samples for {self.coils} coils: choose more")


def stream(seed: int, subject: int, name: str) -> np.random.Generator:
    """Random numbers of one component of one subject: a new component changes nothing in the others."""
    return np.random.default_rng([seed, subject, STREAMS.index(name)])


def draw_card(rng: np.random.Generator, settings: Settings) -> dict:
    """Draws one subject and the view of it: JSON values only, lengths in mm, angles in degrees, fractions of the RR interval.

    Ranges: left ventricle 80-260 ml, wall 6-12 mm (12-20 mm when hypertrophic), EF 20-75 %.
    """
    hypertrophic, dilated, defect = rng.random(3) < (0.12, 0.12, 0.25)
    radius = rng.uniform(19, 27) + 7 * dilated - 2 * hypertrophic
    ejection = np.clip(rng.normal(0.60, 0.06), 0.45, 0.74) - 0.27 * dilated
    plane = str(rng.choice(PLANES, p=(0.56, 0.14, 0.1, 0.1, 0.1)))
    return {
        "plane": plane,
        "level": float(rng.uniform(0.18, 1.12)),
        "tilt_deg": [float(v) for v in rng.normal(0, 5 if plane != "oblique" else 25, 2)],
        "offset_mm": float(rng.normal(0, 4)),
        "rotation_deg": float(rng.uniform(0, 360)),
        "flip": bool(rng.random() < 0.5),
        "shift_mm": [float(v) for v in rng.normal(0, 12, 2)],
        "zoom": float(rng.uniform(*settings.zoom)),
        "body_half_mm": [float(rng.uniform(150, 195)), float(rng.uniform(100, 130))],
        "fat_mm": float(rng.uniform(5, 30)),
        "liver": float(rng.uniform(-0.2, 1.0)),
        "scale": float(rng.uniform(0.85, 1.15)),
        "lv_radius_mm": float(radius),
        "lv_length_mm": float(rng.uniform(78, 98)),
        "wall_mm": float(rng.uniform(7, 11) + rng.uniform(4, 9) * hypertrophic - 1.5 * dilated),
        "ejection_fraction": float(ejection),
        "shortening": float(rng.uniform(0.10, 0.18) * ejection / 0.6),
        "twist_deg": float(rng.uniform(6, 20)),
        "systole": float(rng.uniform(0.32, 0.42)),
        "defect": float(rng.uniform(0.4, 1.0) * defect),
        "defect_angle_deg": float(rng.uniform(0, 360)),
        "rv_radius_mm": float(rng.uniform(27, 36)),
        "trabeculae": float(rng.uniform(0.2, 1.0)),
        "epicardial_fat_mm": float(rng.uniform(1, 7)),
        "softness_mm": float(rng.uniform(0.8, 2.6)),
        "footprint": float(rng.uniform(0.05, 0.2)),
        "band": bool(rng.random() < 0.15),
    }


def volume_curve(ejection_fraction: float, systole: float, phase: np.ndarray) -> np.ndarray:
    """Volume of the left ventricle over that at end diastole; periodic, 1 at phase 0, 1 - EF at phase `systole`.

    Ejection, early filling, diastasis and atrial kick as a monotone piecewise cubic.

    Args:
      ejection_fraction: EF.
      systole: phase of end systole, fraction of the RR interval.
      phase: any real number, period 1.
    """
    knots = np.array([0.0, 0.05, systole * 0.5, systole, systole + 0.05, systole + 0.2, 0.82, 0.94])
    emptied = np.array([0.0, 0.02, 0.6, 1.0, 0.99, 0.35, 0.24, 0.02])
    around = np.concatenate([knots - 1, knots, knots + 1])
    return 1 - ejection_fraction * PchipInterpolator(around, np.tile(emptied, 3))(np.mod(phase, 1.0))
