#!/usr/bin/env bash
# Starts the shop split into eight processes behind NGINX, and beside it the same binary as one process, and takes the
# figures that tell the two apart:
#
#   scripts/measure-split.sh [BINARY]     default: target/release/souk
#
#   - the time from `scripts/split.sh up` to a gateway that is ready, with the database made and the demo shop loaded;
#   - the memory of the eight processes together, idle: what each has resident, added up, which counts the pages of the
#     program that they share eight times; and their shares, which count each page once;
#   - the time to place an order, one client at a time: the median through the gateway less the median in one process,
#     both on the same PostgreSQL server, measured in turns;
#   - whether scripts/transcript.sh prints the same, byte for byte, for the split shop and for one process on SQLite.
#
# Needs what scripts/split.sh needs, and jq. The servers: TEST_DATABASE_URL, TEST_RABBITMQ_URL and TEST_REDIS_URL if set,
# otherwise the defaults of split.sh. Says so loudly if a figure is over its bar; fails if the transcripts differ or a figure is
# beyond its limit.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-target/release/souk}
orders=200 # a turn
turns=3
bound_s=60

# Bars of the project, and limits at which this script fails. Times depend on the machine and on what else it does, so they get
# four times their bar; memory does not, so its limit is the bar.
start_bar_ms=10000 start_limit_ms=40000
memory_bar_kb=204800 memory_limit_kb=225280
latency_bar_us=3000 latency_limit_us=12000

scratch=$(mktemp -d)
name=souk_measure_$$
pids=()
over_bar=()
too_much=0

fail() {
  echo "measure-split: $*" >&2
  exit 1
}

split() {
  env SOUK_BINARY="$binary" SOUK_SPLIT_DIR="$scratch/split" SOUK_SPLIT_DATABASE="${name}_split" SOUK_SPLIT_PREFIX="$name" \
    SOUK_SPLIT_POSTGRES_URL="$server" \
    ${TEST_RABBITMQ_URL:+SOUK_SPLIT_RABBITMQ_URL="$TEST_RABBITMQ_URL"} \
    ${TEST_REDIS_URL:+SOUK_SPLIT_REDIS_URL="$TEST_REDIS_URL"} \
    SOUK_ENV_FILE=.env.example SOUK_RATE_LIMIT=100000r/s SOUK_RATE_BURST=100000 SOUK_CLIENT_CONNECTIONS=65535 \
    SOUK_LOGIN_RATE_LIMIT=100000r/s SOUK_LOGIN_RATE_BURST=100000 \
    scripts/split.sh "$@"
}

ask() { psql -X -w -Atq -v ON_ERROR_STOP=1 -d "$server" -c "$1"; }

leave() {
  local status=$? pid
  trap - EXIT INT TERM
  for pid in ${pids[@]+"${pids[@]}"}; do
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  if [ -d "$scratch/split" ] && ! split down --purge >"$scratch/down" 2>&1; then
    cat "$scratch/down" >&2
    [ "$status" -ne 0 ] || status=1
  fi
  [ -z "${server:-}" ] || ask "DROP DATABASE IF EXISTS ${name}_one WITH (FORCE)" >/dev/null 2>&1 || true
  rm -rf "$scratch"
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

now_ms() { echo $(($(date +%s%N) / 1000000)); }

find_postgres() {
  local user url
  if [ -n "${TEST_DATABASE_URL:-}" ]; then
    echo "$TEST_DATABASE_URL"
    return
  fi
  for user in "$(id -un)" postgres root; do
    url=postgres://$user@127.0.0.1:5432/postgres
    if PGCONNECT_TIMEOUT=3 psql -X -w -Atq -d "$url" -c "SELECT 1" >/dev/null 2>&1; then
      echo "$url"
      return
    fi
  done
  fail "no PostgreSQL lets us in; say where: TEST_DATABASE_URL"
}

# The address of another database on the same server.
database_url() {
  local options='' rest=${server#*://}
  case $rest in *\?*) options="?${rest#*\?}" rest=${rest%%\?*} ;; esac
  echo "postgres://${rest%%/*}/$1$options"
}

# one_process LOG ARGUMENTS...: starts the whole shop in one process; leaves its address in `address`.
one_process() {
  local log=$1 since=$SECONDS
  shift
  env SOUK__SERVER__WORKERS=2 SOUK__LOG__FORMAT=json "$binary" serve --port 0 "$@" </dev/null >/dev/null 2>"$log" &
  pids+=($!)
  until address=$(sed -n 's/.*listening on \(http:[^;"]*\).*/\1/p' "$log" | head -n 1) && [ -n "$address" ]; do
    kill -0 "${pids[-1]}" 2>/dev/null || { tail -n 5 "$log" >&2; fail "the shop in one process did not start"; }
    [ $((SECONDS - since)) -lt "$bound_s" ] || fail "the shop in one process was not ready within $bound_s s"
    sleep 0.02
  done
}

# log_in ADDRESS BODY: prints an access token.
log_in() { curl -fsS "$1/auth/login" -H 'Content-Type: application/json' -d "$2" | jq -r .access_token; }

# prepare ADDRESS: fills the shelf; prints a customer's token.
prepare() {
  local admin
  admin=$(log_in "$1" '{"username": "admin", "password": "password"}')
  curl -fsS -o /dev/null -X PUT "$1/inventory/MUG-BLUE" -H "Authorization: Bearer $admin" \
    -H 'Content-Type: application/json' -d '{"on_hand": 1000000}'
  log_in "$1" '{"email": "demo@test.com", "password": "password123"}'
}

# place ADDRESS TOKEN TURN FILE: places orders one after the other on one connection; adds each time in us to the file.
place() {
  local number
  for number in $(seq "$orders"); do
    [ "$number" -eq 1 ] || echo next
    cat <<END
url = "$1/orders"
header = "Authorization: Bearer $2"
header = "Content-Type: application/json"
header = "Idempotency-Key: measure-$3-$number"
data = "{\"items\": [{\"sku\": \"MUG-BLUE\", \"quantity\": 1}]}"
output = "/dev/null"
write-out = "%{http_code} %{time_total}\n"
silent
END
  done >"$scratch/orders"
  curl -K "$scratch/orders" >"$scratch/times"
  if grep -qv '^201 ' "$scratch/times"; then
    grep -v '^201 ' "$scratch/times" | head -n 3 >&2
    fail "an order at $1 was not placed"
  fi
  awk '{ printf "%d\n", $2 * 1000000 }' "$scratch/times" >>"$4"
}

median() { sort -n "$1" | awk '{ times[NR] = $1 } END { print times[int((NR + 1) / 2)] }'; }

# row WHAT VALUE BAR LIMIT UNIT
row() {
  local verdict=ok
  if [ "$2" -gt "$3" ]; then
    verdict="OVER THE BAR"
    over_bar+=("$1")
  fi
  if [ "$2" -gt "$4" ]; then
    verdict="OVER THE LIMIT of $4 $5"
    too_much=1
  fi
  printf '%-52s %8s %-3s  bar %6s %-3s %s\n' "$1" "$2" "$5" "$3" "$5" "$verdict"
}

for tool in curl jq psql; do
  command -v "$tool" >/dev/null || fail "$tool is missing"
done
[ -x "$binary" ] || fail "there is no $binary; run: cargo build --release"
server=$(find_postgres)

echo "measure-split: $("$binary" --version)"
began=$(now_ms)
split up >"$scratch/up" 2>"$scratch/up.err" || { cat "$scratch/up.err" >&2; fail "scripts/split.sh up failed"; }
started_ms=$(($(now_ms) - began))
gateway=$(tail -n 1 "$scratch/up")
sleep 2 # what the start used and gave back is not what a shop needs at rest
split status >"$scratch/status"
# Columns of the status: process, pid, port, resident, share.
column() { awk -v at="$1" '$1 != "gateway" && $2 ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ { sum += $at } END { print sum + 0 }' "$scratch/status"; }
resident_kb=$(column 4)
share_kb=$(column 5)

ask "CREATE DATABASE ${name}_one" >/dev/null
one_process "$scratch/one.log" --data-dir "$scratch/one" --database-url "$(database_url "${name}_one")"
one=$address
split_token=$(prepare "$gateway")
one_token=$(prepare "$one")
place "$one" "$one_token" warm "$scratch/warm"
place "$gateway" "$split_token" warm "$scratch/warm"
for turn in $(seq "$turns"); do
  place "$one" "$one_token" "$turn" "$scratch/one.us"
  place "$gateway" "$split_token" "$turn" "$scratch/split.us"
done
one_us=$(median "$scratch/one.us")
split_us=$(median "$scratch/split.us")

one_process "$scratch/sqlite.log" --data-dir "$scratch/sqlite"
scripts/transcript.sh "$address" >"$scratch/transcript.one"
scripts/transcript.sh "$gateway" >"$scratch/transcript.split"
diff -u "$scratch/transcript.one" "$scratch/transcript.split" || fail "the transcripts differ"

cat "$scratch/status"
echo
echo "the same transcript, byte for byte: $(wc -l <"$scratch/transcript.one") lines"
printf '%-52s %8s us\n' "placing an order in one process, median" "$one_us"
printf '%-52s %8s us\n' "placing an order in the split shop, median" "$split_us"
row "more than in one process" $((split_us - one_us)) "$latency_bar_us" "$latency_limit_us" us
row "from split.sh up to ready, with the demo shop" "$started_ms" "$start_bar_ms" "$start_limit_ms" ms
row "resident in the eight processes, idle" "$resident_kb" "$memory_bar_kb" "$memory_limit_kb" kB
row "the same, each page counted once" "$share_kb" "$memory_bar_kb" "$memory_limit_kb" kB
for what in ${over_bar[@]+"${over_bar[@]}"}; do echo "measure-split: OVER THE BAR: $what" >&2; done
[ "$too_much" -eq 0 ] || fail "a figure is beyond its limit"
if [ ${#over_bar[@]} -eq 0 ]; then
  echo "measure-split: all is well"
else
  echo "measure-split: within the limits, but ${#over_bar[@]} over the bar"
fi
