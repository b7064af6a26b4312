"""Whole networks: counts, what a call may rely on, options that must not change the result."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from launch import program
from snraware_jax.errors import InputError
from snraware_jax.models import ModelSettings, build
from snraware_jax.models.table2 import NETWORKS, RELEASED, parameters
from snraware_jax.training import configuration

# one level compiles in a third of the time of two, which the goldens cover
TINY = ModelSettings(cells="T1C3", channels=4, levels=1, heads=2, mixer_ratio=2.0, patch=(3, 8, 8))


def inputs(*shape, seed=0):
    noisy = jax.random.normal(jax.random.key(seed), (*shape, 2))
    return jnp.concatenate([noisy, jnp.ones((*shape, 1))], axis=-1)


def apply(settings, dtype=jnp.float32):
    """(jitted call of (params, x, key), params)."""
    graphdef, params = nnx.split(build(settings, dtype=dtype))
    return jax.jit(lambda params, x, key=None: nnx.merge(graphdef, params)(x, key)), params


# the paper's counts minus 2 (docs/decisions.md), and those of the released weights
COUNTS = {
    "hrnet_cnnt_large": 54_678_304, "hrnet_cnnt": 27_485_137, "hrnet_swin3d": 54_664_834, "hrnet_vit3d": 27_478_402,
    "hrnet_conv3d": 22_815_889, "hrnet_vit2d": 17_746_306, "hrnet_conv2d": 20_382_865, "unet_cnnt_large": 48_880_416,
    "unet_cnnt": 25_226_193, "unet_swin3d": 49_309_314, "unet_vit3d": 25_661_826, "unet_conv3d": 18_787_473,
    "unet_vit2d": 15_487_362, "unet_conv2d": 16_206_993, "imaging_transformer_small": 27_701_329,
    "imaging_transformer_medium": 55_110_688, "imaging_transformer_large": 109_929_406,
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_of_table_2_and_of_the_released_weights(name):
    assert parameters(name) == COUNTS[name]


def test_table_2_is_complete_in_this_test():
    assert set(NETWORKS | RELEASED) == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_configurations_are_these_networks(name):
    file, size = f"configs/{name}.py", ""
    if name.startswith("imaging_transformer"):
        file, size = "configs/imaging_transformer.py", f":{name.rpartition('_')[2]}"
    config = program.load_config(file + size)
    assert dataclasses.replace(configuration.model_settings(config), remat=False) == (NETWORKS | RELEASED)[name]
    configuration.validate(program.load_config(f"{file}:quick"), devices=1)


def test_small_network_has_96_thousand_parameters():
    assert 95_000 < parameters(ModelSettings(backbone="stack", head="filter_bank", channels=32)) < 97_000


@pytest.mark.parametrize(
    ("backbone", "levels", "size"),
    [("hrnet", 2, 32), ("hrnet", 3, 32), ("hrnet", 4, 64), ("hrnet", 5, 64), ("unet", 1, 16), ("unet", 2, 32), ("unet", 4, 64)],
)
def test_levels_fit_together(backbone, levels, size):
    # patches of deep levels are single pixels, which G1 cannot halve
    strings = ["T1L1V2", "C3S3V3Sh", "G1C2"] if levels < 4 else ["T1L1G1", "C3S3V3Sh", "L1V2"]
    cells = ",".join(strings[: levels + (backbone == "unet")])
    settings = ModelSettings(
        backbone=backbone, cells=cells, channels=4, levels=levels, heads=2, window_heads=4, patch=(3, size, size),
        relative_bias=True, gates=backbone == "unet",
    )  # fmt: skip
    graphdef, params = nnx.split(nnx.eval_shape(lambda: build(settings)))
    x = jax.ShapeDtypeStruct((1, 3, size, size, 3), jnp.float32)
    output = jax.eval_shape(
        lambda params, x: nnx.merge(graphdef, params)(x, jax.random.split(jax.random.key(0), len(x))), params, x
    )
    assert output.shape == (1, 3, size, size, 2)


@pytest.mark.parametrize(("backbone", "cells"), [("unet", "T1L1V2,V3S3Sh"), ("hrnet", "G1C2C3")])
def test_every_kind_of_cell_computes(backbone, cells):
    """Bigger sizes compile for minutes; the goldens have them. bfloat16 stays close, gradients are finite at zero."""
    settings = ModelSettings(
        backbone=backbone, cells=cells, channels=4, levels=1, heads=2, window_heads=4, window=(2, 4, 4), window_patch=(2, 2),
        mixer_ratio=0.0, patch=(3, 8, 8), gates=backbone == "unet", relative_bias=True,
    )  # fmt: skip
    exact, params = apply(settings)
    rough, _ = apply(settings, jnp.bfloat16)
    x = inputs(1, 3, 8, 8)
    error = np.std(rough(params, x) - exact(params, x)) / np.std(exact(params, x))
    assert 1e-4 < error < 0.05
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(exact(params, jnp.zeros_like(x)))))(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("kind", ["T1", "L1", "G1", "V2", "V3", "S3", "Sh", "C2", "C3"])
def test_nothing_is_transposed_between_cells(kind):
    """Attention sorts its tokens by group and head; cells hand each other `[B, T, H, W, C]` as it lies in memory (on accelerators)."""

    def transposes(cells):
        settings = dataclasses.replace(TINY, cells=cells, window=(2, 4, 4), window_patch=(2, 2), window_heads=2, norm="channel")
        graphdef, params = nnx.split(nnx.eval_shape(lambda: build(settings)))
        call = jax.jit(lambda params, x: nnx.merge(graphdef, params)(x))
        traced = call.trace(params, jax.ShapeDtypeStruct((1, 3, 8, 8, 3), jnp.float32))
        return traced.lower(lowering_platforms=("tpu",)).as_text().count("stablehlo.transpose")

    of_frame, of_one, of_two = transposes("C2"), transposes(kind), transposes(2 * kind)
    assert of_two - of_one == of_one - of_frame
    assert (of_one > of_frame) == (kind not in ("C2", "C3"))


def test_a_network_holds_nothing_but_float32_parameters():
    _, state = nnx.split(build(TINY, dtype=jnp.bfloat16))
    leaves = jax.tree.leaves(state, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
    assert all(isinstance(leaf, nnx.Param) and leaf.dtype == jnp.float32 for leaf in leaves)


def test_the_seed_decides_the_parameters():
    first = [jax.tree.leaves(nnx.state(build(TINY, seed=seed)))[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])


def test_bfloat16_stays_close_to_float32():
    x = inputs(1, 3, 8, 8)
    exact, params = apply(TINY)
    rough, _ = apply(TINY, jnp.bfloat16)
    expected, found = exact(params, x), rough(params, x)
    assert found.dtype == jnp.float32
    error = np.std(found - expected) / np.std(expected)
    assert 1e-4 < error < 0.05  # it is bfloat16, and it is close


def test_remat_changes_neither_value_nor_gradient():
    x, keys = inputs(2, 3, 8, 8), jax.random.split(jax.random.key(1), 2)
    results = []
    for remat in (False, True):
        call, params = apply(dataclasses.replace(TINY, cells="T1", remat=remat))
        results.append(jax.jit(jax.value_and_grad(lambda p, call=call: jnp.sum(jnp.sin(call(p, x, keys)))))(params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * (1e-3 + np.max(np.abs(b)))), *results)


def test_remat_computes_cells_again():
    call, params = apply(dataclasses.replace(TINY, remat=True))
    assert "remat" in str(jax.make_jaxpr(call)(params, inputs(1, 3, 8, 8)))


def test_training_is_random_by_sample_and_inference_is_not():
    call, params = apply(dataclasses.replace(TINY, stochastic_depth=0.5))
    x = jnp.repeat(inputs(1, 3, 8, 8), 6, axis=0)
    inference = call(params, x)
    np.testing.assert_allclose(inference, inference[:1] * np.ones((6, 1, 1, 1, 1)), atol=1e-5)
    keys = jax.random.split(jax.random.key(0), len(x))
    training = call(params, x, keys)
    np.testing.assert_allclose(training[:2], call(params, x[:2], keys[:2]), atol=1e-5)
    assert len({float(sample) for sample in jnp.sum(training**2, axis=(1, 2, 3, 4))}) > 1


def test_forward_and_reverse_mode_through_an_evaluation():
    """Noise maps and SURE push directions through the network: <u, J v> from the one mode is <J^T u, v> from the other."""
    for settings in (dataclasses.replace(TINY, remat=True), ModelSettings(backbone="stack", head="filter_bank", channels=4)):
        call, params = apply(settings)
        x, v, u = inputs(1, 3, 8, 8), inputs(1, 3, 8, 8, seed=1), inputs(1, 3, 8, 8, seed=2)[..., :2]

        @jax.jit
        def both(x, call=call, params=params, v=v, u=u):
            of_x = lambda x: call(params, x)
            pushed = jax.jvp(of_x, (x,), (v,))[1]
            return jnp.vdot(u, pushed), jnp.vdot(jax.vjp(of_x, x)[1](u)[0], v), jnp.std(pushed)

        forward, reverse, spread = both(x)
        assert spread > 0
        np.testing.assert_allclose(forward, reverse, rtol=1e-4, atol=1e-4 * spread * np.sqrt(u.size))


@pytest.mark.parametrize("head", ["none", "filter_bank"])
@pytest.mark.parametrize("size", [(1, 7, 9), (2, 6, 5)], ids=["one-frame", "odd-width"])
def test_stack_takes_any_size(head, size):
    call, params = apply(ModelSettings(backbone="stack", head=head, channels=4))
    output = call(params, inputs(1, *size))
    assert output.shape == (1, *size, 2)
    assert np.all(np.isfinite(output))


def test_one_frame_through_the_hrnet():
    call, params = apply(dataclasses.replace(TINY, cells="C3", head="filter_bank"))
    assert np.all(np.isfinite(call(params, inputs(1, 1, 8, 8))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "resnet"}, "model.backbone is 'resnet'"),
        ({"cells": "T1S2"}, r"'S2' is not a cell, which has two characters; these exist: T1 .*Sh .*C2"),
        ({"window": (8, 8)}, r"model.window is \(8, 8\): give 3 whole number"),
        ({"window_heads": 0}, "model.window_heads is 0"),
        ({"backbone": "unet", "patch": (16, 62, 64)}, "2 levels of a unet need H and W in multiples of 4"),
        ({"cells": ""}, "a level has no cells"),
        ({"cells": None}, "model.cells is None: give str"),
        ({"levels": True}, "model.levels is True: give int"),
        ({"mixer_ratio": float("inf")}, "model.mixer_ratio is inf"),
        ({"heads": 48}, "does not divide the 64 channels"),
        ({"norm": "batch"}, "choose one of layer, channel, instance2d, none"),
        ({"head": "skip"}, "model.head"),
        ({"patch": (16, 63, 64)}, "multiples of 2"),
        ({"levels": 0}, "model.levels"),
        ({"gates": True}, "a hrnet has no gates"),
        ({"cells": "T1,T1,C3"}, r"more than the 2 strings that 2 level\(s\) can use"),
        ({"patch": (64, 64)}, r"data.patch is \(64, 64\): give 3 whole numbers"),
        ({"window": (16, 8.5, 8)}, "model.window is"),
        ({"mixer_ratio": -1.0}, "model.mixer_ratio"),
        ({"stochastic_depth": 1.0}, "model.stochastic_depth"),
    ],
)
def test_settings_name_the_field_and_the_choices(change, message):
    with pytest.raises(ValueError, match=message):
        ModelSettings(**change)


@pytest.mark.parametrize(
    "settings",
    [
        TINY,
        dataclasses.replace(TINY, input="complex"),
        dataclasses.replace(TINY, input="magnitude"),
        dataclasses.replace(TINY, head="filter_bank"),
        ModelSettings(backbone="stack", channels=4),
    ],
    ids=["hrnet", "without g", "magnitude", "filter bank", "stack"],
)
def test_another_input_is_refused(settings):
    call, params = apply(settings)
    for shape in ((1, 3, 8, 8, 2), (1, 3, 8, 8, 4), (3, 8, 8, 3), (0, 3, 8, 8, 3), (1, 3, 0, 8, 3)):
        with pytest.raises(ValueError, match=r"real \[B, T, H, W, 3\] is expected: real part, imaginary part and g-map"):
            call(params, jnp.zeros(shape))
    with pytest.raises(ValueError, match="x is complex64"):
        call(params, jnp.zeros((1, 3, 8, 8, 3), jnp.complex64))


def test_a_tile_that_windows_do_not_divide_is_refused_before_training():
    config = program.load_config("configs/hrnet_vit2d.py:quick")
    with config.unlocked():
        config.model.norm = "channel"
        config.evaluation.tile = (8, 26, 24)
    with pytest.raises(InputError, match=r"evaluation.tile \(8, 26, 24\): H is 26, which windows and patches do not fill"):
        configuration.validate(config, devices=1)


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(ValueError, match="hrnet_cnnt_large, hrnet_cnnt"):
        build("unet_cnn")


def test_only_networks_are_built_and_in_two_precisions():
    with pytest.raises(ValueError, match="3 is no network"):
        build(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        build(TINY, dtype="float16")
