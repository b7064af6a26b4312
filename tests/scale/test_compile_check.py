"""Ahead-of-time compilation: says what a program takes, whether it fits, or what is missing."""

import importlib.util
import json
import sys

import pytest

from configs import hrnet_cnnt
from launch import compilation
from snraware_jax.errors import InputError
from snraware_jax.training import configuration
from snraware_jax.training.run import assemble

GIB = 2**30
SMALL = {
    "data.patch": (2, 8, 8),
    "model.cells": "C2",
    "model.channels": 4,
    "model.levels": 1,
    "model.mixer_ratio": 1.0,
    "evaluation.tile": (2, 8, 8),
    "evaluation.overlap": (0, 0, 0),
    "batch_size": 16,
    "train.accumulate": 2,
}
FLAGS = ("--config=configs/hrnet_cnnt.py:quick", *(f"--config.{field}={value}" for field, value in SMALL.items()))
FIGURES = {
    "seconds": 60,
    "devices": 128,
    "batch": 512,
    "flops": 13.5e12,
    "in_loops": 0,
    "all_reduces": {"f32": 50_000_000, "bf16": 30_000_000},
}
FIGURES |= {"arguments": GIB, "output": 0, "temporary": 3 * GIB, "code": 0, "cycles": 400_000_000}
FIGURES |= {"collectives": {"all-reduce": 2}}
PROGRAM = """HloModule jit_train_step, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  ROOT %sum = f32[] add(%x, %y)
}

%body.7 (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %all-reduce.1 = f32[8]{0:T(256)} all-reduce(%g), channel_id=1, to_apply=%add, metadata={op_name="a = all-reduce(x)"}
  %exchange = (f32[8]{0}, f32[8]{0}) collective-permute-start(%all-reduce.1), backend_config={"estimated_cycles":"30"}
}

ENTRY %main.9 (p: f32[8]) -> f32[8] {
  %loop = (s32[], f32[8]) while(%t), condition=%cond.3, body=%body.7
  %start = (f32[2,3]{1,0:T(8,128)S(1)}, /*index=1*/bf16[4], pred[]) all-reduce-start(%a, %b, %c), channel_id=3, to_apply=%add
  %done = (f32[2,3]{1,0}, bf16[4], pred[]) all-reduce-done(%start), metadata={op_name="x all-gather(y)"}
  ROOT %fusion = f32[8]{0} fusion(%p), kind=kLoop, calls=%add, backend_config={"outer":{}, "estimated_cycles":"1000"}
}
"""


def test_collectives_are_counted_with_their_bytes_and_loops():
    found = compilation.collectives(PROGRAM)
    assert found == [
        ("all-reduce", {"f32": 32}, True),
        ("collective-permute", {"f32": 64}, True),
        ("all-reduce", {"f32": 4 * 6, "bf16": 2 * 4, "pred": 1}, False),
    ]
    assert compilation.summed(found, turns=3) == {"f32": 3 * 32 + 24, "bf16": 8, "pred": 1}
    assert compilation.collectives("ENTRY %main {\n  %dot = f32[8] dot(%a, %b)\n}\n") == []


def test_cycles_of_loops_count_for_every_turn():
    assert compilation.estimated_cycles(PROGRAM, turns=1) == 1030
    assert compilation.estimated_cycles(PROGRAM, turns=4) == 1120


@pytest.mark.parametrize("name", compilation.CHIPS)
def test_clocks_are_those_of_the_peak(name):
    """Matrix units: eight in v4 and v5p, four in v5e, of 128 x 128; four of 256 x 256 in v6e."""
    units = {"v4": 8 * 128**2, "v5e": 4 * 128**2, "v5p": 8 * 128**2, "v6e": 4 * 256**2}
    chip = compilation.CHIPS[name]
    assert chip.clock == pytest.approx(chip.peak / (2 * units[name]), rel=0.005)


@pytest.mark.parametrize(("topology", "chips", "gib"), [("v5e:16x8", 128, 16), ("v5p:4x4x8", 128, 95), ("v6e:2x2", 4, 32)])
def test_topologies(topology, chips, gib):
    chip = compilation.chip_of(topology)
    assert chip is not None
    assert chip.hbm == gib * GIB
    assert compilation.count_of(topology) == chips


def test_simulated_devices_are_no_chips():
    assert compilation.chip_of("host:8") is None
    assert compilation.count_of("host:8") == 8
    assert compilation.excess(FIGURES | {"temporary": 1000 * GIB}, None) is None
    assert "not what a GPU would need" in compilation.describe(FIGURES, None)


@pytest.mark.parametrize("topology", ["v5e", "v5e:", "v5e:4x", "host:0", "host:-1", "host:two"])
def test_a_topology_without_sizes_is_refused(topology):
    with pytest.raises(InputError, match="give the chips along each axis"):
        compilation.count_of(topology)


def test_what_takes_more_than_nine_tenths_does_not_fit():
    chip = compilation.CHIPS["v5e"]
    at_limit = FIGURES | {"arguments": 0, "temporary": 0, "output": int(0.9 * 16 * GIB)}
    assert compilation.excess(at_limit, chip) is None
    for kind in compilation.MEMORY:  # each kind counts
        assert compilation.excess(at_limit | {kind: at_limit[kind] + 10}, chip) is not None
    assert compilation.excess(FIGURES | {"temporary": 14 * GIB}, chip) == (
        "it takes 15 of 16 GiB HBM (93.8%): arguments 1, output 0, temporary 14, code 0, and may take 90%"
    )


def test_remedies_are_flags_that_exist_and_divide():
    config = hrnet_cnnt.get_config()
    with config.unlocked():
        config.batch_size = 512
    flags = [way.split(" ")[0] for way in compilation.remedies(config, 128, "train_step")]
    assert flags == ["--config.train.accumulate=2", "--config.mesh.fsdp=2", "--config.batch_size=256", "chips"]
    with config.unlocked():
        config.batch_size, config.model.remat, config.train.accumulate, config.mesh.fsdp = 768, False, 2, 128
    flags = [way.split(" ")[0] for way in compilation.remedies(config, 128, "train_step")]
    assert flags == ["--config.model.remat=True", "--config.train.accumulate=3", "--config.batch_size=256", "chips"]
    with config.unlocked():
        config.batch_size = 256  # of which half, one a chip, could not be cut in two parts
    configuration.validate(config, 128)
    assert not any("batch_size" in way for way in compilation.remedies(config, 128, "train_step"))
    with config.unlocked():
        config.batch_size = 128
    assert compilation.remedies(config, 128, "noise") == ["chips with more memory"]


def test_the_compilers_own_limit_is_quoted():
    """As libtpu 0.0.52 has it, as older ones did, and in other words."""
    needed = "Ran out of memory on HBM, the total memory required for HLO temporaries (768.00G) exceeds available HBM (15.75G)"
    message = f"RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: {needed}. HLO module: jit_train_step.\nSee https://openxla.org"
    assert compilation.used_of_limit(message) == needed
    used = "Ran out of memory in memory space hbm. Used 21.95G of 15.75G hbm"
    message = f"RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. {used}. Exceeded hbm capacity by 6.20G.\n\nTotal"
    assert compilation.used_of_limit(message) == used
    assert compilation.used_of_limit("RESOURCE_EXHAUSTED: no space\nmore") == "RESOURCE_EXHAUSTED: no space"


def test_images_a_second():
    chip = compilation.CHIPS["v5e"]
    assert compilation.most_images(FIGURES, chip) == pytest.approx(512 / (13.5 / 197))
    text = compilation.describe(FIGURES, chip)
    assert "512 images a step on 128 chips, 4 a chip" in text
    assert "2 all-reduce; all-reduces sum 30 MB of bf16 and 50 MB of f32 on each chip" in text
    assert "1,920 images/s by the compiler's estimate of cycles, at 1.50 GHz and without collectives" in text
    assert "upper bound: 7,471 images/s" in text


def test_an_abort_is_reported():
    abort = "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"
    report, code = compilation.run_apart([sys.executable, "-c", abort])
    assert report is None
    assert compilation.ending(code) == "signal 6 (SIGABRT)"
    assert compilation.ending(3) == "exit code 3"


def test_an_unknown_chip_is_named(launch):
    process = launch("compile_check", "--config=configs/hrnet_cnnt.py:quick", "--topology=v1:1x1")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "compile_check.py: --topology=v1:1x1: no such chips; choose v4, v5e, v5p, v6e (v5e:16x8), or host:8" in error


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is there")
def test_a_missing_compiler_is_named_once(launch):
    process = launch("compile_check", "--config=configs/hrnet_cnnt.py:quick", "--topology=v5e:2x2")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert error.count("compile_check.py: --topology=v5e:2x2: no such chips, or no libtpu (pip install libtpu)") == 1


def test_simulated_devices_exchange_gradients_alone(launch, tmp_path):
    """Two programs, each in a process of its own."""
    output = tmp_path / "out.json"
    process = launch("compile_check", *FLAGS, "--topology=host:8", f"--json={output}")
    text, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert "noise for host:8" in text
    assert "not what a GPU would need" in text
    assert output.read_text().count("\n") == 1
    check_programs(json.loads(output.read_text()), devices=8)


@pytest.mark.slow  # minutes
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu, the compiler for TPUs")
def test_programs_for_tpus_exchange_gradients_alone(launch, tmp_path):
    output = tmp_path / "out.json"
    process = launch("compile_check", *FLAGS, "--topology=v5e:2x4", f"--json={output}")
    text, error = process.communicate(timeout=1800)
    assert process.returncode == 0, error
    assert "images/s by the compiler's estimate" in text
    check_programs(json.loads(output.read_text()), devices=8)


def check_programs(report: dict, devices: int) -> None:
    """Noise needs no other device; gradients and a few figures are summed once, behind the parts of the batch, in one all-reduce."""
    noise, step = report["programs"]
    assert noise["collectives"] == {}
    assert noise["devices"] == step["devices"] == devices
    assert step["collectives"] == {"all-reduce": 1}
    assert step["in_loops"] == 0
    config = hrnet_cnnt.get_config("quick")
    with config.unlocked():
        config.update_from_flattened_dict(SMALL)
    gradients = 4 * assemble(config, samples=8).parameters
    assert set(step["all_reduces"]) == {"f32"}
    assert gradients < step["all_reduces"]["f32"] <= gradients + 40
