"""A run as a bundle, and the bundle where the run was used."""

import numpy as np
import pytest

import snraware_jax
from snraware_jax.training import best, configuration
from tests.test_launch import refused

pytestmark = pytest.mark.xdist_group("suites")


@pytest.fixture(scope="module")
def exported(launch, tiny_run, tmp_path_factory):
    _, workdir = tiny_run
    (workdir / "evaluation").mkdir(exist_ok=True)
    (workdir / "evaluation" / "table.csv").write_text("peak_snr,method,gain_db\n8.0,network,12.5\n")
    output = tmp_path_factory.mktemp("exported") / "model.snr"
    process = launch("export", f"--workdir={workdir}", f"--output={output}", "--tile=8,16,16", "--overlap=2,4,4")
    said, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "export: parameters of step 3, tiles of 8 x 16 x 16" in said
    return output


def test_the_bundle_is_the_run(exported, tiny_run):
    config, workdir = tiny_run
    denoiser = snraware_jax.load(exported)
    image = np.random.default_rng(0).normal(size=(4, 20, 18, 2)).astype(np.float32).view(np.complex64)[..., 0]
    g_map = np.ones((20, 18), np.float32)
    found = best.restore(config, workdir)._replace(tiling=denoiser.bundle.tiling)
    np.testing.assert_array_equal(denoiser(image, g_map), found.denoiser()(image, g_map))
    card = denoiser.bundle.card
    assert card["step"] == 3
    assert card["tested"] == [{"peak_snr": "8.0", "method": "network", "gain_db": "12.5"}]
    assert card["configuration"] == configuration.flatten(config)


def test_evaluate_takes_a_bundle(exported, launch, tiny_records, tmp_path):
    flags = [f"--bundle={exported}", f"--data={tiny_records}", "--series=1", "--peak_snr=8", f"--output={tmp_path / 'out'}"]
    process = launch("evaluate", *flags)
    said, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "parameters of step 3; 1 series" in said
    assert (tmp_path / "out" / "table.csv").is_file()


def test_refusals(exported, launch, tiny_run, tmp_path):
    _, workdir = tiny_run
    output = f"--output={tmp_path / 'no.snr'}"
    started = [
        (launch("export", f"--workdir={workdir}"), "--workdir=DIR --output=NAME.snr"),
        (launch("export", f"--workdir={workdir}", output, "--tile=4,8"), "--tile=4,8: give frames, rows, columns"),
        (launch("export", f"--workdir={workdir}", output, "--overlap=4,0,0"), "--overlap=4,0,0: less than the tile, 4,16,16"),
        (launch("export", f"--workdir={tmp_path}", output), "no config.json, so not a workdir"),
        (launch("evaluate", f"--bundle={exported}", f"--workdir={workdir}"), "which network? --workdir=DIR"),
        (launch("evaluate", f"--bundle={exported}"), "model.snr: has no records of its own; give --data=RECORDS"),
        (launch("evaluate", f"--bundle={workdir / 'config.json'}"), "config.json: not a bundle"),
        (
            launch("evaluate", f"--workdir={workdir}", "--replicas=4"),
            "--replicas is of a --suite, not of records; leave it out",
        ),
        (launch("evaluate", f"--workdir={workdir}", "--suite=s", "--others=nlm"), "--others is of records, not of a --suite"),
    ]
    for process, message in started:
        assert message in refused(process)
    assert not list(tmp_path.iterdir())
