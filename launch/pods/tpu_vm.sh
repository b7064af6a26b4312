#!/usr/bin/env bash
# Trains on a Cloud TPU slice, from any machine with gcloud: creates the slice, installs this checkout on all its hosts, starts the
# restart loop on each, and creates the slice anew when it was taken away. Never run on a real slice: only against a fake gcloud.
#
#   export TPU=snraware ZONE=us-west4-a SHARE=10.0.0.2:/share      # SHARE: NFS (Filestore), mounted at /share on every host
#   launch/pods/tpu_vm.sh run --config=configs/hrnet_cnnt.py --workdir=/share/runs/hrnet_cnnt --config.data.path=/share/records
#
#   create                asks for the slice as a queued resource, and waits for it
#   install               copies the commit that is checked out, installs it with Python 3.12, mounts SHARE
#   start --config=...    starts the training on all hosts, detached from this connection; where it runs already, nothing changes
#   follow                shows the log of host 0, waits for all hosts, and leaves with the exit code of the training
#   stop                  SIGTERM to all hosts: the training saves and leaves with 75
#   delete                gives the slice back
#   run --config=...      all of it: create, install, start, follow, and again on a new slice until the training is done; the slice stays
#
# ACCELERATOR [v5litepod-128]      128 chips, 32 hosts; or v6e-128, v5p-256 (v5p counts cores: 128 chips)
# RUNTIME [v2-alpha-tpuv5-lite]    v5p: v2-alpha-tpuv5; v6e: v2-alpha-tpuv6e
# CREATE_FLAGS [--spot]            for `create`: --reserved, --network=..., --internal-ips; "" for on demand
# POLL [30]                        seconds between two looks
# gcloud's project is used. `ssh-add ~/.ssh/google_compute_engine` first: ssh to many hosts at once cannot ask for a passphrase.
set -euo pipefail
cd "$(dirname "$0")/../.."
self=launch/pods/tpu_vm.sh

accelerator=${ACCELERATOR:-v5litepod-128}
runtime=${RUNTIME:-v2-alpha-tpuv5-lite}
read -r -a create_flags <<<"${CREATE_FLAGS---spot}"
poll=${POLL:-30}
bad_input=2

refuse() {
  echo "tpu_vm.sh: $*" >&2
  exit $bad_input
}
verb=${1:-}
if [[ ! $verb ]]; then refuse "which verb? create, install, start, follow, stop, delete or run"; fi
shift
for name in TPU ZONE; do
  if [[ ! ${!name:-} ]]; then refuse "no $name: export $name=..."; fi
done

queued() { gcloud compute tpus queued-resources "$1" "$TPU" --zone="$ZONE" "${@:2}"; }
on_host() { gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker="$1" --command="$2"; }
state() {
  queued describe --format='value(state.state)' 2>/dev/null && return
  case $(queued describe 2>&1) in
    *NOT_FOUND*) echo ABSENT ;;
    *) echo UNKNOWN ;; # gcloud failed, which says nothing about the slice
  esac
}

create() {
  local now
  while now=$(state) && [[ $now != ACTIVE ]]; do
    case $now in
      ABSENT)
        queued create --node-id="$TPU" --accelerator-type="$accelerator" --runtime-version="$runtime" ${create_flags[@]+"${create_flags[@]}"}
        ;;
      FAILED | SUSPENDED) delete ;;
    esac
    echo "tpu_vm.sh: $TPU is $now" >&2
    sleep "$poll"
  done
}

delete() { queued delete --force --quiet; } # --force: with its slice

install() {
  local archive
  archive=$(mktemp)
  git archive --format=tar.gz --output="$archive" HEAD
  gcloud compute tpus tpu-vm scp "$archive" "$TPU:snraware.tar.gz" --zone="$ZONE" --worker=all
  rm -f "$archive"
  # Python 3.12 through uv: Ubuntu 22.04, which the runtimes are, has 3.10
  on_host all "set -e
    mkdir -p ~/snraware && tar -xzf ~/snraware.tar.gz -C ~/snraware && cd ~/snraware
    python3 -m pip install --quiet --user uv
    ~/.local/bin/uv venv --quiet --allow-existing --python 3.12 env
    ~/.local/bin/uv pip install --quiet --python env/bin/python -e '.[tpu]'"
  if [[ ${SHARE:-} ]]; then
    on_host all "mountpoint -q /share || { sudo apt-get -qq install -y nfs-common && sudo mkdir -p /share && sudo mount -t nfs $SHARE /share; }"
  fi
}

start() {
  # a lock for as long as the training lives: gcloud sends a command again when the connection is lost
  local training
  training=$(printf '%q ' "$@")
  on_host all "cd ~/snraware || exit
    nohup flock -n ~/snraware.lock bash -c 'rm -f ~/snraware.code; echo \$\$ >~/snraware.pid
      launch/pods/restart.sh env/bin/python launch/train.py \"\$@\"; echo \$? >~/snraware.code' - $training </dev/null >>~/snraware.log 2>&1 &
    sleep 1"
}

follow() {
  on_host 0 "tail -n 20 -F --pid=\$(cat ~/snraware.pid) ~/snraware.log" &
  local log=$! code=0
  # neither a code nor a lock: the host was started anew meanwhile, or `start` was not called
  on_host all "until [ -e ~/snraware.code ] || flock -n ~/snraware.lock true; do sleep 5; done; exit \$(cat ~/snraware.code || echo 255)" || code=$?
  wait "$log" || true
  return $code
}

stop() { on_host all "pkill -TERM -P \$(cat ~/snraware.pid) || true"; } # the child of the shell in `start`: the restart loop

run() {
  local lost=0
  while :; do
    create
    # programs of their own: in a chain of && `set -e` would be off inside of functions
    "$self" install && "$self" start "$@" && "$self" follow && return 0 || code=$?
    sleep "$poll" # so that what befell the slice is known
    while ((code == 255)) && [[ $(state) == @(ACTIVE|UNKNOWN) ]] && ((lost++ < 10)); do # ssh's own; the training may go on
      echo "tpu_vm.sh: the connection was lost; again" >&2
      "$self" start "$@" && "$self" follow && return 0 || code=$?
      sleep "$poll"
    done
    if [[ $(state) == ACTIVE ]]; then
      echo "tpu_vm.sh: left with $code, on a slice that is there; see ~/snraware.log on its hosts" >&2
      return "$code"
    fi
    echo "tpu_vm.sh: the slice was taken away; on a new one" >&2
  done
}

case $verb in
  create | install | follow | stop | delete) "$verb" ;;
  start | run)
    if (($# == 0)); then refuse "$verb --config=... --workdir=/share/... --config.data.path=/share/..."; fi
    "$verb" "$@"
    ;;
  *) refuse "$verb is not a verb: create, install, start, follow, stop, delete or run" ;;
esac
