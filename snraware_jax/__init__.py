"""SNRAware in JAX: reconstruct MRI scans in SNR units, synthesise their noise, train denoisers, and use them."""

__version__ = "0.1.0"
