"""The network that a training run found best, ready to denoise."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from snraware_jax.inference.denoiser import Denoiser, make_denoiser
from snraware_jax.training import checkpoint
from snraware_jax.training.run import Run, assemble


class Best(NamedTuple):
    """What a run consists of, the step that validation chose, the parameters (EMA) of that step, and the network with them."""

    run: Run
    step: int
    params: Any
    denoise: Denoiser


def restore(config: ConfigDict, workdir: Path) -> Best:
    """The best parameters of WORKDIR in the network of a configuration, tiled as it says.

    Raises:
      InputError: if there are no usable parameters.
    """
    config = config.copy_and_resolve_references()
    config.mesh.fsdp = 1
    run = assemble(config, 1, jax.local_devices()[:1])
    step, params, _ = checkpoint.restore(workdir / "best", run.abstract_state.ema, together=False)
    denoise = make_denoiser(run.graphdef, params, tile=config.evaluation.tile, overlap=config.evaluation.overlap)
    return Best(run, step, params, denoise)
