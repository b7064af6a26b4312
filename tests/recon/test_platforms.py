"""The calibration lowers for every platform, and for TPUs without a complex Cholesky, which aborts some of their compilers."""

import re
from functools import partial

import jax
import numpy as np
import pytest

from snraware_jax.recon import chain, hermitian
from snraware_jax.recon.inputs import Geometry


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_a_calibration_lowers_for(platform):
    geometry = Geometry((1, 4, 32, 48), (4, 24, 48), (4,), (0, 24), 24, (32, 24), 1.0, 4, 2, (2, 3))
    arguments = [jax.ShapeDtypeStruct(shape, np.complex64) for shape in ((4, 4), geometry.calibration)]
    calibrate = jax.jit(partial(chain._calibrate, geometry=geometry))
    module = jax.export.export(calibrate, platforms=[platform])(*arguments).mlir_module()
    if platform == "tpu":
        factorised = re.findall(r"stablehlo.cholesky.*tensor<(\S+)>", module)
        assert factorised
        assert all(shape.endswith("f32") and "complex" not in shape for shape in factorised)


def test_a_batch_is_solved_and_does_not_hang():
    """On jaxlib 0.10.2 a batch of complex Cholesky factorisations on CPU waited for ever: they run one after the other there."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 96, 200)) + 1j * rng.normal(size=(4, 96, 200))
    matrices = (root @ root.conj().swapaxes(1, 2)).astype(np.complex64)
    right = np.ones((4, 96, 40), np.complex64)
    found = jax.jit(jax.vmap(hermitian.solve))(matrices, right)
    np.testing.assert_allclose(matrices @ np.asarray(found), right, atol=1e-4)
    assert jax.vmap(hermitian.inverse_cholesky)(matrices).shape == matrices.shape
