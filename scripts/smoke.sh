#!/usr/bin/env bash
# Starts the release binary as a stranger would, takes its figures, and pastes the README's tour into it.
#
#   scripts/smoke.sh [BINARY]     default: target/release/souk
#
# Needs curl. Port 8080 must be free: the tour speaks to it. Fails if the shop does not start, answer or stop in time, if
# a figure is beyond its limit, if a command of the tour fails, or if `souk doctor` finds anything afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-target/release/souk}
tour_port=8080
start_bound_s=30
stop_bound_s=10

# Bars of the project, and limits at which this script fails: machines are noisy, so times get twice their bar, and memory and size a
# twentieth.
first_start_bar_ms=3000  first_start_limit_ms=6000
warm_start_bar_ms=300    warm_start_limit_ms=600
memory_bar_kb=40960      memory_limit_kb=43008
binary_bar_kb=30720      binary_limit_kb=32256

# The bars were set on two cores. The shop has a thread for HTTP a core, each with its own copy of the routes (about 1 MB), so the
# figures would otherwise tell of the machine.
export SOUK__SERVER__WORKERS=2

scratch=$(mktemp -d)
pid=
too_much=0

leave() {
  local status=$?
  if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$scratch"
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  if [ -n "$pid" ] && [ -s "$scratch/log" ]; then
    echo "the last lines of the shop's log:" >&2
    tail -n 30 "$scratch/log" | cut -c1-400 >&2
  fi
  echo "smoke: $*" >&2
  exit 1
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# Whether something listens on a port of this machine.
is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 10000))
    if ! is_taken "$port"; then
      echo "$port"
      return
    fi
  done
  fail "no free port between 20000 and 30000"
}

# start PORT FOLDER: leaves the process in `pid` and the time to its first 200 on /readyz in `started_ms`.
start() {
  local port=$1 folder=$2 began
  began=$(now_ms)
  "$binary" serve --port "$port" --data-dir "$folder" </dev/null >"$scratch/log" 2>&1 &
  pid=$!
  until curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$port/readyz"; do
    kill -0 "$pid" 2>/dev/null || fail "the shop ended before it was ready"
    [ $(($(now_ms) - began)) -lt $((start_bound_s * 1000)) ] || fail "the shop was not ready within $start_bound_s s"
    sleep 0.01
  done
  started_ms=$(($(now_ms) - began))
}

# stop: SIGTERM; leaves the time in `stopped_ms`.
stop() {
  local began status=0
  began=$(now_ms)
  kill -TERM "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    [ $(($(now_ms) - began)) -lt $((stop_bound_s * 1000)) ] || fail "the shop did not stop within $stop_bound_s s of SIGTERM"
    sleep 0.01
  done
  stopped_ms=$(($(now_ms) - began))
  wait "$pid" || status=$?
  [ "$status" -eq 0 ] || fail "the shop ended with $status after SIGTERM, not with 0"
  pid=
}

resident_kb() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }

# row WHAT VALUE BAR LIMIT UNIT
row() {
  local verdict=ok
  [ "$2" -le "$3" ] || verdict="over the bar"
  if [ "$2" -gt "$4" ]; then
    verdict="OVER THE LIMIT of $4 $5"
    too_much=1
  fi
  printf '%-42s %8s %-3s  bar %6s %-3s %s\n' "$1" "$2" "$5" "$3" "$5" "$verdict"
}

command -v curl >/dev/null || fail "curl is missing"
[ -x "$binary" ] || fail "there is no $binary; run: cargo build --release"
is_taken "$tour_port" && fail "port $tour_port is taken; the tour needs it"
scripts/tour.sh --print >/dev/null || fail "there is no tour"

# Tests end processes at failpoints; a shop must not have any.
! grep -aqE 'SOUK_FAILPOINTS|commit\.before' "$binary" || fail "$binary was built with the feature failpoints"
echo "smoke: $("$binary" --version), from an empty folder"
port=$(free_port)
start "$port" "$scratch/figures"
first_start_ms=$started_ms
sleep 1 # what the start used and gave back is not what a shop needs at rest
first_memory_kb=$(resident_kb "$pid")
stop
first_stop_ms=$stopped_ms
warm_start_ms=$((start_bound_s * 1000))
for _ in 1 2 3; do # the best of three: what else the machine does is not the shop's time
  start "$port" "$scratch/figures"
  [ "$started_ms" -ge "$warm_start_ms" ] || warm_start_ms=$started_ms
  sleep 1
  warm_memory_kb=$(resident_kb "$pid")
  stop
done
binary_kb=$(($(stat -Lc %s "$binary") / 1024))

echo "smoke: the tour of README.md, as it stands"
# The tour speaks to a shop on the default port; so do commands in it that open the data themselves.
export SOUK__DATA__DIR="$scratch/tour"
start "$tour_port" "$SOUK__DATA__DIR"
began=$(now_ms)
scripts/tour.sh || fail "a command of the tour failed"
tour_ms=$(($(now_ms) - began))
"$binary" doctor --data-dir "$SOUK__DATA__DIR" || fail "souk doctor found something after the tour"
stop

echo
row "first answer on an empty folder" "$first_start_ms" "$first_start_bar_ms" "$first_start_limit_ms" ms
row "first answer on a warm folder, best of 3" "$warm_start_ms" "$warm_start_bar_ms" "$warm_start_limit_ms" ms
row "memory at rest, after the first start" "$first_memory_kb" "$memory_bar_kb" "$memory_limit_kb" kB
row "memory at rest, after a warm start" "$warm_memory_kb" "$memory_bar_kb" "$memory_limit_kb" kB
row "size of the binary" "$binary_kb" "$binary_bar_kb" "$binary_limit_kb" kB
row "from SIGTERM to the end" "$first_stop_ms" $((stop_bound_s * 1000)) $((stop_bound_s * 1000)) ms
printf '%-42s %8s %-3s\n' "the tour" "$tour_ms" ms
[ "$too_much" -eq 0 ] || fail "a figure is beyond its limit"
echo "smoke: all is well"
