"""A network as an ONNX graph of one tile, for runtimes that know neither Python nor XLA."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing
from snraware_jax.models.platforms import one_program

LARGEST_ERROR = 1e-4  # of the largest value, between ONNX Runtime and JAX


def export(path: str | Path, network: nnx.Module, tile: tuple[int, int, int]) -> float:
    """Writes `[1, T, H, W, 3]` float32 (real, imaginary, g) -> `[1, T, H, W, 2]`, and runs it once in ONNX Runtime.

    Args:
      path: of the file.
      network: with its parameters.
      tile: T, H, W.

    Returns:
      the largest difference from JAX over the largest value.

    Raises:
      InputError: if the packages are missing, the network has an operation that they do not know, or the results differ by more than
        1e-4; nothing is written then.
    """
    try:
        import jax2onnx  # pyright: ignore[reportMissingImports] (an extra, as the next)
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError("ONNX needs packages of its own: pip install 'snraware-jax[onnx]'") from error
    graphdef, state = nnx.split(network)

    def apply(x: jax.Array) -> jax.Array:
        with one_program():
            return nnx.merge(graphdef, state)(x)  # pyright: ignore[reportCallIssue]

    shape = (1, *tile, 3)
    sizes = " x ".join(map(str, tile))
    try:
        model = jax2onnx.to_onnx(apply, [jax.ShapeDtypeStruct(shape, jnp.float32)])
        del model.graph.value_info[:]  # shapes between, some of which jax2onnx 0.13 gets wrong; nothing needs them
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # of any kind: the packages raise their own
        said = str(error).splitlines()[0][:200]
        raise InputError(f"this network, on tiles of {sizes}, cannot be written as ONNX by jax2onnx: {said}") from error
    x = 10 * np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x[..., 2] = np.abs(x[..., 2]) + 0.1
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    expected = np.asarray(jax.jit(lambda x: nnx.merge(graphdef, state)(x))(x))
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not difference < LARGEST_ERROR:
        raise InputError(f"ONNX Runtime gives other values than JAX, by {difference:.1e} of the largest: not written")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return difference
