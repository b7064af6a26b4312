"""Layers, cells and the HRNet backbone give the outputs and input gradients of the authors' code for equal weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snraware_jax.models.attention import TemporalAttention
from snraware_jax.models.backbones import HRNet
from snraware_jax.models.cells import Cell, ConvolutionModule
from snraware_jax.models.layers import Downsample, Upsample, make_norm
from snraware_jax.models.settings import ModelSettings
from tests.parity import torch_names

RNGS = nnx.Rngs(0)
CELL_SHAPE = (16, 16, 8)


def cell(kind, norm):
    return Cell(kind, CELL_SHAPE, ModelSettings(channels=8, heads=4, mixer_ratio=2.0, norm=norm, patch=(4, 16, 16)), rngs=RNGS)


def hrnet(cells):
    return HRNet(ModelSettings(cells=cells, channels=4, heads=4, mixer_ratio=2.0, patch=(4, 16, 16)), rngs=RNGS)


MODULES = {
    "norm_layer": lambda: make_norm("layer", (8, 8, 6)),
    "norm_instance2d": lambda: make_norm("instance2d", (8, 8, 6)),
    "downsample_N1": lambda: Downsample(4, 8, 1, rngs=RNGS),
    "downsample_N2": lambda: Downsample(4, 16, 2, rngs=RNGS),
    "upsample_N1_linear": lambda: Upsample(8, 4, 1, rngs=RNGS),
    "upsample_N2_linear": lambda: Upsample(8, 4, 2, rngs=RNGS),
    "att_temporal_channel_cos": lambda: TemporalAttention(6, 8, heads=4, rngs=RNGS),
    "att_conv2d_8to8_layer": lambda: ConvolutionModule(CELL_SHAPE, (3, 3), "layer", rngs=RNGS),
    "att_conv3d_8to8_layer": lambda: ConvolutionModule(CELL_SHAPE, (3, 3, 3), "layer", rngs=RNGS),
    "cell_T1_layer": lambda: cell("T1", "layer"),
    "cell_T1_instance2d": lambda: cell("T1", "instance2d"),
    "cell_C3_layer": lambda: cell("C3", "layer"),
    "cell_C2_instance2d": lambda: cell("C2", "instance2d"),
    "hrnet2_T1_C3_layer": lambda: hrnet("T1,C3"),
}


@pytest.mark.parametrize("name", MODULES)
def test_output_and_input_gradient(name, shared):
    golden = torch_names.read(shared / "goldens" / "models" / f"{name}.npz")
    module = MODULES[name]()
    torch_names.load(module, golden.weights)

    @jax.jit
    def run(x, cotangent):
        output, pull = jax.vjp(module, x)
        return output, pull(cotangent)[0]

    output, grad_input = run(jnp.asarray(golden.input), jnp.asarray(golden.cotangent))

    for ours, theirs in ((output, golden.output), (grad_input, golden.grad_input)):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.std(theirs))
