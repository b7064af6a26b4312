"""The paper's denoiser: convolution, backbone, convolution."""

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models.backbones import HRNet, UNet
from snraware_jax.models.channels import check_input
from snraware_jax.models.layers import Conv
from snraware_jax.models.settings import ModelSettings


class Denoiser(nnx.Module):
    """f = pre(x), b = backbone(f), y = post(b + f on the first channels); no residual on the image.

    Args:
      settings: of the backbone.
      inputs, outputs: channels; 3 (real, imaginary, g-map) and 2 (real, imaginary) without a head.
    """

    def __init__(
        self, settings: ModelSettings, inputs: int = 3, outputs: int = 2, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        self.inputs = inputs
        self.pre = Conv(inputs, settings.channels, rngs=rngs)  # float32, as `post`: image and result stay exact
        self.backbone = {"hrnet": HRNet, "unet": UNet}[settings.backbone](settings, dtype=dtype, rngs=rngs)
        self.post = Conv(self.backbone.out_channels, outputs, rngs=rngs)

    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, H, W, outputs]` float32; `keys` None is inference.

        H and W are multiples of `settings.step`, and those of `patch` where the norm is "layer".
        """
        check_input(x, self.inputs)
        features = self.pre(x)
        b = self.backbone(features, keys)
        first = features.shape[-1]
        b = jnp.concatenate([b[..., :first] + features, b[..., first:]], axis=-1)
        return self.post(b)
