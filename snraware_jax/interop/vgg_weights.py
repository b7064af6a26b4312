"""Weights of VGG-16's convolutions from a file that the user names; they cannot be shipped."""

import hashlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from snraware_jax import perceptual
from snraware_jax.errors import InputError
from snraware_jax.interop import torch_files

PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)  # of the convolutions in torchvision's `features`


def load(path: str | Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels `[3, 3, I, O]` and biases `[O]` of the ten convolutions up to relu4_3, float32.

    Args:
      path: torchvision's vgg16 file (.pth), or its tensors `features.N.weight`, `features.N.bias` as .safetensors or .npz. Nothing in
        it is executed.

    Raises:
      InputError: if the file is missing or broken, tensors are missing or of another shape, or the network does not see a test image.
    """
    path = Path(path)
    tensors = _read_npz(path) if path.suffix == ".npz" else torch_files.read(path)
    weights, inputs = [], 3
    for place, outputs in zip(PLACES, (width for stage in perceptual.STAGES for width in stage), strict=True):
        wanted = {f"features.{place}.weight": (outputs, inputs, 3, 3), f"features.{place}.bias": (outputs,)}
        for name, shape in wanted.items():
            found = tensors[name].shape if name in tensors else None
            if found != shape:
                raise InputError(
                    f"{path}: {name} is {found or 'missing'}, VGG-16's is {shape}; give torchvision's vgg16 weights"
                )
        kernel, bias = (np.asarray(tensors[name], np.float32) for name in wanted)
        weights.append((np.moveaxis(kernel, (0, 1), (3, 2)), bias))
        inputs = outputs
    if not all(response > 0 for response in responses(weights)):
        raise InputError(f"{path}: a test image leaves no trace in some of its features: these are no trained weights")
    return weights


def responses(weights: perceptual.Weights) -> list[float]:
    """Mean change of each of the four features by a test image, a disc of 100 on 20."""
    rows, columns = np.mgrid[:32, :32] - 15.5
    ground = np.full((32, 32), 20.0)
    disc = np.where(np.hypot(rows, columns) < 10, 100.0, ground)
    found = perceptual.features(weights, jnp.asarray(np.stack([ground, disc]), jnp.float32))
    return [float(jnp.mean(jnp.abs(feature[1] - feature[0]))) for feature in found]


def digest(weights: perceptual.Weights) -> str:
    """What a run's record says of its weights: the first 16 digits of SHA-256 over all of them."""
    total = hashlib.sha256()
    for kernel, bias in weights:
        total.update(np.ascontiguousarray(kernel).tobytes() + np.ascontiguousarray(bias).tobytes())
    return total.hexdigest()[:16]


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with np.load(path) as file:
            return dict(file)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not an .npz file of tensors ({error})") from error
