"""`snraware doctor` says what is there, and what to type where an accelerator lies idle."""

import jax
import pytest

from snraware_jax import cli, doctor


def test_what_is_here(capsys):
    assert cli.main(["doctor"]) == (1 if doctor.advice({device.platform for device in jax.devices()}) else 0)
    said = capsys.readouterr().out
    for part in (f"jax {jax.__version__}", "device 0: cpu (cpu)", "matrix product", "GFLOP/s", "2-D FFT", "images/s"):
        assert part in said


@pytest.mark.parametrize(
    ("path", "platforms", "forced", "expected"),
    [
        ("/dev/nvidia0", {"cpu"}, None, "pip install -U 'snraware-jax[cuda13]'"),
        ("/dev/accel0", {"cpu"}, None, "pip install -U 'snraware-jax[tpu]'"),
        ("/dev/nvidia0", {"cpu"}, "cpu", "unset JAX_PLATFORMS"),
        ("/dev/nvidia0", {"gpu"}, None, None),
        ("/dev/vfio/0", {"tpu"}, None, None),
        ("/dev/null", {"cpu"}, None, None),
    ],
)
def test_advice(monkeypatch, path, platforms, forced, expected):
    if forced:
        monkeypatch.setenv("JAX_PLATFORMS", forced)
    else:
        monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    found = doctor.advice(platforms, exists=lambda name: name == path)
    if expected is None:
        assert found == []
    else:
        assert len(found) == 1
        assert expected in found[0]
