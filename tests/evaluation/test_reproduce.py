"""The command that reproduces: which runs, in which order, what is done once, what a failure leaves; with programs that do nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from configs import table2
from data_pipeline.records import Record
from data_pipeline.sources import digest
from snraware_jax.evaluation import paper_figures
from snraware_jax.evaluation.reproduce import __main__ as reproduce
from snraware_jax.evaluation.reproduce import figures, runs
from snraware_jax.evaluation.reproduce.table2 import MODES
from tests.evaluation.linear import SERIES
from tests.evaluation.test_table2 import run as results_of


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
            (Path(flags["workdir"]) / "config.json").write_text("c")
        else:
            home = Path(flags["output"])
            home.mkdir(parents=True, exist_ok=True)
            found = results_of(50.0) if "cine_small" in flags["suite"] else results_of_scans(flags["workdir"])
            (home / "results.json").write_text(
                json.dumps(found | {"command": " ".join(command[1:]), "configuration": digest("c")})
            )

    monkeypatch.setattr(runs, "_run", run)
    monkeypatch.setattr(runs, "_simulate", lambda config, output: None)
    return commands


def results_of_scans(workdir: str) -> dict:
    """Three scans in which noise is halved, and a bit less by the ablations."""
    region = lambda signal, noise: {"signal": signal, "noise": noise, "fidelity": 1.0}
    of = lambda noise: {
        "regions": {"blood pool": region(20.0, noise), "myocardium": region(8.0, noise)},
        "g_factor": {"blood pool": 2.0, "myocardium": 2.5},
    }
    left = 0.5 if "-proposed" in workdir else 0.7
    cases = [{"case": f"c{i}", "raw": of(2.0 + i), "denoised": of(left * (2.0 + i))} for i in range(3)]
    return {"suite": "scans", "version": "v", "configuration": "c", "cases": cases}


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


def test_table3(started, tmp_path):
    assert reproduce.main(["table3", f"--output={tmp_path}", "--model=hrnet_cnnt"]) == 0
    assert len(trained(started)) == 4
    text = (tmp_path / "table3.md").read_text()
    assert "### real-time cine, hrnet_cnnt" in text
    assert "raw: 2.00, 2.00; " in text
    lines = (tmp_path / "table3.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 3 * 5  # tests, measurements, methods
    assert "--config=configs/table2.py:hrnet_cnnt-without_mr_noise-small" in "".join(lines)
    assert (tmp_path / "table3.tex").read_text().count("against proposed") == 6
    started.clear()
    assert reproduce.main(["table3", f"--output={tmp_path}", "--model=hrnet_cnnt"]) == 0
    assert not [command for command in started if command[1].startswith("launch/")]
    found = tmp_path / "runs" / "hrnet_cnnt-proposed" / "realtime_cine" / "results.json"
    found.write_text(found.read_text().replace("--replicas=8", "--replicas=2"))  # somebody has looked at it in another way
    (tmp_path / "runs" / "hrnet_cnnt-without_g_factor" / "config.json").write_text("d")
    assert reproduce.main(["table3", f"--output={tmp_path}", "--model=hrnet_cnnt"]) == 0
    again = [command[2].rpartition("/")[2] for command in started if command[1] == "launch/evaluate.py"]
    assert again == ["hrnet_cnnt-proposed"] + ["hrnet_cnnt-without_g_factor"] * 3


def test_figures_are_handed_what_they_need(started, tmp_path, monkeypatch):
    """Each the scans and outputs of its networks and modes; the drawing has tests of its own."""
    record = Record(0, SERIES.image, SERIES.gmaps, 0.0, "s", "test", {"card": {"fov_mm": (300.0, 400.0)}})
    drawn = {}
    for number in (1, 3, 4, 5, 6):
        draw = lambda *given, number=number, **_: drawn.setdefault(number, given) and (f"figure {number}", {"n": number})
        monkeypatch.setattr(paper_figures, f"figure_{number}", draw)
    monkeypatch.setattr(figures, "save", lambda figure, path: path.parent.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(figures, "_case", lambda asked, name: name)
    monkeypatch.setattr(figures, "_read", lambda folder: f"{folder.name} of {folder.parent.name}")
    monkeypatch.setattr(figures, "open_source", lambda folder, split: [record])
    assert reproduce.main(["figures", f"--output={tmp_path}", "--model=unet_cnnt"]) == 0
    assert drawn[1][0] is record.image
    r2, r4, networks = drawn[3]
    assert (r2, r4, list(networks)) == ("phantom_r2", "phantom_r4", ["hrnet_cnnt", "unet_conv3d"])
    run = "unet_conv3d-without_mr_noise"
    assert networks["unet_conv3d"]["without MR noise"] == (f"phantom_r2 of {run}", f"phantom_r4 of {run}")
    for number, name in ((4, "realtime_cine"), (5, "perfusion_rest")):
        assert drawn[number] == (name, {method: f"{name} of unet_cnnt-{mode}" for mode, method in MODES.items()})
    assert drawn[6] == ("mprage", "spine", "mprage of unet_cnnt-proposed", "spine of unet_cnnt-proposed")
    assert len(trained(started)) == len(set(trained(started))) == 3 * 4
    assert json.loads((tmp_path / "figures" / "figure_4.json").read_text()) == {"n": 4}


def test_a_row_of_another_suite_is_refused(started, tmp_path, capsys):
    flags = ["table2", f"--output={tmp_path}", "--models=hrnet_cnnt", "--modes=proposed"]
    assert reproduce.main(flags) == 0
    row = tmp_path / "rows" / "hrnet_cnnt-proposed.json"
    row.write_text(row.read_text().replace('"v"', '"w"'))
    assert reproduce.main(flags) == 2
    assert "version w of the suite, not v; give another --output, or delete it" in capsys.readouterr().err
    row.write_text("{")
    assert reproduce.main(flags) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_folder_is_of_one_preset_and_of_one_set_of_records(started, tmp_path, capsys):
    assert reproduce.main(["table2", f"--output={tmp_path}", "--models=hrnet_cnnt", "--modes=proposed"]) == 0
    started.clear()
    for flags in (["--preset=paper"], ["--data=/records"]):
        assert reproduce.main(["table3", f"--output={tmp_path}", *flags]) == 2
    assert not started
    error = capsys.readouterr().err
    assert "begun with --preset=small, simulated records, not with --preset=paper, simulated records; give" in error
    assert "not with --preset=small, --data=/records; give" in error


def test_modes_that_networks_in_2d_do_not_have(started, tmp_path, capsys):
    assert reproduce.main(["table2", f"--output={tmp_path}", "--models=hrnet_vit2d", "--modes=without_g_factor"]) == 2
    assert "trained as proposed only" in capsys.readouterr().err
    assert not started


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
