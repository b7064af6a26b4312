#!/usr/bin/env bash
# Starts a training again until it is done: one such loop around every process of it, on every host.
#
#   launch/pods/restart.sh python launch/train.py --config=configs/hrnet_cnnt.py --workdir=DIR --config.data.path=RECORDS
#
# Exit codes 0 (done), 2 (bad input) and 130 (Ctrl-C) end the loop, and so do SIGTERM, SIGHUP and SIGINT to it: they are passed on, and
# the loop leaves with the code of its training. After any other code it starts again, after a pause that doubles with every failure in
# a row without progress; progress is a newest checkpoint in DIR/checkpoints other than the one before. See docs/training_on_pods.md.
#
# RESTARTS_WITHOUT_PROGRESS [5]   so many failures in a row without progress end the loop, with the code of the last
# RESTART_PAUSE [10]              whole seconds before the first restart; no pause is longer than 300
# RESTART_PASS_ON [yes]           no: whoever ends the loop signals the training itself, as SLURM does
set -euo pipefail

most=${RESTARTS_WITHOUT_PROGRESS:-5}
first_pause=${RESTART_PAUSE:-10}
pass_on=${RESTART_PASS_ON:-yes}
told='' child='' interrupted=''

log() { echo "restart: $(date +%FT%T) $(uname -n): $*" >&2; }

tell() { # a signal to this loop: passed on
  told=$1 interrupted=yes
  if [[ $child && $pass_on != no ]]; then kill -s "$told" "$child" 2>/dev/null || true; fi
}
trap 'tell TERM' TERM HUP
trap 'tell INT' INT

run() { # sets `code`
  set -m # a process group of its own: Ctrl-C comes to the loop alone, and is not ignored when passed on
  "$@" </dev/null &
  child=$!
  set +m
  if [[ $told ]]; then tell "$told"; fi # it came before there was a child
  exec 3>&2 2>/dev/null                 # bash's own line on a child that was killed
  while :; do
    interrupted=''
    wait "$child" && code=0 || code=$?
    if [[ ! $interrupted ]]; then break; fi # a signal ends the `wait`, not the child
  done
  kill -s KILL -- "-$child" 2>/dev/null || true # helpers that a killed training left behind
  exec 2>&3 3>&-
  child=''
}

newest_checkpoint() {
  local entry name newest=''
  for entry in "$workdir"/checkpoints/*; do # in the order of their names
    name=${entry##*/}
    if [[ $name =~ ^[0-9]+$ ]]; then newest=$name; fi
  done
  echo "$newest"
}

meaning() {
  case $1 in
    1) echo "a defect, see its traceback" ;;
    2) echo "bad input" ;;
    75) echo "SIGTERM, state saved" ;;
    76) echo "watchdog: a host was stuck" ;;
    130) echo "Ctrl-C" ;;
    134) echo "aborted: another process was lost" ;;
    137) echo "killed, or out of memory" ;;
    143) echo "SIGTERM before it could save" ;;
    *) if (($1 > 128)); then echo "signal $(($1 - 128))"; else echo "unknown"; fi ;;
  esac
}

if (($# == 0)); then
  echo "restart.sh: which command? launch/pods/restart.sh python launch/train.py --config=... --workdir=DIR" >&2
  exit 2
fi
workdir=''
for word in "$@"; do
  if [[ $word == --workdir=* ]]; then workdir=${word#*=}; fi
done
if [[ ! $workdir ]]; then log "no --workdir=DIR in the command: progress cannot be seen, so every failure counts"; fi

failures=0 pause=$first_pause seen=$(newest_checkpoint)
while :; do
  run "$@"
  if ((code == 0)); then exit 0; fi
  left="left with $code ($(meaning "$code"))"
  if [[ $told ]] || ((code == 2 || code == 130)); then
    log "$left; not started again${told:+, told to end by SIG$told}"
    exit "$code"
  fi
  newest=$(newest_checkpoint)
  if [[ $newest != "$seen" ]]; then
    failures=0 pause=$first_pause seen=$newest
  elif ((code != 75)); then # a signal from outside is no failure
    failures=$((failures + 1))
  fi
  if ((failures >= most)); then
    log "$left; given up after $failures failures in a row without progress"
    exit "$code"
  fi
  log "$left; starting again in $pause s, failures without progress: $failures of $most"
  for ((second = 0; second < pause; second++)); do
    sleep 1 || true
    if [[ $told ]]; then
      log "told to end by SIG$told before it was started again"
      exit "$code"
    fi
  done
  if ((failures > 0)); then pause=$((pause < 150 ? 2 * pause : 300)); fi
done
