"""A wrong configuration ends with one sentence that names the field and the fix, before anything is written."""

import json

import pytest

from configs import ablation, base, hrnet_cnnt, laptop, upstream
from launch import program, training
from snraware_jax.errors import InputError
from snraware_jax.training import configuration


def changed(**fields):
    config = base.get_config("quick")
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
    return config


SHIPPED = [
    *(hrnet_cnnt.get_config(size) for size in ("paper", "quick", "small")),
    *(laptop.get_config(size) for size in ("short", "long")),
    *(upstream.get_config(size) for size in ("paper", "quick")),
    *(ablation.get_config(mode) for mode in ablation.MODES),
]


@pytest.mark.parametrize("config", SHIPPED)
def test_shipped_configurations_are_valid(config):  # raises if not
    configuration.validate(config, devices=min(8, config.batch_size))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 12}, "batch_size is 12: it does not divide over 8 devices, --config.batch_size=16"),
        ({"mesh__fsdp": 3}, "--config.mesh.fsdp=1"),
        ({"mesh__fsdp": 0}, "mesh.fsdp is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"train__steps": -5}, "train.steps is -5"),
        ({"evaluation__peak_snr": ()}, "evaluation.peak_snr is ()"),
        ({"evaluation__tile": (-1, 24, 24)}, "evaluation.tile is (-1, 24, 24)"),
        (
            {"model__norm": "instance2d", "evaluation__tile": (8, 23, 24)},
            "evaluation.tile (8, 23, 24): H, W are 23, 24 where",
        ),
        ({"noise__gaussian_sigmas": ()}, "noise.gaussian_sigmas is empty"),
        ({"optimizer__lr_peak": -1.0}, "optimizer.lr_peak"),
        ({"optimizer__name": "sgd"}, "choose one of adamw, lion"),
        ({"noise__sigma_min": 50.0}, "noise.sigma_min 50.0 and sigma_max 32.0"),
        ({"noise__order": "both"}, "noise.order"),
        ({"model__heads": 3}, "model.heads 3 does not divide"),
        ({"data__patch": (8, 23, 25)}, "data.patch (8, 23, 25): 2 levels of a hrnet need H and W in multiples of 2"),
        ({"model__backbone": "resnet"}, "choose one of hrnet, unet, stack"),
        ({"model__dtype": "float17"}, "model.dtype"),
        ({"evaluation__tile": (8, 64, 64)}, "--config.evaluation.tile=8,24,24"),
        ({"evaluation__overlap": (16, 8, 8)}, "less overlap than its tile"),
        ({"train__steps": 0, "train__epochs": 0}, "no budget"),
        ({"data__simulation__subjects": (8, 0, 1)}, "data.simulation.subjects"),
        ({"loss__charbonnier": -1.0}, "loss"),
        ({"train__steps": 0, "train__minutes": -1.0}, "give minutes, or 0"),
        ({"train__minutes": 5.0}, "there is `train.steps` too"),
        ({"train__accumulate": 0}, "train.accumulate is 0"),
        ({"batch_size": 8, "train__accumulate": 2}, "8 devices x 2 parts, --config.batch_size=16"),
        ({"train__stuck_minutes": 0.0}, "--config.train.stuck_minutes=15.0"),
        ({"optimizer__cycle_momentum": True}, "for sign_momentum alone"),
        ({"profile__steps": "13:10"}, "--config.profile.steps=10:13"),
    ],
)
def test_impossible_values_are_refused(fields, message):
    with pytest.raises(InputError) as error:
        configuration.validate(changed(**fields), devices=8)
    assert message in str(error.value)


def test_settings_of_the_simulator_are_refused_before_anything_is_written():
    with pytest.raises(InputError, match="calibration_lines is 16: g-maps to R = 8 need 25 or more"):
        training.simulator_settings(changed(data__simulation__calibration_lines=16))


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.train.lr_peek=1", "unknown key train.lr_peek; did you mean optimizer.lr_peak?"),
        ("--config.trian.steps=1", "unknown key trian.steps; did you mean train.steps?"),
        ("--config.train=1", "unknown key train"),
        ("--config.mesh.shape=1", "unknown key mesh.shape; fields are mesh.fsdp"),
    ],
)
def test_misspelt_fields_are_refused_with_the_nearest_one(flag, message):
    with pytest.raises(InputError) as error:
        program.check_overrides(["train.py", "--config=configs/hrnet_cnnt.py:quick", flag])
    assert message in str(error.value)


def test_missing_configurations_are_named():
    with pytest.raises(InputError, match="there are .*configs/hrnet_cnnt.py"):
        program.load_config("configs/nothing.py")
    with pytest.raises(InputError, match="size 'large' does not exist"):
        program.load_config("configs/hrnet_cnnt.py:large")
    with pytest.raises(InputError, match="nothing behind the colon"):
        program.load_config("configs/hrnet_cnnt.py:")
    with pytest.raises(InputError, match="README.md: not a configuration"):
        program.load_config("README.md")


def test_a_workdir_belongs_to_one_configuration(tmp_path):
    workdir = tmp_path / "run"
    configuration.keep(changed(), workdir)
    configuration.keep(changed(), workdir)
    configuration.keep(changed(train__log_every=3), workdir)
    with pytest.raises(InputError, match=r"made by another configuration \(seed 0 -> 1\)"):
        configuration.keep(changed(seed=1), workdir)
    assert json.loads((workdir / "config.json").read_text())["seed"] == 0
    assert configuration.restore(workdir, base.get_config()).train.steps == base.get_config("quick").train.steps


@pytest.mark.parametrize("config", SHIPPED)
def test_what_a_workdir_keeps_is_what_it_was_trained_with(config, tmp_path):
    configuration.keep(config, tmp_path / "run")
    restored = configuration.restore(tmp_path / "run", base.get_config())
    assert configuration.flatten(restored) == configuration.flatten(config)
    configuration.keep(restored, tmp_path / "run")


def test_losses_that_leave_others_out_can_go_on(tmp_path):
    config = changed()
    with config.unlocked():
        config.loss = {"mse": 1.0}
    for _ in range(2):
        configuration.keep(config, tmp_path)
    with pytest.raises(InputError, match=r"loss.gradient None -> 1.0"):
        configuration.keep(changed(), tmp_path)


def test_weights_that_are_none_leave_no_trace(tmp_path):
    (tmp_path / "wrong.npz").write_bytes(b"PK")
    workdir = tmp_path / "run"
    with pytest.raises(InputError, match=r"wrong\.npz"):
        configuration.keep(changed(vgg_weights=str(tmp_path / "wrong.npz")), workdir)
    assert not workdir.exists()
    configuration.keep(changed(), workdir)


def test_a_workdir_belongs_to_its_records(tmp_path):
    begun = {"train": "12 records ab", "validation": "2 records cd"}
    configuration.keep_records(tmp_path, begun)
    configuration.keep_records(tmp_path, begun)
    with pytest.raises(InputError, match=r"other records \(train: 12 records ab -> 13 records ef\); give another --workdir"):
        configuration.keep_records(tmp_path, begun | {"train": "13 records ef"})


def test_losses_cannot_be_added_on_the_way(tmp_path):
    begun, later = changed(), changed()
    with begun.unlocked(), later.unlocked():
        begun.loss, later.loss = {"mse": 1.0}, {"mse": 1.0, "perceptual": 1.0}
    configuration.keep(begun, tmp_path)
    with pytest.raises(InputError, match=r"loss.perceptual None -> 1.0"):
        configuration.compare(later, tmp_path)


def test_a_host_may_have_its_own_files_and_threads():
    fields = configuration.of_all_hosts
    assert fields(changed(data__threads=7, data__path="/of/this/host")) == fields(changed())
    assert fields(changed(train__evaluate_every=7)) != fields(changed())


def test_a_start_that_was_killed_can_be_made_again(tmp_path):
    configuration.lock(tmp_path).close()
    (tmp_path / ".config-x2f4.json").write_text('{"seed": ')
    configuration.keep(changed(), tmp_path)
    configuration.compare(changed(), tmp_path)


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="not empty and not a workdir"):
        configuration.keep(changed(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_workdir_has_one_writer(tmp_path):
    with configuration.lock(tmp_path), pytest.raises(InputError, match="another training is running"):
        configuration.lock(tmp_path)
    configuration.lock(tmp_path).close()


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"seed": 0}', "\ufffd"])
def test_a_damaged_config_json_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json: (damaged|lacks)"):
        configuration.restore(tmp_path, base.get_config())
