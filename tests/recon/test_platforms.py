"""The calibration lowers for every platform, and for TPUs without a complex Cholesky, which aborts some of their compilers."""

import re
from functools import partial

import jax
import numpy as np
import pytest

from snraware_jax.recon import chain
from snraware_jax.recon.inputs import Geometry


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_a_calibration_lowers_for(platform):
    geometry = Geometry((1, 4, 32, 48), (4, 24, 48), (4,), (0, 24), 24, (32, 24), 4, 2, (2, 3))
    arguments = [jax.ShapeDtypeStruct(shape, np.complex64) for shape in ((4, 4), geometry.calibration)]
    calibrate = jax.jit(partial(chain._calibrate, geometry=geometry))
    module = jax.export.export(calibrate, platforms=[platform])(*arguments).mlir_module()
    if platform == "tpu":
        factorised = re.findall(r"stablehlo.cholesky.*tensor<(\S+)>", module)
        assert factorised
        assert all(shape.endswith("f32") and "complex" not in shape for shape in factorised)
