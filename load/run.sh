#!/usr/bin/env bash
# Measures the shop against what it cannot be faster than, both in the same run:
#
#   load/run.sh [OPTION...] [SCENARIO|all|bars] [TOPOLOGY]     default: all postgres
#
# Scenarios:  health product product-cached page page-cached search search-model search-share search-common list cart place place5
#             hot pay login login-others mix; soak only by name
#             (`bars` are those that have a bar: docs/PERFORMANCE.md). Several with commas.
# Topologies: postgres (one process), split (a process a module behind NGINX, on PostgreSQL, RabbitMQ and Redis), sqlite (one
#             process).
#
#   --products N, --orders N    size of the data [1000, 1000]; with sqlite 1000 products and no orders
#   --seconds N                 of each measured run [10]
#   --warm-up N                 seconds before the first run of each subject [2]
#   --repeats N                 runs of each subject, in turns [3]
#   --connections N             of the driver, and clients of the yardstick [32]
#   --customers N               who buy, with a token each [64]
#   --out FOLDER                where the figures go [target/load/<time>-<topology>]
#   --keep                      leaves the logs of the shop in the output folder, also if all went well
#
# Each has a twin in the environment: LOAD_PRODUCTS, LOAD_ORDERS, ... Further:
#
#   SOUK_BINARY=target/release/souk, LOAD_YARDSTICK=target/yardstick/souk-yardstick     built if they are missing
#   LOAD_POSTGRES_URL           a superuser's, of a server to use instead of a private one with default settings
#   LOAD_DISK=/var/tmp          where the private server and the SQLite files are: a real disk, or nothing is measured
#   LOAD_PAYABLE                orders that `pay` finds [800 a second of a run]
#   LOAD_OTHERS_RATE            reads a second in `login-others` [200]
#   LOAD_SOAK_SECONDS           how long `soak` takes [600]
#   TEST_RABBITMQ_URL, TEST_REDIS_URL       for split
#   SOUK__SECTION__KEY          any setting of the shop, such as SOUK__DATABASE__MAX_CONNECTIONS; else its defaults are measured, but
#                               for limits of requests a minute, the life of tokens and the payment window, which are lifted
#
# Needs wrk, jq, curl, psql, pgbench; for split what scripts/split.sh needs. On Debian: apt-get install wrk jq curl postgresql. Fails if
# any answer is not the one that was asked for. load/README.md says what each figure means.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

here=$PWD/load
products=${LOAD_PRODUCTS:-1000} orders=${LOAD_ORDERS:-1000} seconds=${LOAD_SECONDS:-10} warm_up=${LOAD_WARM_UP:-2}
repeats=${LOAD_REPEATS:-3} connections=${LOAD_CONNECTIONS:-32} customers=${LOAD_CUSTOMERS_COUNT:-64} out=${LOAD_OUT:-} keep=${LOAD_KEEP:-}
binary=${SOUK_BINARY:-target/release/souk}
yardstick=${LOAD_YARDSTICK:-target/yardstick/souk-yardstick}
threads=2 # of wrk and pgbench
modules="auth users catalog cart inventory orders payments notifications"
start_bound_s=60
settle_bound_s=600

scratch=
postgres_folder=
postgres_bin=
server=        # the URL of a superuser
name=load_$$
shop_pid=
bare_pid=
split_folder=
data=          # the SQLite files
databases=()

say() { printf 'load: %s\n' "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

usage() { sed -n '2,/^set -euo/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'; }

leave() {
  local status=$? database
  trap - EXIT INT TERM
  stop_bare || true
  stop_shop || true
  if [ -n "$split_folder" ] && [ -d "$split_folder" ]; then
    # Queues and keys lie in servers that outlive this run.
    split down --purge >"$scratch/purge.log" 2>&1 || { cat "$scratch/purge.log" >&2; say "something of the split shop is left: see above"; }
  fi
  if [ -n "$server" ] && [ -z "$postgres_folder" ]; then
    for database in ${databases[@]+"${databases[@]}"}; do ask postgres "DROP DATABASE IF EXISTS $database WITH (FORCE)" || true; done
  fi
  if [ -n "$postgres_folder" ]; then
    as_postgres "$postgres_bin/pg_ctl" -D "$postgres_folder/data" -m immediate -s stop || say "the private PostgreSQL did not stop"
    rm -rf "$postgres_folder"
  fi
  [ -z "$data" ] || rm -rf "$data"
  if [ -n "$scratch" ]; then
    if [ "$status" -ne 0 ] || [ -n "$keep" ]; then
      mkdir -p "$out/logs"
      cp "$scratch"/*.log "$scratch"/*.txt "$out/logs/" 2>/dev/null || true
      [ "$status" -eq 0 ] || say "logs: $out/logs"
    fi
    rm -rf "$scratch"
  fi
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- the machine ----------------------------------------------------------------------------------------------------------------

is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Leaves a free port in `free`, below those that the system gives to outgoing connections.
free_port() {
  for _ in $(seq 200); do
    free=$((20000 + RANDOM % 10000))
    is_taken "$free" || return 0
  done
  fail "no free port between 20000 and 30000"
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || fail "$tool is missing; on Debian: apt-get install wrk jq curl postgresql nginx-light"
  done
}

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" -ne 0 ]; then
    (cd / && "$@")
  else
    (cd / && runuser -u postgres -- "$@")
  fi
}

ask() { psql -X -w -Atq -v ON_ERROR_STOP=1 -d "$(url_of "$1")" -c "$2"; }

# The address of a database on the server.
url_of() {
  local options='' rest=${server#*://}
  case $rest in *\?*) options="?${rest#*\?}" rest=${rest%%\?*} ;; esac
  echo "postgres://${rest%%/*}/$1$options"
}

# A file system in memory makes every commit free.
check_disk() {
  case $(stat -f -c %T "$1" 2>/dev/null || echo unknown) in
    tmpfs | ramfs) fail "$1 is in memory: commits would cost nothing there; LOAD_DISK names a folder on a disk" ;;
  esac
}

# Default settings, but for the number of connections: fsync, full_page_writes and synchronous_commit are on.
start_postgres() {
  if [ -n "${LOAD_POSTGRES_URL:-}" ]; then
    server=$LOAD_POSTGRES_URL
    ask postgres "SELECT 1" >/dev/null || fail "LOAD_POSTGRES_URL does not answer"
  else
    postgres_bin=$(if command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/initdb" ]; then pg_config --bindir; else
      find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1 | xargs -r dirname; fi)
    [ -n "$postgres_bin" ] || fail "there is no initdb; on Debian: apt-get install postgresql"
    postgres_folder=$(mktemp -d "${LOAD_DISK:-/var/tmp}/souk-load.XXXXXX")
    check_disk "$postgres_folder"
    [ "$(id -u)" -ne 0 ] || chown postgres "$postgres_folder"
    free_port
    as_postgres "$postgres_bin/initdb" -D "$postgres_folder/data" -U postgres -A trust -E UTF8 --no-locale >"$scratch/initdb.log" 2>&1 || fail "initdb failed"
    as_postgres "$postgres_bin/pg_ctl" -D "$postgres_folder/data" -l "$postgres_folder/log" -w -t 60 -s start \
      -o "-p $free -k $postgres_folder -c listen_addresses=127.0.0.1 -c max_connections=300" || fail "the private PostgreSQL did not start"
    server=postgres://postgres@127.0.0.1:$free/postgres
  fi
  local setting
  for setting in fsync synchronous_commit full_page_writes; do
    [ "$(ask postgres "SHOW $setting")" = on ] || fail "$setting of this PostgreSQL is off: its commits are not those of a shop"
  done
}

# The process of the server, if it is on this machine and we may see its folder.
postmaster() {
  local pid
  pid=$(ask postgres "SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)" 2>/dev/null) || return 0
  [ -d "/proc/$pid" ] && grep -q postgres "/proc/$pid/comm" && echo "$pid"
}

# ---- the shop --------------------------------------------------------------------------------------------------------------------

# What a benchmark lifts: how often one address may come, how long a token lives, and when an unpaid order is cancelled.
lift() {
  export SOUK__LIMITS__LOGIN_PER_MINUTE=0 SOUK__LIMITS__REGISTER_PER_MINUTE=0 SOUK__LIMITS__GUEST_CARTS_PER_MINUTE=0
  export SOUK__AUTH__ACCESS_TOKEN_TTL_S=86400 SOUK__ORDERS__PAYMENT_WINDOW_S=864000 SOUK__DEMO__LOAD=false
  export SOUK_RATE_LIMIT=1000000r/s SOUK_RATE_BURST=1000000 SOUK_LOGIN_RATE_LIMIT=1000000r/s SOUK_LOGIN_RATE_BURST=1000000
  export LOAD_WRK=$here/wrk LOAD_THREADS=$threads LOAD_PRODUCTS=$products
}

# Makes the data of the shop, and copies of it for the yardsticks.
make_data() {
  say "making $products products and $orders orders"
  case $topology in
    sqlite)
      data=$(mktemp -d "${LOAD_DISK:-/var/tmp}/souk-load.XXXXXX")
      check_disk "$data"
      products_as_csv >"$scratch/products.csv"
      "$binary" import products "$scratch/products.csv" --data-dir "$data/shop" >"$scratch/import.log" 2>&1 || fail "souk import failed: $(tail -n 3 "$scratch/import.log")"
      mkdir "$data/bare"
      cp "$data"/shop/{catalog,inventory,orders}.sqlite "$data/bare/"
      ;;
    *)
      ask postgres "CREATE DATABASE $name"
      databases+=("$name")
      "$binary" migrate up --database-url "$(url_of "$name")" --data-dir "$scratch/data" >"$scratch/migrate.log" 2>&1 || fail "souk migrate up failed: $(tail -n 3 "$scratch/migrate.log")"
      psql -X -w -q -d "$(url_of "$name")" -v products="$products" -v orders="$orders" -f "$here/generate/postgres.sql" >"$scratch/generate.log" 2>&1 \
        || fail "load/generate/postgres.sql failed: $(tail -n 3 "$scratch/generate.log")"
      # The yardsticks that write do so in a copy of the very same tables, with the same rows.
      # File by file: through the log, as newer servers do, a million orders take minutes.
      ask postgres "CREATE DATABASE ${name}_bare TEMPLATE $name$([ "$(ask postgres 'SHOW server_version_num')" -lt 150000 ] || echo ' STRATEGY file_copy')"
      databases+=("${name}_bare")
      psql -X -w -q -d "$(url_of "${name}_bare")" -f "$here/pgbench/prepare.sql" >"$scratch/prepare.log" 2>&1 || fail "load/pgbench/prepare.sql failed"
      ask postgres CHECKPOINT
      ;;
  esac
}

products_as_csv() {
  echo "sku,name,category,price,currency,stock,description"
  awk -v products="$products" '
  function model(n,   rest, letters, place) {
    rest = (n * 7919077 + 12345) % 11881376
    for (place = 1; place <= 5; place++) { letters = sprintf("%c", 97 + rest % 26) letters; rest = int(rest / 26) }
    return letters
  }
  BEGIN {
    for (n = 1; n <= products; n++)
      printf "LOAD-%07d,Lamp %s S%03d no %07d,shelf-%02d,%.2f,GBP,100000000,\"A lamp of steel and glass for the table or the shelf, with two metres of cable and a warm light. Series %03d.\"\n",
        n, model(n), n % 1000, n, n % 50, (100 + (n * 7919) % 20000) / 100, n % 1000
  }'
}

# start_shop CACHE: with the catalogue's memory `on` or `off`. Does nothing if it runs so already.
start_shop() {
  [ "${shop_cache:-}" != "$1" ] || return 0
  stop_shop
  shop_cache=$1
  if [ "$1" = off ]; then export SOUK__CATALOG__CACHE_ENTRIES=0; else unset SOUK__CATALOG__CACHE_ENTRIES; fi
  say "starting the shop ($topology, cache $1)"
  case $topology in
    split)
      split_folder=$scratch/split
      split up >"$scratch/split-up.log" 2>&1 || { tail -n 20 "$scratch/split-up.log" >&2; fail "scripts/split.sh up failed"; }
      shop=$(tail -n 1 "$scratch/split-up.log")
      ;;
    postgres) one_process --database-url "$(url_of "$name")" --data-dir "$scratch/data" ;;
    sqlite) one_process --data-dir "$data/shop" ;;
  esac
  [ -s "$scratch/customers.tsv" ] || make_customers
}

split() {
  env SOUK_BINARY="$binary" SOUK_SPLIT_DIR="$split_folder" SOUK_SPLIT_DATABASE="$name" SOUK_SPLIT_PREFIX="$name" SOUK_SPLIT_POSTGRES_URL="$server" \
    SOUK_SPLIT_DEMO=false SOUK_ENV_FILE=.env.example \
    ${TEST_RABBITMQ_URL:+SOUK_SPLIT_RABBITMQ_URL="$TEST_RABBITMQ_URL"} ${TEST_REDIS_URL:+SOUK_SPLIT_REDIS_URL="$TEST_REDIS_URL"} \
    scripts/split.sh "$@"
}

one_process() {
  local since=$SECONDS log=$scratch/shop-$shop_cache.log
  : >"$log"
  env SOUK__LOG__FORMAT=json "$binary" serve --port 0 "$@" </dev/null >/dev/null 2>"$log" &
  shop_pid=$!
  until shop=$(sed -n 's/.*listening on \(http:[^;"]*\).*/\1/p' "$log" | head -n 1) && [ -n "$shop" ]; do
    kill -0 "$shop_pid" 2>/dev/null || { tail -n 5 "$log" | cut -c1-400 >&2; fail "the shop did not start"; }
    [ $((SECONDS - since)) -lt "$start_bound_s" ] || fail "the shop was not ready within $start_bound_s s"
    sleep 0.05
  done
}

stop_shop() {
  shop_cache=
  if [ -n "$shop_pid" ]; then
    kill -TERM "$shop_pid" 2>/dev/null || true
    wait "$shop_pid" 2>/dev/null || true
    shop_pid=
  fi
  if [ -n "$split_folder" ] && [ -d "$split_folder" ]; then
    # The database stays for the next start; `leave` drops it.
    split down >"$scratch/split-down.log" 2>&1 || say "scripts/split.sh down failed"
    cp "$split_folder"/log/*.log "$scratch/" 2>/dev/null || true
  fi
}

# The processes of the shop, without the gateway.
shop_pids() {
  if [ "$topology" = split ]; then
    local pid
    for pid in "$split_folder"/run/*.pid; do case $pid in */gateway.pid) ;; *) cut -d ' ' -f 1 "$pid" ;; esac; done
  else
    echo "$shop_pid"
  fi
}

make_customers() {
  say "registering $customers customers"
  "$yardstick" customers --url "$shop" --customers "$customers" --out "$scratch/customers.tsv" >/dev/null || fail "no customers"
  export LOAD_CUSTOMERS=$scratch/customers.tsv
  # Some of the past is theirs: twelve delivered orders each, which the smallest shop has for 64 customers.
  if [ "$topology" != sqlite ]; then
    cut -f 2 "$scratch/customers.tsv" >"$scratch/ids.txt"
    psql -X -w -q -v ON_ERROR_STOP=1 -d "$(url_of "$name")" <<END
CREATE TEMP TABLE ids (n serial, id uuid);
\\copy ids (id) FROM '$scratch/ids.txt'
WITH theirs AS (
    SELECT id, row_number() OVER (ORDER BY created_at_ms DESC, id) AS place
    FROM (SELECT id, created_at_ms FROM orders.orders WHERE status = 'delivered' ORDER BY created_at_ms DESC LIMIT 12 * $customers) AS past
)
UPDATE orders.orders SET user_id = ids.id FROM theirs, ids WHERE orders.orders.id = theirs.id AND ids.n = 1 + theirs.place % $customers;
VACUUM (ANALYZE) orders.orders;
END
  else
    "$yardstick" place --url "$shop" --customers "$scratch/customers.tsv" --orders $((customers * 12)) --run past-$$ --out "$scratch/past.tsv" >/dev/null
  fi
}

# Until nothing is under way any more, so that what one run left to do is not the next one's. Leaves the seconds in `settled_s`.
settle() {
  local began=$SECONDS waiting=1 module sql=
  settled_s=0
  for module in $modules; do
    case $topology in
      sqlite) ;;
      *) sql="$sql${sql:+ UNION ALL }SELECT count(*) AS n FROM $module.outbox WHERE published_at_ms IS NULL AND dead_at_ms IS NULL" ;;
    esac
  done
  local calm=0
  while [ "$calm" -lt 2 ]; do
    if [ "$topology" = sqlite ]; then
      waiting=0
      for module in $modules; do
        waiting=$((waiting + $(sqlite3 -readonly "$data/shop/$module.sqlite" "SELECT count(*) FROM outbox WHERE published_at_ms IS NULL AND dead_at_ms IS NULL")))
      done
      waiting=$((waiting + $(sqlite3 -readonly "$data/shop/notifications.sqlite" "SELECT count(*) FROM notifications WHERE status = 'queued'")))
    else
      waiting=$(ask "$name" "SELECT sum(n) FROM ($sql UNION ALL SELECT count(*) FROM notifications.notifications WHERE status = 'queued') AS waiting")
    fi
    if [ "$waiting" -eq 0 ]; then calm=$((calm + 1)); else calm=0 settled_s=$((SECONDS - began)); fi
    [ $((SECONDS - began)) -lt "$settle_bound_s" ] || fail "after $settle_bound_s s $waiting events and letters still wait"
    [ "$calm" -ge 2 ] || sleep 0.5
  done
}

# ---- the bare handlers ---------------------------------------------------------------------------------------------------------------

start_bare() {
  [ -z "$bare_pid" ] || return 0
  local since=$SECONDS
  free_port
  "$yardstick" reads --database-url "$(url_of "$name")" --port "$free" </dev/null >"$scratch/bare.log" 2>&1 &
  bare_pid=$!
  bare=http://127.0.0.1:$free
  until curl -fs -o /dev/null --max-time 2 "$bare/health"; do
    kill -0 "$bare_pid" 2>/dev/null || { tail -n 5 "$scratch/bare.log" >&2; fail "the bare handlers did not start"; }
    [ $((SECONDS - since)) -lt "$start_bound_s" ] || fail "the bare handlers were not ready"
    sleep 0.05
  done
}

stop_bare() {
  [ -n "$bare_pid" ] || return 0
  kill -TERM "$bare_pid" 2>/dev/null || true
  wait "$bare_pid" 2>/dev/null || true
  bare_pid=
}

# same PATH [PATH OF THE BARE HANDLER [TOKEN]]: both answer the same bytes, or they do not do the same work.
same() {
  curl -fsS ${3:+-H "Authorization: Bearer $3"} "$shop$1" >"$scratch/shop.body" && curl -fsS "$bare${2:-$1}" >"$scratch/bare.body" \
    || fail "$1 is not answered"
  cmp -s "$scratch/shop.body" "$scratch/bare.body" || {
    head -c 600 "$scratch/shop.body" >&2; echo >&2; head -c 600 "$scratch/bare.body" >&2; echo >&2
    fail "the shop and the bare handler answer $1 in other bytes"
  }
}

# ---- measuring ---------------------------------------------------------------------------------------------------------------------

ticks=$(getconf CLK_TCK)

# The CPU time that processes have used, in ticks. With `tree` also that of their children, alive or gone.
ticks_of() {
  local kind=$1 pid child sum=0 stat
  shift
  for pid in "$@"; do
    stat=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) || continue
    # shellcheck disable=SC2086 # fields: state is 1, utime 12, stime 13, cutime 14, cstime 15
    set -- $stat
    sum=$((sum + ${12} + ${13}))
    if [ "$kind" = tree ]; then
      sum=$((sum + ${14} + ${15}))
      for child in $(pgrep -P "$pid" || true); do
        stat=$(sed 's/.*) //' "/proc/$child/stat" 2>/dev/null) || continue
        # shellcheck disable=SC2086
        set -- $stat
        sum=$((sum + ${12} + ${13}))
      done
    fi
  done
  echo "$sum"
}

# What processes have resident, in kB, together.
resident_kb() {
  local pid pages rest sum=0
  for pid in "$@"; do
    read -r _ pages rest 2>/dev/null <"/proc/$pid/statm" || continue
    sum=$((sum + pages * page_kb))
  done
  echo "$sum"
}
page_kb=$(($(getconf PAGESIZE) / 1024))

# measured SCENARIO SUBJECT REPEAT COMMAND...: runs the command, whose last line is a line of JSON, and adds it with what processes
# used meanwhile to the file of runs. SUBJECT `shop` and what begins with it measures the shop's processes, others theirs.
measured() {
  local scenario=$1 subject=$2 repeat=$3 pids gateway= master= before_s before_g before_p driver peak=0 now status=0
  shift 3
  case $subject in
    shop*) pids=$(shop_pids) ;;
    bare) pids=$bare_pid ;;
    *) pids= ;;
  esac
  case $subject-$topology in shop*-split) gateway=$(cut -d ' ' -f 1 "$split_folder/run/gateway.pid") ;; esac
  [ "$topology" = sqlite ] || master=$(postmaster)
  # Every run begins with clean buffers, not with what the one before it left to be written.
  [ "$topology" = sqlite ] || ask postgres CHECKPOINT
  # shellcheck disable=SC2086 # pids
  before_s=$(ticks_of each $pids) before_g=$(ticks_of tree $gateway) before_p=$(ticks_of tree $master)
  "$@" >"$scratch/run.txt" 2>"$scratch/run.err.txt" &
  driver=$!
  while kill -0 "$driver" 2>/dev/null; do
    # shellcheck disable=SC2086
    now=$(resident_kb $pids)
    [ "$now" -le "$peak" ] || peak=$now
    sleep 0.3
  done
  wait "$driver" || status=$?
  [ "$status" -eq 0 ] || { tail -n 20 "$scratch/run.err.txt" "$scratch/run.txt" >&2; fail "$scenario, $subject: the driver failed"; }
  # shellcheck disable=SC2086
  local after_s after_g after_p
  # shellcheck disable=SC2086
  after_s=$(ticks_of each $pids) after_g=$(ticks_of tree $gateway) after_p=$(ticks_of tree $master)
  sed -n 's/^JSON //p' "$scratch/run.txt" >"$scratch/run.json"
  [ -s "$scratch/run.json" ] || tail -n 1 "$scratch/run.txt" >"$scratch/run.json"
  jq -e 'type == "object"' "$scratch/run.json" >/dev/null || { tail -n 5 "$scratch/run.txt" >&2; fail "$scenario, $subject: no figures"; }
  jq -c --arg scenario "$scenario" --arg topology "$topology" --arg subject "$subject" --argjson repeat "$repeat" --argjson hz "$ticks" \
    --argjson subject_ticks "$((after_s - before_s))" --argjson gateway_ticks "$((after_g - before_g))" --argjson postgres_ticks "$((after_p - before_p))" \
    --argjson has_subject "$([ -n "$pids" ] && echo true || echo false)" --argjson has_gateway "$([ -n "$gateway" ] && echo true || echo false)" \
    --argjson has_postgres "$([ -n "$master" ] && echo true || echo false)" --argjson rss_kb "$peak" '
    {scenario: $scenario, topology: $topology, subject: $subject, repeat: $repeat} + . + {
      per_second: (if .elapsed_us > 0 then .requests * 1e6 / .elapsed_us else 0 end),
      cpu_s: (if $has_subject then $subject_ticks / $hz else null end),
      cpu_gateway_s: (if $has_gateway then $gateway_ticks / $hz else null end),
      cpu_postgres_s: (if $has_postgres then $postgres_ticks / $hz else null end),
      rss_kb: (if $has_subject then $rss_kb else null end)}' "$scratch/run.json" >"$scratch/run.line"
  if [ "$repeat" -gt 0 ]; then cat "$scratch/run.line" >>"$out/runs.jsonl"; fi
  say "$(jq -r '"\(.scenario) \(.subject) \(if .repeat == 0 then "warm-up" else "run \(.repeat)" end): \(.per_second | . * 10 | round / 10)/s, p99 \(.p99_us // 0) us"' "$scratch/run.line")"
  # A benchmark that measures refusals is a defect.
  if [ "$(jq '.unexpected // 0' "$scratch/run.line")" -ne 0 ]; then
    jq . "$scratch/run.line" >&2
    fail "$scenario, $subject: answers that were not asked for (see unexpected...)"
  fi
  [ "$(jq .requests "$scratch/run.line")" -gt 0 ] || fail "$scenario, $subject: nothing was answered"
}

# wrk_at URL SECONDS SCRIPT
wrk_at() { wrk -t "$threads" -c "$connections" -d "${2}s" --timeout 60s -s "$here/wrk/$3.lua" "$1"; }

# pgbench_at SCRIPT SECONDS FIRST WIDTH: prints pgbench's figures as JSON, with percentiles from its log of transactions.
pgbench_at() {
  rm -f "$scratch"/pgbench_log.*
  pgbench -n -M prepared -c "$connections" -j "$threads" -T "$2" -f "$here/pgbench/$1.sql" -D first="$3" -D width="$4" \
    -l --log-prefix "$scratch/pgbench_log" "$(url_of "${name}_bare")" >"$scratch/pgbench.txt" 2>&1 || { cat "$scratch/pgbench.txt"; return 1; }
  cut -d ' ' -f 3 "$scratch"/pgbench_log.* | sort -n | awk -v failed="$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' "$scratch/pgbench.txt")" \
    -v tps="$(sed -n 's/^tps = \([0-9.]*\) (without.*/\1/p' "$scratch/pgbench.txt")" '
    { time[NR] = $1; sum += $1 }
    function at(share,   rank) { rank = int(NR * share); if (rank < NR * share) rank++; return time[rank] + 0 }
    END { printf "{\"requests\": %d, \"elapsed_us\": %d, \"mean_us\": %d, \"p50_us\": %d, \"p90_us\": %d, \"p99_us\": %d, \"p999_us\": %d, \"max_us\": %d, \"unexpected\": %d}\n",
      NR, NR / tps * 1e6, sum / NR, at(0.5), at(0.9), at(0.99), at(0.999), time[NR], failed }'
  rm -f "$scratch"/pgbench_log.*
}

# in_turns SCENARIO SUBJECT...: for each subject, `run_SUBJECT SECONDS` is a command. Warms each up and runs them in turns.
in_turns() {
  local scenario=$1 subject repeat
  shift
  for repeat in $(seq 0 "$repeats"); do
    for subject in "$@"; do
      local length=$seconds
      if [ "$repeat" -eq 0 ]; then length=$warm_up; fi
      [ "$length" -gt 0 ] || continue
      # A login takes a second or more when all connections log in: some have to end within a run.
      case $scenario in login*) [ "$length" -ge 10 ] || length=$((repeat == 0 ? 5 : 10)) ;; esac
      export LOAD_RUN=$subject-$scenario-$repeat-$RANDOM$RANDOM
      case $subject in shop*) ! command -v "before_$scenario_kind" >/dev/null || "before_$scenario_kind" "$length" ;; esac
      measured "$scenario" "$subject" "$repeat" "run_$subject" "$length"
      case $subject in shop*) ! command -v "after_$scenario_kind" >/dev/null || "after_$scenario_kind" "$repeat" ;; esac
    done
  done
}

# ---- scenarios ----------------------------------------------------------------------------------------------------------------------

# The model of a product, as load/generate makes it.
model() {
  local rest=$((($1 * 7919077 + 12345) % 11881376)) letters= place
  for place in 1 2 3 4 5; do
    letters=$(printf "\\$(printf %o $((97 + rest % 26)))")$letters rest=$((rest / 26))
  done
  echo "$letters"
}

# read_path SCENARIO CACHE PATH: the same request of the shop and of the bare handlers.
read_path() {
  local path=$3
  start_shop "$2"
  scenario_kind=read
  export LOAD_PATH=$path
  run_shop() { wrk_at "$shop" "$1" get; }
  run_bare() { wrk_at "$bare" "$1" get; }
  if [ "$topology" = sqlite ]; then
    in_turns "$1" shop
    return
  fi
  start_bare
  local n
  for n in 1 7 42; do
    path=${3/\%sku/$(printf 'LOAD-%07d' "$n")} path=${path/\%category/shelf-$(printf %02d "$n")} path=${path/\%series/s$(printf %03d "$n")} path=${path/\%number/$(printf %07d "$n")} path=${path/\%model/$(model "$n")}
    same "$path"
  done
  in_turns "$1" shop bare
}

scenario_health() { read_path health on /health; }
scenario_product() { read_path product off /catalog/products/%sku; }
scenario_product-cached() { read_path product-cached on /catalog/products/%sku; }
scenario_page() { read_path page off '/catalog/products?category=%category'; }
scenario_page-cached() { read_path page-cached on '/catalog/products?category=%category'; }
scenario_search() { read_path search off '/catalog/products?search=%number'; }
scenario_search-model() { read_path search-model off '/catalog/products?search=%model'; }
scenario_search-share() { read_path search-share off '/catalog/products?search=%series'; }
scenario_search-common() { read_path search-common off '/catalog/products?search=lamp'; }

scenario_list() {
  start_shop on
  scenario_kind=read
  run_shop() { wrk_at "$shop" "$1" orders; }
  run_bare() { LOAD_BARE=yes wrk_at "$bare" "$1" orders; }
  if [ "$topology" = sqlite ]; then
    in_turns list shop
    return
  fi
  start_bare
  local id token
  IFS=$'\t' read -r _ id token <"$scratch/customers.tsv"
  same /orders "/orders?user_id=$id" "$token"
  in_turns list shop bare
}

orders_so_far() { if [ "$topology" = sqlite ]; then sqlite3 -readonly "$data/shop/orders.sqlite" "SELECT count(*) FROM orders"; else ask "$name" "SELECT count(*) FROM orders.orders"; fi; }

before_place() { placed_before=$(orders_so_far); }

# What was acknowledged is there; and what follows an order is done before anything else is measured.
after_place() {
  local placed answered
  placed=$(($(orders_so_far) - placed_before)) answered=$(jq .requests "$scratch/run.line")
  if [ "$placed" -lt "$answered" ] || [ "$placed" -gt $((answered + connections)) ]; then
    fail "$answered orders were acknowledged, and $placed were written"
  fi
  settle
  if [ "$1" -gt 0 ]; then
    jq -nc --arg scenario "$scenario" --argjson repeat "$1" --argjson settled_s "$settled_s" '{scenario: $scenario, repeat: $repeat, settled_s: $settled_s}' >>"$out/settled.jsonl"
  fi
}

# place_orders SCENARIO LINES WIDTH YARDSTICK...
place_orders() {
  local lines=$2 width=$3
  start_shop on
  scenario_kind=place scenario=$1
  export LOAD_LINES=$lines LOAD_FIRST=1 LOAD_WIDTH=$width
  run_shop() { wrk_at "$shop" "$1" place; }
  run_one() { pgbench_at "one-$LOAD_LINES" "$1" 1 "$LOAD_WIDTH"; }
  run_saga() { pgbench_at "saga-$LOAD_LINES" "$1" 1 "$LOAD_WIDTH"; }
  run_saga-effects() { pgbench_at "saga-effects-$LOAD_LINES" "$1" 1 "$LOAD_WIDTH"; }
  run_driver() { "$yardstick" sqlite --folder "$data/bare" --clients "$connections" --seconds "$1" --spread $((LOAD_LINES * LOAD_WIDTH)) --lines "$LOAD_LINES"; }
  settle
  if [ "$topology" = sqlite ]; then
    in_turns "$1" shop driver
  else
    shift 3
    in_turns "$scenario" shop "$@"
  fi
}

scenario_place() { place_orders place 1 1000 one saga saga-effects; }
scenario_place5() { place_orders place5 5 200 one saga; }
scenario_hot() { place_orders hot 1 1 one saga; }

scenario_cart() {
  start_shop on
  scenario_kind=cart
  run_shop() { wrk_at "$shop" "$1" cart; }
  run_one() { pgbench_at cart "$1" 1 20; }
  if [ "$topology" = sqlite ]; then in_turns cart shop; else in_turns cart shop one; fi
}

before_pay() {
  local payable=${LOAD_PAYABLE:-$((800 * $1))}
  "$yardstick" place --url "$shop" --customers "$scratch/customers.tsv" --orders "$payable" --run "$LOAD_RUN" --out "$scratch/payable.tsv" >/dev/null || fail "no orders to pay"
  export LOAD_ORDERS=$scratch/payable.tsv
  settle
}

after_pay() {
  [ "$(jq .requests "$scratch/run.line")" -lt $(($(wc -l <"$scratch/payable.tsv") - threads)) ] || fail "pay ran out of orders; raise LOAD_PAYABLE"
  settle
}

scenario_pay() {
  start_shop on
  scenario_kind=pay
  run_shop() { wrk_at "$shop" "$1" pay; }
  in_turns pay shop
}

# A number among the settings of the shop.
setting() { "$binary" config show --data-dir "$scratch/data" | sed -n "s/^$1 = //p"; }

scenario_login() {
  start_shop on
  scenario_kind=login
  run_shop() { wrk_at "$shop" "$1" login; }
  run_hash() { "$yardstick" hash --threads "$(setting hashing_threads)" --cost "$(setting bcrypt_cost)" --seconds "$1"; }
  in_turns login shop hash
}

# What others notice of logins: reads at a fixed rate, alone, and while all connections log in.
scenario_login-others() {
  start_shop on
  scenario_kind=read
  others() {
    "$yardstick" drive --url "$shop" --customers "$scratch/customers.tsv" --connections 8 --seconds "$1" --warm-up 1 --rate "${LOAD_OTHERS_RATE:-200}" --products "$products" \
      --run "$LOAD_RUN" --mix product=60,page=30,search=10
  }
  run_shop() { others "$1"; }
  run_shop-logins() {
    local storm status=0
    wrk_at "$shop" $(($1 + 3)) login >"$scratch/storm.txt" 2>&1 &
    storm=$!
    sleep 1
    others "$1" || status=$?
    wait "$storm" || status=$?
    [ "$(sed -n 's/^JSON //p' "$scratch/storm.txt" | jq .unexpected)" = 0 ] || { cat "$scratch/storm.txt" >&2; return 1; }
    return "$status"
  }
  in_turns login-others shop shop-logins
}

# The mix: first as fast as it is answered, which finds the highest rate; then at 70 % of that, with appointments.
scenario_mix() {
  start_shop on
  settle
  scenario_kind=mix
  drive() { "$yardstick" drive --url "$shop" --customers "$scratch/customers.tsv" --connections "$connections" --seconds "$1" --warm-up "$warm_up" --products "$products" --run "$LOAD_RUN" "${@:2}"; }
  run_shop-highest() { drive "$1"; }
  run_shop-at-70() { drive "$1" --rate "$rate"; }
  after_mix() { settle; }
  in_turns mix shop-highest
  rate=$(jq -s 'map(select(.scenario == "mix" and .subject == "shop-highest") | .per_second) | sort | .[length / 2 | floor] * 0.7 | floor' "$out/runs.jsonl")
  say "the highest rate is $((rate * 10 / 7)) a second; 70 % of it: $rate"
  in_turns mix shop-at-70
  unset -f after_mix
}

# Whether memory stays where it is: the mix at 70 % of its highest rate for LOAD_SOAK_SECONDS, with the memory of the shop every ten seconds.
scenario_soak() {
  start_shop on
  settle
  scenario_kind=mix
  drive() { "$yardstick" drive --url "$shop" --customers "$scratch/customers.tsv" --connections "$connections" --seconds "$1" --warm-up "$warm_up" --products "$products" --run "$LOAD_RUN" "${@:2}"; }
  run_shop-highest() { drive "$1"; }
  in_turns soak shop-highest
  local rate
  rate=$(jq -s 'map(select(.scenario == "soak" and .subject == "shop-highest") | .per_second) | sort | .[length / 2 | floor] * 0.7 | floor' "$out/runs.jsonl")
  settle
  run_shop-soak() {
    local sampler began=$SECONDS status=0
    # shellcheck disable=SC2046 # pids
    while :; do printf '%s\t%s\n' $((SECONDS - began)) "$(resident_kb $(shop_pids))"; sleep 10; done >"$out/soak.tsv" &
    sampler=$!
    drive "$1" --rate "$rate" || status=$?
    kill "$sampler"
    return "$status"
  }
  export LOAD_RUN=soak-$RANDOM$RANDOM
  measured soak shop-soak 1 run_shop-soak "${LOAD_SOAK_SECONDS:-600}"
}

# ---- the report -----------------------------------------------------------------------------------------------------------------------

# How long this disk takes to store a page for good, on average: what a commit cannot be faster than, unless it shares the wait.
flush_us() {
  local folder=${LOAD_DISK:-/var/tmp} began took
  began=$(date +%s%N)
  dd if=/dev/zero of="$folder/souk-load-flush.$$" bs=8k count=200 oflag=dsync status=none 2>/dev/null || { rm -f "$folder/souk-load-flush.$$" && echo null && return; }
  took=$(($(date +%s%N) - began))
  rm -f "$folder/souk-load-flush.$$"
  echo $((took / 200000))
}

conditions() {
  jq -n --arg topology "$topology" --arg at "$(date -u +%FT%TZ)" --arg souk "$("$binary" --version)" --arg commit "$(git rev-parse --short HEAD 2>/dev/null || true)" \
    --arg cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" --argjson cores "$(nproc)" --arg memory "$(awk '/^MemTotal/ { printf "%d MB", $2 / 1024 }' /proc/meminfo)" \
    --arg kernel "$(uname -sr)" --arg postgres "$([ -z "$server" ] || ask postgres 'SHOW server_version')" --arg load_before "$load_before" \
    --argjson flush_us "$flush_us" --argjson products "$products" --argjson orders "$orders" --argjson seconds "$seconds" --argjson repeats "$repeats" --argjson connections "$connections" --argjson customers "$customers" \
    --arg settings "$(env | grep '^SOUK__' | grep -v 'SECRET\|PEPPER\|URL' | sort | tr '\n' ' ')" \
    '{at: $at, topology: $topology, souk: $souk, commit: $commit, cpu: $cpu, cores: $cores, memory: $memory, kernel: $kernel, postgres: $postgres, load_before: $load_before, flush_us: $flush_us,
      products: $products, orders: $orders, seconds: $seconds, repeats: $repeats, connections: $connections, customers: $customers, settings: $settings}'
}

report() {
  [ -s "$out/runs.jsonl" ] || return 0
  touch "$out/settled.jsonl"
  conditions >"$out/conditions.json"
  jq -s --slurpfile conditions "$out/conditions.json" --slurpfile settled "$out/settled.jsonl" -f "$here/report.jq" "$out/runs.jsonl" >"$out/report.json"
  {
    jq -r '.conditions | "souk load, \(.topology): \(.souk) \(.commit), \(.at)",
      "\(.cores) cores (\(.cpu)), \(.memory), \(.kernel); PostgreSQL \(.postgres); a flush: \(.flush_us) us; load before: \(.load_before)",
      "\(.products) products, \(.orders) orders; \(.repeats) runs of \(.seconds) s in turns, \(.connections) connections, \(.customers) customers"' "$out/report.json"
    echo
    printf '%-14s %-14s %9s %9s %9s %9s %9s %8s %8s %8s %7s  %s\n' scenario subject "req/s" min max "p50 us" "p99 us" "cpu us" "gate us" "pg us" "RSS MB" "of the yardsticks"
    jq -r 'def whole: if . == null then "-" else round | tostring end; def tenth: if . == null then "-" elif . >= 100 then round | tostring else . * 10 | round / 10 | tostring end;
      .results[] | [.scenario, .subject, (.per_second.median | tenth), (.per_second.min | tenth), (.per_second.max | tenth), (.p50_us | whole), (.p99_us | whole),
      (.cpu_us_per_request | whole), (.gateway_cpu_us_per_request | whole), (.postgres_cpu_us_per_request | whole), (if .rss_kb then .rss_kb / 1024 | whole else "-" end),
      (if (.ratios | length) > 0 then ([.ratios | to_entries[] | "\(.value.median * 1000 | round / 1000) \(if (.key | startswith("shop")) then "times the p99 as" else "of" end) \(.key) (\(.value.min * 1000 | round / 1000)..\(.value.max * 1000 | round / 1000))"] | join(", ")) else "" end)] | @tsv' \
      "$out/report.json" | while IFS=$'\t' read -r -a row; do
      printf '%-14s %-14s %9s %9s %9s %9s %9s %8s %8s %8s %7s  %s\n' "${row[@]}"
    done
    echo
    [ ! -s "$out/soak.tsv" ] || awk -F '\t' '{ mb[NR] = $2 / 1024; at[NR] = $1 } END { printf "soak: the memory of the shop in MB after"
      for (part = 1; part <= 5; part++) { n = int((NR - 1) * part / 5) + 1; printf "%s %d s: %.1f", (part > 1 ? "," : ""), at[n], mb[n] } print "" }' "$out/soak.tsv"
    jq -r '.settled[]? | "\(.scenario): what followed the orders of a run was done \(.settled_s.median) s after it (\(.settled_s.min)..\(.settled_s.max))"' "$out/report.json"
  } >"$out/report.txt"
  cat "$out/report.txt"
  say "figures: $out/report.txt, report.json, runs.jsonl"
}

# ---- arguments --------------------------------------------------------------------------------------------------------------------------

all="health product page search search-model search-share search-common product-cached page-cached list cart place place5 hot pay login login-others mix"
extra="soak" # only by name: it takes minutes
bars="product page product-cached place hot login login-others mix"
words=()
while [ $# -gt 0 ]; do
  case $1 in
    --products) products=$2 && shift 2 ;;
    --orders) orders=$2 && shift 2 ;;
    --seconds) seconds=$2 && shift 2 ;;
    --warm-up) warm_up=$2 && shift 2 ;;
    --repeats) repeats=$2 && shift 2 ;;
    --connections) connections=$2 && shift 2 ;;
    --customers) customers=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --keep) keep=yes && shift ;;
    -h | --help | help) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
    *) words+=("$1") && shift ;;
  esac
done
topology=${words[1]:-postgres}
case ${words[0]:-all} in
  all) scenarios=$all ;;
  bars) scenarios=$bars ;;
  *) scenarios=${words[0]//,/ } ;;
esac
case $topology in postgres | split | sqlite) ;; *) fail "no topology $topology: postgres, split or sqlite" ;; esac
for scenario in $scenarios; do
  case " $all $extra " in *" $scenario "*) ;; *) fail "no scenario $scenario: $all $extra" ;; esac
done
for number in "$products" "$orders" "$seconds" "$warm_up" "$repeats" "$connections" "$customers"; do
  case $number in "" | *[!0-9]*) fail "not a number: $number" ;; esac
done
[ "$products" -ge 1000 ] || fail "orders are spread over 1000 SKUs: at least 1000 products"
[ "$connections" -ge "$threads" ] && [ "$customers" -ge "$threads" ] || fail "at least $threads connections and customers"

need wrk jq curl pgrep
case $topology in
  sqlite) need sqlite3; orders=0 ;;
  *) need psql pgbench ;;
esac
if [ ! -x "$binary" ]; then
  [ -z "${SOUK_BINARY:-}" ] || fail "there is no $binary; SOUK_BINARY names it"
  cargo build --release --locked >&2
fi
if [ ! -x "$yardstick" ]; then
  [ -z "${LOAD_YARDSTICK:-}" ] || fail "there is no $yardstick; LOAD_YARDSTICK names it"
  cargo build --profile yardstick --locked -p souk-yardstick >&2
fi
! grep -aqE 'SOUK_FAILPOINTS|commit\.before' "$binary" || fail "$binary was built with the feature failpoints"
case $binary in /*) ;; *) binary=$PWD/$binary ;; esac

out=${out:-target/load/$(date -u +%Y%m%dT%H%M%SZ)-$topology}
mkdir -p "$out"
out=$(cd "$out" && pwd)
: >"$out/runs.jsonl"
: >"$out/settled.jsonl"
scratch=$(mktemp -d)
load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
[ "$(awk '{ print ($1 > 0.5) }' /proc/loadavg)" = 0 ] || say "THE MACHINE IS NOT QUIET (load $load_before): figures of this run say little"
flush_us=$(flush_us)

lift
[ "$topology" = sqlite ] || start_postgres
make_data
for scenario in $scenarios; do
  say "---- $scenario"
  "scenario_$scenario"
done
stop_bare
stop_shop
if [ "$topology" != sqlite ]; then
  doctor=(--database-url "$(url_of "$name")" --data-dir "$scratch/data")
else
  doctor=(--data-dir "$data/shop")
fi
say "asking souk doctor"
status=0
"$binary" doctor "${doctor[@]}" >"$scratch/doctor.txt" 2>&1 || status=$?
case $status in
  0) say "souk doctor: $(tail -n 1 "$scratch/doctor.txt")" ;;
  2) say "souk doctor found nothing, but could not look at everything: $(tail -n 1 "$scratch/doctor.txt")" ;; # a statement of 30 s is too short for millions of rows
  *) tail -n 20 "$scratch/doctor.txt" >&2 && fail "souk doctor found something after the runs" ;;
esac
report
