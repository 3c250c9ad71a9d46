#!/usr/bin/env bash
# Does the time of an answer tell who has an account? Asks a shop thousands of times about known and unknown names, in random order,
# and compares the times (Mann-Whitney); exit code 1 if they, or the answers, differ where they must not.
#
#   scripts/measure-timing.sh [ADDRESS] [TRIES] [KINDS]
#
# TRIES of known names and as many of unknown ones, 2000 unless given. KINDS: login,forgot,registration unless given. Without an address
# it starts a shop of its own, on SQLite, from target/release/souk or SOUK_BINARY, with limits off and a low cost of hashing, so that the
# difference is not drowned in it. A shop at an address needs the same: SOUK__LIMITS__LOGIN_PER_MINUTE=0
# SOUK__LIMITS__REGISTER_PER_MINUTE=0 SOUK__AUTH__BCRYPT_COST=4 SOUK__AUTH__MAX_FAILURES_PER_ACCOUNT=1000
# SOUK__AUTH__MAX_FAILURES_PER_ACCOUNT_IN_ALL=1000. Wants a machine that does nothing else. Needs python3.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  http://*) exec python3 -u scripts/measure_timing.py "$@" ;;
  "" | [0-9]*) ;;
  *)
    sed -n '2,/^set -euo/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

scratch=$(mktemp -d)
: >"$scratch/log"
shop=

leave() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$shop" ]; then
    kill -TERM "$shop" 2>/dev/null || true
    wait "$shop" 2>/dev/null || true
  fi
  rm -rf "$scratch"
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

binary=${SOUK_BINARY:-target/release/souk}
if [ ! -x "$binary" ]; then
  [ -z "${SOUK_BINARY:-}" ] || { echo "measure-timing: there is no $binary; SOUK_BINARY names it" >&2; exit 1; }
  cargo build --release --locked
fi
SOUK__LIMITS__LOGIN_PER_MINUTE=0 SOUK__LIMITS__REGISTER_PER_MINUTE=0 SOUK__AUTH__BCRYPT_COST=4 \
  SOUK__AUTH__MAX_FAILURES_PER_ACCOUNT=1000 SOUK__AUTH__MAX_FAILURES_PER_ACCOUNT_IN_ALL=1000 SOUK__LOG__FORMAT=text \
  "$binary" serve --port 0 --data-dir "$scratch/data" >"$scratch/log" 2>&1 &
shop=$!
address=
for _ in $(seq 300); do
  address=$(sed -n 's/.*listening on \(http:[^;]*\);.*/\1/p' "$scratch/log")
  [ -z "$address" ] || break
  kill -0 "$shop" 2>/dev/null || break
  sleep 0.1
done
[ -n "$address" ] || {
  cat "$scratch/log" >&2
  echo "measure-timing: the shop did not start" >&2
  exit 1
}
python3 -u scripts/measure_timing.py "$address" "$@"
