"""A network in ONNX Runtime gives the values of JAX; without the packages, or with an unknown operation, a message and no file."""

import importlib.util
import sys

import numpy as np
import pytest
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.inference import onnx
from snraware_jax.models import ModelSettings, build
from snraware_jax.models.platforms import one_program

TILE = (3, 8, 10)


def stack() -> nnx.Module:
    return build(
        ModelSettings(backbone="stack", cells="", channels=4, levels=1, heads=1, norm="none", head="filter_bank", patch=TILE)
    )


@pytest.mark.skipif(
    importlib.util.find_spec("jax2onnx") is None, reason="needs the extra onnx: pip install 'snraware-jax[onnx]'"
)
@pytest.mark.filterwarnings("ignore")
def test_parity(tmp_path):
    assert onnx.export(tmp_path / "model.onnx", stack(), TILE) < 1e-5
    assert (tmp_path / "model.onnx").is_file()


def test_without_the_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(InputError, match="pip install 'snraware-jax\\[onnx\\]'"):
        onnx.export(tmp_path / "model.onnx", stack(), TILE)
    assert not list(tmp_path.iterdir())


def test_one_program_has_no_choice_and_the_same_values():
    import jax

    for network in (stack(), build(ModelSettings(cells="C3", levels=1, channels=2, norm="channel", patch=TILE))):
        x = np.random.default_rng(0).normal(size=(1, *TILE, 3)).astype(np.float32)
        graphdef, state = nnx.split(network)

        def alone(x, graphdef=graphdef, state=state):
            with one_program():
                return nnx.merge(graphdef, state)(x)

        assert "platform_index" not in str(jax.make_jaxpr(alone)(x))
        np.testing.assert_allclose(jax.jit(alone)(x), network(x), rtol=1e-4, atol=1e-5)
