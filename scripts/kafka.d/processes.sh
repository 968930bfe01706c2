# shellcheck shell=bash disable=SC2034,SC2154
# The processes of this cluster.

is_broker() { # PID N (or a pattern for N)
  local args
  mapfile -d '' -t args 2>/dev/null <"/proc/$1/cmdline" || return 1
  # shellcheck disable=SC2053
  [[ ${args[*]: -2} == "kafka.Kafka $STATE/"$2/server.properties ]]
}

pid_of() {
  local pid
  read -r pid 2>/dev/null <"$STATE/$1/pid" && is_broker "$pid" "$1" && echo "$pid"
}

# Also finds those whose record is gone, say after `cargo clean`.
all_pids() {
  local dir
  for dir in /proc/[0-9]*; do
    if is_broker "${dir#/proc/}" '[1-9]'; then echo "${dir#/proc/}"; fi
  done
}

state_of() {
  local pid stat
  if ! pid=$(pid_of "$1") || ! read -r stat 2>/dev/null <"/proc/$pid/stat"; then
    echo dead
  elif [[ ${stat##*) } == [Tt]* ]]; then
    echo paused
  else
    echo running
  fi
}

wait_state() { # N STATE
  local end=$((SECONDS + 10))
  until [[ $(state_of "$1") == "$2" ]]; do
    ((SECONDS < end)) || die 1 "broker $1 is $(state_of "$1"), not $2"
    sleep 0.05
  done
}

stop_all() {
  local pids end=$((SECONDS + 15))
  mapfile -t pids < <(all_pids)
  ((${#pids[@]})) || return 0
  kill -CONT "${pids[@]}" 2>/dev/null || true
  kill -TERM "${pids[@]}" 2>/dev/null || true
  while mapfile -t pids < <(all_pids) && ((${#pids[@]})); do
    ((SECONDS < end)) || kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.1
  done
}
