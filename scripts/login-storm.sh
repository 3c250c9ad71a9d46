#!/usr/bin/env bash
# A crowd logs in while others read the catalogue of one process: do the readers notice? Prints the readers' times at rest and in the
# storm, what the logins were answered, and the memory of the process; exit code 1 if the readers' p99 is more than twice that at
# rest, if memory grows without bound, or if a login is answered otherwise than with tokens, 401, 429 or 503.
#
#   scripts/login-storm.sh [--logins 500] [--seconds 15] [--runs 5] [--reads 400] [--pause SECONDS] [POSTGRES_SERVER]
#
#   --logins    how many are under way at once, all the time
#   --seconds   how long each look at the readers takes, --runs how many there are at rest and in the storm, in turns; medians count
#   --reads     requests a second that the readers send, whether the answers come or not
#   --pause     how long a login waits that was told to come back; as long as it was told (Retry-After) unless given, 0: not at all
#
# On SQLite, or in a database of its own on a server at postgres://user@host/database. SOUK_BINARY names another binary than
# target/release/souk. The limit of logins from one address is lifted: it is the queue of passwords that is tried. Wants a machine that
# does nothing else, since the clients run on it, too. Needs python3 and curl, for PostgreSQL psql.
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
server=
while [ $# -gt 0 ]; do
  case $1 in
    --logins | --seconds | --runs | --reads | --pause)
      options+=("$1" "${2:?$1 needs a number}")
      shift
      ;;
    postgres://* | postgresql://*) server=$1 ;;
    *)
      sed -n '2,/^set -euo/s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
  shift
done

scratch=$(mktemp -d)
: >"$scratch/log"
database=souk_storm_$$
shop=

leave() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$shop" ]; then
    kill -TERM "$shop" 2>/dev/null || true
    wait "$shop" 2>/dev/null || true
  fi
  [ -z "$server" ] || ask "DROP DATABASE IF EXISTS $database WITH (FORCE)" >/dev/null 2>&1 || true
  rm -rf "$scratch"
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "login-storm: $*" >&2
  exit 1
}

ask() { psql -X -w -Atq -v ON_ERROR_STOP=1 -d "$server" -c "$1"; }

binary=${SOUK_BINARY:-target/release/souk}
if [ ! -x "$binary" ]; then
  [ -z "${SOUK_BINARY:-}" ] || fail "there is no $binary; SOUK_BINARY names it"
  cargo build --release --locked
fi
arguments=(serve --port 0 --data-dir "$scratch/data")
if [ -n "$server" ]; then
  ask "CREATE DATABASE $database"
  arguments+=(--database-url "$(printf '%s' "$server" | sed "s|^\([^?]*\)/[^/?]*|\1/$database|")")
fi
SOUK__LIMITS__LOGIN_PER_MINUTE=0 SOUK__LIMITS__REGISTER_PER_MINUTE=0 SOUK__LOG__FORMAT=text \
  "$binary" "${arguments[@]}" >"$scratch/log" 2>&1 &
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
  fail "the shop did not start"
}
until curl -fs -o /dev/null --max-time 2 "$address/readyz"; do
  kill -0 "$shop" 2>/dev/null || fail "the shop ended"
  sleep 0.1
done
echo "$binary on ${server:+PostgreSQL}${server:-SQLite}" | sed 's|PostgreSQLpostgres.*|PostgreSQL|'
python3 -u scripts/login_storm.py "$address" "$shop" ${options[@]+"${options[@]}"}
