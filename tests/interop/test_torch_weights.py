"""Checkpoints and their configuration become networks, and go back; what does not belong together is named."""

from pathlib import Path

import numpy as np
import pytest

from snraware_jax import cli
from snraware_jax.errors import InputError
from snraware_jax.inference import bundle
from snraware_jax.interop import torch_config, torch_names, torch_weights
from snraware_jax.models import ModelSettings, build

DATA = Path(__file__).parent / "data"
NETWORKS = {
    "hrnet": ModelSettings(cells="T1L1,C3V2", channels=4, heads=2, window_heads=4, relative_bias=True, patch=(4, 16, 16)),
    "unet": ModelSettings(
        backbone="unet", cells="C2,V3", channels=4, window_heads=4, gates=True, mixer_ratio=0.0, patch=(4, 16, 16)
    ),
}


@pytest.mark.parametrize("name", ["tiny.pt", "tiny.pts", "tiny.safetensors", "tiny.ckpt.pth"])
def test_a_checkpoint_with_its_configuration(name):
    settings, network = torch_weights.load(DATA / name, DATA / "tiny.yaml")
    assert settings == ModelSettings(
        cells="T1", channels=2, levels=1, heads=2, window=(4, 8, 8), relative_bias=True, mixer_ratio=2.0, patch=(4, 8, 8)
    )
    found = torch_names.state_dict(network)
    with np.load(DATA / "tiny.npz") as expected:
        assert found.keys() == set(expected.files)
        for tensor, values in found.items():
            np.testing.assert_array_equal(values, expected[tensor])


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_go_there_and_back(name):
    first, second = (build(NETWORKS[name], seed=seed) for seed in (0, 1))
    weights = torch_names.state_dict(first)
    torch_names.load(second, weights)
    for tensor, values in torch_names.state_dict(second).items():
        np.testing.assert_array_equal(values, weights[tensor])


def test_tensors_that_are_missing_or_left_over_are_named():
    network = build(NETWORKS["hrnet"])
    weights = torch_names.state_dict(network)
    weights["bk.extra.weight"] = weights.pop("pre.conv.bias")
    with pytest.raises(
        InputError, match=r"1 tensors are missing \(pre.conv.bias\); 1 tensors are left over \(bk.extra.weight\)"
    ):
        torch_names.load(network, weights)


@pytest.mark.parametrize(
    "name", ["pre.conv.weight", "bk.B00.block.cell_0.attn.key.conv.weight", "bk.B00.block.cell_0.mlp.1.weight"]
)
def test_tensors_of_another_shape_are_named_and_change_nothing(name):
    network = build(NETWORKS["hrnet"])
    weights = torch_names.state_dict(build(NETWORKS["hrnet"], seed=1))
    before = torch_names.state_dict(network)
    weights[name] = np.concatenate([weights[name], weights[name]])
    with pytest.raises(
        InputError, match=rf"{name} is \({weights[name].shape[0]},.*the configuration wants \({len(before[name])},"
    ):
        torch_names.load(network, weights)
    for tensor, values in torch_names.state_dict(network).items():
        np.testing.assert_array_equal(values, before[tensor])


def test_weights_that_are_not_finite_are_refused():
    network = build(NETWORKS["hrnet"])
    weights = torch_names.state_dict(network)
    weights["post.conv.bias"] = weights["post.conv.bias"] * np.nan
    with pytest.raises(InputError, match=r"post.conv.bias has values that are not finite"):
        torch_names.load(network, weights)


def test_positions_in_the_authors_order_of_three_axes_are_refused():
    network = build(ModelSettings(cells="V3", channels=8, window=(2, 8, 8), relative_bias=True, patch=(4, 16, 16), levels=1))
    weights = torch_names.state_dict(network)
    index = "bk.B00.block.cell_0.attn.relative_position_index"
    weights[index] = weights[index].T
    with pytest.raises(InputError, match="count relative positions in another order"):
        torch_names.load(network, weights)


def test_swin_weights_of_the_authors_are_refused():
    with pytest.raises(InputError, match="never reads their values"):
        torch_names.state_dict(build(ModelSettings(cells="S3", channels=8, levels=1, patch=(4, 16, 16))))


def test_networks_that_the_authors_do_not_have_are_refused():
    with pytest.raises(InputError, match="ChannelNorm is not a part"):
        torch_names.state_dict(build(ModelSettings(cells="C2", channels=4, levels=1, norm="channel", patch=(4, 16, 16))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("norm_mode: layer -> norm_mode: batch2d", "norm_mode is 'batch2d': networks here have layer or instance2d"),
        ("block_str: [T1] -> block_str: [L3]", "'L3' is not a cell"),
        ("name: HRnet -> name: SOANet", "backbone 'SOANet'"),
        ("activation_func: prelu -> activation_func: gelu", "activation_func is 'gelu'"),
        ("n_head: 2,  -> ", "n_head is missing"),
        ("num_of_channels: 2 -> num_of_channels: 100000000000000", "the configuration wants"),  # takes no memory
        ("dropout_p: 0.1 -> dropout_p: null", "dropout_p is None"),
        ("window_size: [8, 8, 4] -> window_size: [true, 8, 4]", "window_size is"),
        ("num_of_channels: 2 -> num_of_channels: 4", "the configuration wants"),
        ("model: -> [", "not YAML"),
        ("n_head: 2 -> n_head: two", "n_head is 'two': expected is int"),
        ("window_size: [8, 8, 4] -> window_size: [8, 8]", r"window_size is \[8, 8\]: expected are three"),
        ("window_size: [8, 8, 4] -> window_size: 8", "window_size is 8: expected is list"),
        ("block_str: [T1] -> block_str: T1", "block_str is 'T1': expected is list"),
        ("block_str: [T1] -> block_str: []", "block_str is empty"),
        ("    block: -> \n    block: null\n    other:", "block is None: expected is Mapping"),
        ("cutout_shape: [8, 8, 4] -> cutout_shape: 8", "cutout_shape is 8"),
        ("cell: {att -> cell: {spatial_global: {shuffle_in_window: true}, att", "shuffle_in_window is True"),
    ],
)
def test_configurations_that_cannot_be_used(change, message, tmp_path):
    before, after = change.split(" -> ")
    path = tmp_path / "changed.yaml"
    text = (DATA / "tiny.yaml").read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(InputError, match=message):
        torch_weights.load(DATA / "tiny.pt", path)


def test_digits_of_cells_mean_nothing_after_t_l_and_g():
    config = torch_config.read(DATA / "tiny.yaml")
    config["model"]["backbone"]["block_str"] = ["T0L1G0C3Sh"]
    config["model"]["backbone"]["block"]["cell"]["patch_size"] = [2, 2, 2]
    assert torch_config.settings(config, (4, 16, 16)).cells == "T1L1G1C3Sh"


def test_the_bridge_of_a_unet_has_the_last_string():
    config = torch_config.read(DATA / "tiny.yaml")
    config["model"]["backbone"] |= {"name": "Unet", "block_str": ["T1", "C3", "C2", "T1T1"], "num_resolution_levels": 2}
    assert torch_config.settings(config, (4, 16, 16)).cells == "T1,C3,T1T1"
    config["model"]["backbone"] |= {"name": "HRnet"}
    assert torch_config.settings(config, (4, 16, 16)).cells == "T1,C3"


def test_a_missing_configuration_is_asked_for(tmp_path):
    (tmp_path / "alone.pt").write_bytes((DATA / "tiny.pt").read_bytes())
    with pytest.raises(InputError, match=r"no alone.yaml beside it .* give --config"):
        torch_weights.load(tmp_path / "alone.pt")


def test_import_on_the_command_line(tmp_path, capsys):
    output = tmp_path / "model.snr"
    assert cli.main(["import-weights", str(DATA / "tiny.pt"), "-o", str(output)]) == 0
    assert "hrnet of T1" in capsys.readouterr().out
    settings, network, card, *_ = bundle.load(output)
    assert settings.channels == 2
    assert card["imported_from"] == "tiny.pt"
    with np.load(DATA / "tiny.npz") as expected:
        np.testing.assert_array_equal(torch_names.state_dict(network)["post.conv.weight"], expected["post.conv.weight"])
    wrong = ["import-weights", str(DATA / "views.pt"), "--config", str(DATA / "tiny.yaml")]
    assert cli.main([*wrong, "-o", str(tmp_path / "no.snr")]) == 2
    assert "pre.conv.weight" in capsys.readouterr().err
    assert not (tmp_path / "no.snr").exists()


def test_the_golden_program(tmp_path, capsys, shared):
    golden, output = shared / "goldens" / "models" / "cell_T1_instance2d.npz", tmp_path / "out.npz"
    assert torch_weights.main(["--golden", str(golden), "--output", str(output)]) == 0
    with np.load(golden) as theirs, np.load(output) as ours:
        assert set(ours.files) == {"output", "grad_input"}
        for name in ours.files:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-5 * np.std(theirs[name]))
    assert torch_weights.main(["--golden", str(DATA / "tiny.npz"), "--output", str(tmp_path / "no.npz")]) == 2
    assert "not a golden" in capsys.readouterr().err
    assert not (tmp_path / "no.npz").exists()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("input", lambda a: a[:, 1:], "grad_input"),
        ("input", lambda a: a.astype(complex), "give real numbers"),
        ("input", lambda a: a[0], "give real numbers"),
        ("input", lambda a: np.nan * a, "not finite"),
        ("output", lambda a: a[:, :, :2], "cotangent is"),
        ("config", lambda a: np.array("3"), "config is 3"),
        ("config", lambda a: np.array('{"cls": "Cell", "kwargs": {}}'), "no network by its configuration"),
        ("sd/attn.key.conv.weight", lambda a: a + 1j, "weights are real numbers"),
    ],
)
def test_damaged_goldens_are_refused(name, change, message, tmp_path, capsys, shared):
    with np.load(shared / "goldens" / "models" / "cell_T1_instance2d.npz") as file:
        arrays = dict(file)
    golden, output = tmp_path / "damaged.npz", tmp_path / "out.npz"
    np.savez(golden, **(arrays | {name: change(arrays[name])}))
    assert torch_weights.main(["--golden", str(golden), "--output", str(output)]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not output.exists()


def test_a_golden_is_not_overwritten_by_its_results(tmp_path, capsys):
    golden = tmp_path / "golden.npz"
    golden.write_bytes(b"precious")
    assert torch_weights.main(["--golden", str(golden), "--output", f"{tmp_path}/./golden.npz"]) == 2
    assert "is the golden; give another --output" in capsys.readouterr().err
    assert golden.read_bytes() == b"precious"
