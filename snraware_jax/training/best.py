"""A trained network ready to be tested: that which a run found best, or that of a bundle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import nnx
from ml_collections import ConfigDict

from data_pipeline.sources import digest
from snraware_jax.inference import bundle, denoiser
from snraware_jax.inference.bundle import Tiling
from snraware_jax.inference.denoiser import Denoiser
from snraware_jax.noise import NoiseSettings
from snraware_jax.training import checkpoint, configuration
from snraware_jax.training.run import assemble


class Best(NamedTuple):
    """A network, and what a test has to know of it.

    Attributes:
      graphdef, params: the network, as `nnx.split` gives it; of a run the EMA of the step that validation chose.
      magnitude: whether it is of magnitudes.
      noise: that it was trained with.
      tiling: that it is tested with; 0 is the whole axis.
      step: of the training; None if it is not known.
      configuration: the digest of the run's configuration, or of the bundle.
    """

    graphdef: nnx.GraphDef
    params: Any
    magnitude: bool
    noise: NoiseSettings
    tiling: Tiling
    step: int | None
    configuration: str

    @property
    def parameters(self) -> int:
        """How many."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))

    def denoiser(self) -> Denoiser:
        """The network as a function of an image and its g-map."""
        return denoiser.make_denoiser(self.graphdef, self.params, **self.tiling._asdict())

    def whole(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """The same as one function of JAX, a `Partial`."""
        return denoiser.whole(self.graphdef, self.params, **self.tiling._asdict())


def restore(config: ConfigDict, workdir: Path) -> Best:
    """The best parameters of WORKDIR in the network of a configuration, tiled as it says.

    Raises:
      InputError: if there are no usable parameters.
    """
    config = config.copy_and_resolve_references()
    config.mesh.fsdp = 1
    run = assemble(config, 1, jax.local_devices()[:1])
    step, params, _ = checkpoint.restore(workdir / "best", run.abstract_state.ema, together=False)
    configured = digest((workdir / "config.json").read_text())
    tiling = Tiling(config.evaluation.tile, config.evaluation.overlap)
    return Best(run.graphdef, params, run.magnitude, run.noise, tiling, step, configured)


def of_bundle(config: ConfigDict, found: bundle.Bundle) -> Best:
    """The network of a bundle; the noise is that of the configuration: the bundle's own or, of imported weights, the paper's."""
    graphdef, state = nnx.split(found.network)
    noise, step = configuration.noise_settings(config), found.card.get("step")
    return Best(graphdef, nnx.to_pure_dict(state), found.settings.magnitude, noise, found.tiling, step, found.sha256[:16])
