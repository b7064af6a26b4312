"""The command that reproduces: which runs, in which order, what is done once, what a failure leaves; with programs that do nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from configs import table2
from snraware_jax.evaluation import reproduce
from tests.evaluation.test_paper_tables import run as results_of


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Programs that are started, which write what they would."""
    commands = []

    def run(command):
        commands.append(list(command))
        flags = dict(word.lstrip("-").split("=", 1) for word in command if "=" in word)
        if "data_pipeline.suites" in command:
            home = Path(flags["output"]) / flags["suites"]
            home.mkdir(parents=True, exist_ok=True)
            (home / "index.json").write_text(json.dumps({"version": "v"}))
        elif command[1] == "launch/train.py":
            if "unet_vit3d-proposed" in flags["workdir"]:
                raise subprocess.CalledProcessError(2, command)
            Path(flags["workdir"]).mkdir(parents=True)
        else:
            home = Path(flags["output"])
            home.mkdir(parents=True)
            (home / "results.json").write_text(json.dumps(results_of(50.0)))

    monkeypatch.setattr(reproduce, "_run", run)
    monkeypatch.setattr(reproduce, "_records", lambda output, config: output / "data")
    return commands


def trained(commands) -> list[str]:
    return [
        word.rpartition("/")[2]
        for command in commands
        for word in command
        if word.startswith("--workdir") and "launch/train.py" in command
    ]


def test_table2_goes_on_where_it_was(started, tmp_path, capsys):
    flags = ["table2", f"--output={tmp_path}", "--models=hrnet_cnnt,hrnet_vit2d,unet_vit3d"]
    assert reproduce.main(flags) == 1
    names = trained(started)
    assert names[:3] == ["hrnet_cnnt-proposed", "hrnet_vit2d-proposed", "unet_vit3d-proposed"]
    assert len(names) == 3 + 2 * 3  # the network in two dimensions has no ablations
    assert "unet_vit3d-proposed failed with exit code 2" in capsys.readouterr().err
    assert len(list((tmp_path / "rows").iterdir())) == 8
    assert "- the proposed training is the best of every model: 0 of 3 comparisons" in (tmp_path / "table2.md").read_text()
    started.clear()
    assert reproduce.main(flags) == 1
    assert trained(started) == ["unet_vit3d-proposed"]


def test_a_row_of_another_suite_is_refused(started, tmp_path, capsys):
    flags = ["table2", f"--output={tmp_path}", "--models=hrnet_cnnt", "--modes=proposed"]
    assert reproduce.main(flags) == 0
    row = tmp_path / "rows" / "hrnet_cnnt-proposed.json"
    row.write_text(row.read_text().replace('"v"', '"w"'))
    assert reproduce.main(flags) == 2
    assert "suite w; give another --output, or delete it" in capsys.readouterr().err
    row.write_text("{")
    assert reproduce.main(flags) == 2
    assert "damaged" in capsys.readouterr().err


def test_bad_flags(tmp_path, capsys, monkeypatch):
    for flags in (["table2", "--models=hrnet_cnn"], ["table2", "--modes=all"], ["table4"]):
        with pytest.raises(SystemExit, match="2"):
            reproduce.main(flags)
    assert "hrnet_cnn is none; choose from hrnet_cnnt_large" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(["table2"]) == 2
    assert "in the checkout" in capsys.readouterr().err


def test_every_row_has_a_configuration():
    for model in table2.MODELS:
        config = table2.get_config(f"{model}-without_reconstruction-small")
        assert (config.model.input, config.train.steps) == ("magnitude", 200)
    assert table2.get_config("unet_conv2d-proposed-paper").model.channels == 64
    with pytest.raises(ValueError, match="row 'hrnet' does not exist"):
        table2.get_config("hrnet")
