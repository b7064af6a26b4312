"""The restart loop, and the files of launch/pods: they parse, and name what there is. None of them met a cluster here."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from math import prod
from pathlib import Path

import pytest
import yaml

from launch import program
from snraware_jax import errors

REPOSITORY = Path(__file__).resolve().parents[2]
PODS = REPOSITORY / "launch" / "pods"
GUIDE = REPOSITORY / "docs" / "training_on_pods.md"
RESTART = str(PODS / "restart.sh")

# leaves with the next of the codes 1,2,... at every start; "3+" makes a checkpoint before
PROGRAM = """
starts=$(cat starts 2>/dev/null || echo 0); echo $((starts + 1)) >starts
code=$(echo "$1" | cut -d , -f $((starts + 1)))
mkdir -p run/checkpoints run/checkpoints/.00000001.unfinished run/checkpoints/unfinished-$starts
case $code in *+) mkdir run/checkpoints/$(printf %08d $starts) ;; esac
exit ${code%+}
"""
# says that it is there, and leaves as launch/train.py does when it is told to
LONG = "trap 'exit 75' TERM; trap 'exit 130' INT; touch started; while :; do sleep 0.02; done"

# bash cannot trap what it was started to ignore, and a suite behind nohup or an `&` ignores these two; becomes the loop
# by exec, for forking from here to do the same, after another test started JAX's threads, may hang
HEAR_SIGNALS = (
    sys.executable,
    "-ISc",
    """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
""",
)


def restart(folder: Path, *command: str, failures: int = 5, pause: int = 0) -> subprocess.Popen:
    environment = os.environ | {"RESTARTS_WITHOUT_PROGRESS": str(failures), "RESTART_PAUSE": str(pause)}
    options = {"cwd": folder, "env": environment, "text": True, "stderr": subprocess.PIPE}
    return subprocess.Popen([*HEAR_SIGNALS, RESTART, *command], **options)


def outcome(folder: Path, codes: str, **settings: int) -> tuple[int, int, list[str]]:
    """Exit code of the loop, how often it started its program, and its lines."""
    process = restart(folder, "bash", "-c", PROGRAM, "program", codes, "--workdir=run", **settings)
    _, error = process.communicate(timeout=20)
    return process.returncode, int((folder / "starts").read_text()), error.splitlines()


@pytest.mark.parametrize("code", [0, errors.BAD_INPUT, errors.INTERRUPTED])
def test_what_starting_again_does_not_mend_ends_the_loop(tmp_path, code):
    left, starts, lines = outcome(tmp_path, f"{code},0")
    assert (left, starts) == (code, 1)
    assert len(lines) == (code != 0)


MEANINGS = {
    errors.STOPPED: "SIGTERM, state saved",
    errors.STUCK: "watchdog",
    134: "another process was lost",
    137: "killed",
    139: "signal 11",
    1: "defect",
}


@pytest.mark.parametrize(("code", "meaning"), MEANINGS.items())
def test_anything_else_starts_again_with_one_line(tmp_path, code, meaning):
    left, starts, lines = outcome(tmp_path, f"{code},0")
    assert (left, starts) == (0, 2)
    assert len(lines) == 1
    assert f"left with {code}" in lines[0]
    assert meaning in lines[0]
    assert "starting again in 0 s" in lines[0]


def test_gives_up_after_failures_without_progress(tmp_path):
    left, starts, lines = outcome(tmp_path, "134,76,3,0", failures=3)
    assert (left, starts) == (3, 3)
    assert "given up after 3 failures" in lines[-1]


def test_a_new_checkpoint_is_progress(tmp_path):
    left, starts, _ = outcome(tmp_path, "1,1+,1,1+,1+,1,0", failures=2)
    assert (left, starts) == (0, 7)


def test_signals_from_outside_are_no_failures(tmp_path):
    left, starts, _ = outcome(tmp_path, "75,75,75,0", failures=1)
    assert (left, starts) == (0, 4)


def test_the_pause_grows_until_there_is_progress(tmp_path):
    no_time = {"BASH_FUNC_sleep%%": "() { :; }", "RESTART_PAUSE": "100"}
    command = [RESTART, "bash", "-c", PROGRAM, "program", "1,1,1,1,1+,1,0", "--workdir=run"]
    process = subprocess.run(command, cwd=tmp_path, env=os.environ | no_time, text=True, stderr=subprocess.PIPE, check=True)
    assert re.findall(r"again in (\d+) s", process.stderr) == ["100", "200", "300", "300", "100", "100"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGHUP, 75), (signal.SIGINT, 130)])
def test_signals_to_the_loop_are_passed_on(tmp_path, number, code):
    process = restart(tmp_path, "bash", "-c", LONG)
    wait_for(tmp_path / "started")
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == code
    assert "not started again, told to end" in error


def test_a_signal_that_the_training_gets_anyway_is_not_doubled(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTART_PASS_ON", "no")
    process = restart(
        tmp_path, "bash", "-c", "trap 'exit 1' TERM; touch started; while [ ! -e end ]; do sleep 0.02; done; exit 75"
    )
    wait_for(tmp_path / "started")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    (tmp_path / "end").touch()
    process.communicate(timeout=20)
    assert process.returncode == errors.STOPPED


def test_a_signal_in_the_pause_ends_it(tmp_path):
    process = restart(tmp_path, "bash", "-c", "touch started; exit 137", pause=60)
    wait_for(tmp_path / "started")
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 137
    assert "before it was started again" in error


def test_helpers_of_a_killed_training_are_ended(tmp_path):
    script = "sleep 100 & echo $! >helper; [ -e again ] && exit 0; touch again; kill -KILL $$"
    process = restart(tmp_path, "bash", "-c", script)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert not Path(f"/proc/{int((tmp_path / 'helper').read_text())}/exe").exists()


def test_needs_a_command(tmp_path):
    process = restart(tmp_path)
    assert "which command?" in process.communicate(timeout=20)[1]
    assert process.returncode == errors.BAD_INPUT


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- the files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["restart.sh", "tpu_vm.sh", "slurm.sbatch"])
def test_scripts_parse(name):
    assert os.access(PODS / name, os.X_OK) or name == "slurm.sbatch"
    subprocess.run(["bash", "-n", PODS / name], check=True)


def commands(text: str) -> list[list[str]]:
    """The flags of launch/train.py in the commands of a text, also where a script passes them on."""
    text = text.replace("\\\n", " ")
    lines = [line for line in text.splitlines() if "--config=" in line and "compile_check" not in line]
    return [re.findall(r"--[\w.]+=[^\s\"`')]+", line) for line in lines if "--config=..." not in line]


@pytest.mark.parametrize(
    "path", [PODS / "restart.sh", PODS / "tpu_vm.sh", PODS / "slurm.sbatch", GUIDE], ids=lambda path: path.name
)
def test_commands_name_flags_that_there_are(path, monkeypatch):
    found = commands(path.read_text())
    assert found
    for flags in found:
        check_flags(flags, monkeypatch)


def check_flags(flags: list[str], monkeypatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    others = [flag for flag in flags if not flag.startswith(("--config=", "--config.", "--workdir="))]
    assert not others, f"{others} are not flags of launch/train.py"
    program.check_overrides(["launch/train.py", *flags])


def test_fields_in_the_guide_exist():
    fields = set(program._leaves(program.load_config(str(REPOSITORY / "configs" / "hrnet_cnnt.py"))))
    named = set(re.findall(r"config\.((?:\w+\.)?\w+)(?==|`)", GUIDE.read_text()))
    assert named
    assert named <= fields


def jobset(name: str) -> tuple[dict, dict]:
    """The JobSet of a file, and its job's specification."""
    (document,) = yaml.safe_load_all((PODS / name).read_text())
    (job,) = document["spec"]["replicatedJobs"]
    return document, job["template"]["spec"]


@pytest.mark.parametrize("name", ["gke_jobset.yaml", "gke_jobset_gpu.yaml"])
def test_jobsets_end_at_bad_input_and_start_the_loop(name, monkeypatch):
    document, job = jobset(name)
    assert (document["apiVersion"], document["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert document["spec"]["failurePolicy"]["rules"][0]["action"] == "FailJobSet"
    assert job["parallelism"] == job["completions"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [errors.BAD_INPUT]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["command"][:3] == ["launch/pods/restart.sh", "python", "launch/train.py"]
    assert container["name"] == job["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"]
    check_flags(container["command"][3:], monkeypatch)
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_slice_has_as_many_hosts_as_pods():
    _, job = jobset("gke_jobset.yaml")
    pod = job["template"]["spec"]
    chips = prod(int(size) for size in pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    assert chips == 128
    assert job["parallelism"] * pod["containers"][0]["resources"]["limits"]["google.com/tpu"] == chips


def test_gpu_pods_find_the_first():
    document, job = jobset("gke_jobset_gpu.yaml")
    environment = {entry["name"]: entry for entry in job["template"]["spec"]["containers"][0]["env"]}
    assert int(environment["JAX_NUM_PROCESSES"]["value"]) == job["parallelism"]
    assert "job-completion-index" in environment["JAX_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    name, replicated = document["metadata"]["name"], document["spec"]["replicatedJobs"][0]["name"]
    assert environment["JAX_COORDINATOR_ADDRESS"]["value"].split(":")[0] == f"{name}-{replicated}-0-0.{name}"


def test_slurm_signals_the_tasks_and_goes_on():
    text = (PODS / "slurm.sbatch").read_text()
    options = set(re.findall(r"^#SBATCH (\S+)$", text, re.MULTILINE))
    assert {"--signal=TERM@120", "--requeue"} <= options  # without B: which would signal the script alone
    assert "srun --kill-on-bad-exit=0 --wait=120" in text
    assert "export RESTART_PASS_ON=no" in text


# ---- the TPU script, against a gcloud whose slice is this machine and is taken away once ------------------------------------

needs_flock = pytest.mark.skipif(not (shutil.which("flock") and shutil.which("pkill")), reason="needs flock and pkill")
GCLOUD = r"""#!/usr/bin/env bash
echo "$*" >>"$HOME/calls"
for word; do case $word in --command=*) command=${word#--command=} ;; --worker=*) worker=${word#--worker=} ;; esac; done
case "$*" in
  *"queued-resources describe"*) cat "$HOME/state" 2>/dev/null || { echo NOT_FOUND >&2; exit 1; } ;;
  *"queued-resources create"*) echo ACTIVE >"$HOME/state" ;;
  *"queued-resources delete"*) rm "$HOME/state" ;;
  *"tpu-vm scp"*) cp "$5" "$HOME/snraware.tar.gz" ;;
  *"tpu-vm ssh"*)
    if [[ $command == *restart.sh* && ! -e $HOME/taken ]]; then
      touch "$HOME/taken"; echo SUSPENDED >"$HOME/state"; exit 255
    fi
    if [[ -e $HOME/cut && $command == *snraware.code* && $command != *restart.sh* ]]; then
      rm "$HOME/cut"; exit 255
    fi
    bash -c "$command" ;;
esac
"""
UV = r"""#!/usr/bin/env bash
if [[ $1 == venv ]]; then
  mkdir -p env/bin
  printf '#!/usr/bin/env bash\nprintf "%%s\\n" "$@" >"$HOME/arguments"\n. "$HOME/training"\n' >env/bin/python
  chmod +x env/bin/python
fi
"""


def fake_slice(home: Path) -> dict[str, str]:
    """The environment of tpu_vm.sh with a gcloud, git, python3 and sleep of a test, and a folder that stands for the slice."""
    programs = {
        "bin/gcloud": GCLOUD,
        "bin/python3": "#!/bin/sh\n",
        "bin/sleep": "#!/bin/sh\nexec /bin/sleep 0.05\n",
        "bin/git": f'#!/bin/sh\nexec tar -czf "${{3#--output=}}" -C {REPOSITORY} launch/pods\n',
        ".local/bin/uv": UV,
    }
    (home / "training").write_text("exit 0")
    for name, text in programs.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
        (home / name).chmod(0o755)
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return os.environ | {"HOME": str(home), "PATH": path, "TPU": "slice", "ZONE": "zone", "POLL": "1", "RESTART_PAUSE": "0"}


@needs_flock
def test_tpu_vm_trains_on_a_new_slice_when_the_first_is_taken_away(tmp_path):
    environment = fake_slice(tmp_path)
    flags = ["--config=configs/hrnet_cnnt.py", "--workdir=/share/it's a run", "--config.data.path=$HOME"]
    done = subprocess.run(
        [PODS / "tpu_vm.sh", "run", *flags], env=environment, text=True, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "arguments").read_text().splitlines() == ["launch/train.py", *flags]
    calls = (tmp_path / "calls").read_text()
    assert [calls.count(f"queued-resources {verb} slice") for verb in ("create", "delete")] == [2, 1]
    assert "--accelerator-type=v5litepod-128 --runtime-version=v2-alpha-tpuv5-lite --spot" in calls


@needs_flock
def test_tpu_vm_leaves_with_the_code_of_the_training(tmp_path):
    environment = fake_slice(tmp_path)
    (tmp_path / "taken").touch()
    (tmp_path / "training").write_text("exit 2")
    script = [PODS / "tpu_vm.sh", "run", "--config=configs/hrnet_cnnt.py"]
    done = subprocess.run(script, env=environment, text=True, capture_output=True, timeout=20, check=False)
    assert done.returncode == 2, done.stderr
    assert "left with 2, on a slice that is there" in done.stderr


@needs_flock
def test_tpu_vm_follows_again_when_the_connection_is_lost(tmp_path):
    environment = fake_slice(tmp_path)
    for name in ("taken", "cut"):
        (tmp_path / name).touch()
    script = [PODS / "tpu_vm.sh", "run", "--config=configs/hrnet_cnnt.py"]
    done = subprocess.run(script, env=environment, text=True, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the connection was lost; again") == 1


@needs_flock
def test_tpu_vm_stops_the_training_once(tmp_path):
    environment = fake_slice(tmp_path)
    (tmp_path / "taken").touch()
    (tmp_path / "training").write_text(f"cd {tmp_path}; echo >>starts; {LONG}")

    def tpu_vm(*words: str) -> int:
        return subprocess.run(
            [PODS / "tpu_vm.sh", *words], env=environment, capture_output=True, timeout=20, check=False
        ).returncode

    assert tpu_vm("install") == 0
    for _ in range(2):  # the second changes nothing
        assert tpu_vm("start", "--config=configs/hrnet_cnnt.py") == 0
    wait_for(tmp_path / "started")
    assert tpu_vm("stop") == 0
    assert tpu_vm("follow") == errors.STOPPED
    assert len((tmp_path / "starts").read_text()) == 1
