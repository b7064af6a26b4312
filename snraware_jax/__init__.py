"""SNRAware in JAX: reconstruct MRI scans in SNR units, synthesise their noise, train denoisers, and use them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snraware_jax.inference.denoiser import Bundled

__version__ = "0.1.0"


def load(path: str | Path) -> "Bundled":
    """A denoiser from a bundle: `load("model.snr")(image, g_map)`, image `[T, H, W]` complex64 in SNR units, g-map `[H, W]`.

    SNR units are those in which the noise has the SD of the g-map in real and imaginary part. The models "complex" and "magnitude"
    come with the package. A model of magnitudes takes them as complex64 without imaginary part.

    Raises:
      InputError: if the file is no bundle, or damaged.
    """
    from snraware_jax import shipped
    from snraware_jax.inference import denoiser

    return denoiser.load(shipped.find(path))
