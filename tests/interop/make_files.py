"""Writes tests/interop/data, a small network in every format of PyTorch by torch 2.13 and safetensors, without this project.

python tests/interop/make_files.py
"""

import argparse
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "data"
CHANNELS, HEADS, SIZE = 2, 2, (4, 8, 8)
CELL = {
    "n1.ln.weight": (2, 8, 8), "n1.ln.bias": (2, 8, 8), "n2.ln.weight": (2, 8, 8), "n2.ln.bias": (2, 8, 8),
    "attn.query.conv.weight": (2, 2, 3, 3), "attn.query.conv.bias": (2,),
    "attn.key.conv.weight": (2, 2, 3, 3), "attn.key.conv.bias": (2,),
    "attn.value.conv.weight": (2, 2, 3, 3), "attn.value.conv.bias": (2,),
    "attn.output_proj.conv.weight": (2, 2, 3, 3), "attn.output_proj.conv.bias": (2,),
    "mlp.0.conv.weight": (4, 2, 3, 3), "mlp.0.conv.bias": (4,), "mlp.1.weight": (1,),
    "mlp.2.conv.weight": (2, 4, 3, 3), "mlp.2.conv.bias": (2,),
}  # fmt: skip
SHAPES = {
    "pre.conv.weight": (2, 3, 3, 3), "pre.conv.bias": (2,), "post.conv.weight": (2, 2, 3, 3), "post.conv.bias": (2,),
    **{f"bk.{block}.block.cell_0.{name}": shape for block in ("B00", "output_B0") for name, shape in CELL.items()},
}  # fmt: skip
CONFIG = """model:
  backbone:
    _target_: snraware.components.model.config.HRNetConfig
    name: HRnet
    num_of_channels: 2
    num_resolution_levels: 1
    block_str: [T1]
    block:
      cell_type: sequential
      block_dense_connection: false
      cell: {attention_type: conv, mixer_type: conv, window_size: [8, 8, 4], patch_size: [4, 4, 2], window_sizing_method: mixed,
             n_head: 2, scale_ratio_in_mixer: 2.0, normalize_Q_K: true, cosine_att: true, att_with_relative_position_bias: true,
             dropout_p: 0.1, att_with_output_proj: true, norm_mode: layer, activation_func: prelu, upsample_method: linear}
dataset:
  cutout_shape: [8, 8, 4]
"""


class Holder(torch.nn.Module):
    """Modules inside modules that hold tensors under the names of a state dict."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def put(self, name: str, tensor: torch.Tensor) -> None:
        """Registers a parameter, or a buffer if it is no float."""
        first, _, rest = name.partition(".")
        if not rest:
            keep = self.register_parameter if tensor.is_floating_point() else self.register_buffer
            keep(first, torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor)
            return
        if first not in self._modules:
            self.add_module(first, Holder())
        self._modules[first].put(rest, tensor)


def main() -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    masks = {f"bk.{block}.block.cell_0.attn.mask": torch.ones(1, 1, 4, 4, dtype=torch.bool) for block in ("B00", "output_B0")}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "tiny.yaml").write_text(CONFIG)
    np.savez(FOLDER / "tiny.npz", **arrays)
    holder = Holder()
    for name, tensor in (tensors | masks).items():
        holder.put(name, tensor)
    torch.save(holder.state_dict(), FOLDER / "tiny.pt")
    save_file(tensors, FOLDER / "tiny.safetensors")

    # as a trainer writes it: the network is one part, beside it objects of other packages
    optimizer = {"state": {0: {"step": 3, "mean": torch.ones(2)}}, "param_groups": [{"lr": 1e-5}]}
    parts = {"state_dict": {f"model.{name}": tensor for name, tensor in tensors.items()}, "optimizer_states": [optimizer]}
    torch.save(
        parts | {"hyper_parameters": argparse.Namespace(path=Path("x"), pattern=re.compile("x"))}, FOLDER / "tiny.ckpt.pth"
    )

    # views of one storage, in other dtypes, transposed
    weight = tensors["pre.conv.weight"]
    other = {"half": weight.half(), "brain": weight.bfloat16(), "double": weight.double()}
    together = torch.arange(12, dtype=torch.float32)
    views = {
        "whole": together.reshape(3, 4),
        "transposed": together.reshape(3, 4).T,
        "row": together.reshape(3, 4)[1],
        "one": together[5],
    }
    torch.save(other | views | {"empty": torch.zeros(0, 3)}, FOLDER / "views.pt")

    torch.jit.save(torch.jit.trace(holder, torch.zeros(1)), FOLDER / "tiny.pts")
    torch.save(tensors, FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
