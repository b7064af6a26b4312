"""The XML header of an MRD (ISMRMRD) file: what it says of the matrix, and how one is made.

Source: Inati et al., MRM 2017 (ISMRMRD).
"""

import math
from pathlib import Path
from typing import NamedTuple

import ismrmrd
import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.scan import RawScan

# of Siemens receivers; for headers that do not say
DEFAULT_BANDWIDTH = 0.793


class Axis(NamedTuple):
    """One phase-encode axis of the grid.

    Attributes:
      size: places, DC at size//2.
      shift: from the number that a readout carries to its place.
      first, last: places between which every `acceleration`-th is expected.
      acceleration: R along this axis.
    """

    size: int
    shift: int
    first: int
    last: int
    acceleration: int


class Layout(NamedTuple):
    """What the header says of the matrix; a 2D scan has one partition."""

    kz: Axis
    ky: Axis
    oversampled: int
    readout: int
    interleaved: bool
    bandwidth: float
    fov_mm: tuple[float, float]

    @property
    def grid(self) -> tuple[int, int]:
        return self.kz.size, self.ky.size

    @property
    def volume(self) -> bool:
        return self.kz.size > 1

    @property
    def acceleration(self) -> int | tuple[int, int]:
        return (self.ky.acceleration, self.kz.acceleration) if self.volume else self.ky.acceleration


def read_layout(path: Path, document: ismrmrd.xsd.ismrmrdHeader) -> Layout:
    """The matrix of the one Cartesian encoding that `document` describes.

    Raises:
      InputError: several encodings, another trajectory, no centre line, numbers that contradict each other.
    """
    if len(document.encoding) != 1:
        raise InputError(f"{path} has {len(document.encoding)} encodings; only one is supported yet: split the file.")
    encoding = document.encoding[0]
    if encoding.trajectory.value != "cartesian":
        raise InputError(f"{path} has a {encoding.trajectory.value} trajectory; only Cartesian scans are supported yet.")
    encoded, recon, limits = encoding.encodedSpace, encoding.reconSpace, encoding.encodingLimits
    volume = encoded.matrixSize.z > 1
    along_ky, along_kz = _accelerations(path, encoding.parallelImaging)
    if along_kz > 1 and not volume:
        raise InputError(
            f"{path} has one partition but acceleration {along_kz} along kz; simultaneous slices are not supported yet."
        )
    ky = _axis(path, "kspace_encoding_step_1", encoded.matrixSize.y, limits.kspace_encoding_step_1, along_ky)
    kz = Axis(1, 0, 0, 0, 1)
    if volume:
        kz = _axis(path, "kspace_encoding_step_2", encoded.matrixSize.z, limits.kspace_encoding_step_2, along_kz)
    parallel = encoding.parallelImaging
    height, width = encoded.fieldOfView_mm.y, recon.fieldOfView_mm.x
    readout = encoded.matrixSize.x * width / encoded.fieldOfView_mm.x
    if not 0 < height < math.inf or not 1 <= round(readout) <= encoded.matrixSize.x:
        raise InputError(
            f"{path}: fieldOfView_mm is {height} along y, and along x {encoded.fieldOfView_mm.x} encoded, {width} to reconstruct; "
            "they must be positive, the last not above the one before: correct the header."
        )
    return Layout(
        kz=kz,
        ky=ky,
        oversampled=encoded.matrixSize.x,
        readout=round(readout),
        interleaved=bool(parallel and parallel.calibrationMode and parallel.calibrationMode.value == "interleaved"),
        bandwidth=_bandwidth(path, document.acquisitionSystemInformation),
        fov_mm=(height, width),
    )


def _accelerations(path: Path, parallel: ismrmrd.xsd.parallelImagingType | None) -> tuple[int, int]:
    if not parallel:
        return 1, 1
    factor = parallel.accelerationFactor
    factors = factor.kspace_encoding_step_1, factor.kspace_encoding_step_2
    if min(factors) < 1:
        raise InputError(f"{path}: its header has acceleration {min(factors)}: give it 1 or more.")
    return factors


def _axis(path: Path, name: str, size: int, limits: ismrmrd.xsd.limitType | None, acceleration: int) -> Axis:
    if limits is None:
        raise InputError(f"{path}: its header has no encodingLimits.{name}, so the centre line is unknown: add it.")
    shift = size // 2 - limits.center
    first, last = limits.minimum + shift, limits.maximum + shift
    if not 0 <= first <= last < size:
        raise InputError(
            f"{path}: encodingLimits.{name} ({limits.minimum} to {limits.maximum}, centre {limits.center}) do not fit the "
            f"{size} lines of the matrix: correct the header."
        )
    return Axis(size, shift, first, last, acceleration)


def _bandwidth(path: Path, system: ismrmrd.xsd.acquisitionSystemInformationType | None) -> float:
    found = system.relativeReceiverNoiseBandwidth if system else None
    if found is None:
        return DEFAULT_BANDWIDTH
    if not 0 < found <= 1:
        raise InputError(f"{path}: relativeReceiverNoiseBandwidth is {found}; it lies in (0, 1]: correct the header.")
    return found


def make_document(scan: RawScan, slices: int, frames: int) -> ismrmrd.xsd.ismrmrdHeader:
    """The header of a file with `slices` scans of the geometry of `scan`, each of up to `frames` frames."""
    xsd = ismrmrd.xsd
    *partitions, lines, oversampled = scan.kspace.shape[2:]
    height, width = scan.fov_mm
    mode = xsd.calibrationModeType.INTERLEAVED if scan.calibration is None else xsd.calibrationModeType.SEPARATE
    along_ky, along_kz = scan.acceleration if isinstance(scan.acceleration, tuple) else (scan.acceleration, 1)

    def space(columns: int, extent: float) -> ismrmrd.xsd.encodingSpaceType:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=columns, y=lines, z=partitions[0] if partitions else 1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=extent, y=height, z=1.0),  # RawScan does not know the thickness
        )

    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=_limits(scan.acquired, -1),
        kspace_encoding_step_2=_limits(scan.acquired, -2) if partitions else None,
        slice=xsd.limitType(minimum=0, maximum=slices - 1, center=0),
        phase=xsd.limitType(minimum=0, maximum=frames - 1, center=0),
    )
    parallel = xsd.parallelImagingType(
        accelerationFactor=xsd.accelerationFactorType(kspace_encoding_step_1=along_ky, kspace_encoding_step_2=along_kz),
        calibrationMode=mode,
    )
    return xsd.ismrmrdHeader(
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            relativeReceiverNoiseBandwidth=scan.bandwidth, receiverChannels=scan.kspace.shape[1]
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000),
        encoding=[
            xsd.encodingType(
                encodedSpace=space(oversampled, width * oversampled / scan.readout),
                reconSpace=space(scan.readout, width),
                encodingLimits=limits,
                trajectory=xsd.trajectoryType.CARTESIAN,
                parallelImaging=parallel,
            )
        ],
    )


def _limits(acquired: np.ndarray, axis: int) -> ismrmrd.xsd.limitType:
    first, last = sampled_range(acquired, axis)
    return ismrmrd.xsd.limitType(minimum=first, maximum=last, center=acquired.shape[axis] // 2)


def sampled_range(acquired: np.ndarray, axis: int) -> tuple[int, int]:
    """First and last place along `axis` that any frame of `acquired` (`[T, (kz,) ky]` bool) holds."""
    places = np.nonzero(acquired)[axis]
    return int(places.min()), int(places.max())
