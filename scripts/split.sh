#!/usr/bin/env bash
# The split shop on this machine, without containers: a process per module behind a real NGINX, on PostgreSQL, RabbitMQ and
# Redis servers that run already. The same NGINX template and the same environment file as docker-compose.yml.
#
#   scripts/split.sh up                 starts it; the last line of the output is the address of the gateway
#   scripts/split.sh status             every process: pid, port, memory, readiness; exit code 1 if one is not ready
#   scripts/split.sh logs [PROCESS]     follows the log of one process, or of all; `gateway` and `access` are NGINX's
#   scripts/split.sh start PROCESS      starts a process that has died, on its port; a group's replicas in turn
#   scripts/split.sh restart PROCESS    stops a process gently and starts it again on its port; a group's replicas in turn
#   scripts/split.sh down [--purge]     stops it; with --purge also deletes the database, the queues, the keys and the folder
#
# Needs nginx, psql and curl; openssl for TLS; cargo if the binary is not built. The environment, with its defaults:
#
#   SOUK_BINARY=target/release/souk     built if it is missing
#   SOUK_GROUPS="auth users catalog cart inventory orders payments notifications"
#                                       the processes: each a list of modules with commas, and *N for N replicas
#   SOUK_ENV_FILE=.env                  or .env.example; what the caller's environment has wins over it
#   SOUK_SPLIT_DIR=data/split           pids, logs, NGINX's folder, outgoing mail; a new or empty folder, or one of an earlier `up`
#   SOUK_SPLIT_POSTGRES_URL             a superuser's; tries you, postgres and root at 127.0.0.1:5432
#   SOUK_SPLIT_RABBITMQ_URL=amqp://guest:guest@127.0.0.1:5672/%2f
#   SOUK_SPLIT_REDIS_URL=redis://127.0.0.1:6379/
#   SOUK_SPLIT_DATABASE=souk_split      is created; `down --purge` drops it
#   SOUK_SPLIT_PREFIX=souk_split        of the names in RabbitMQ and Redis
#   SOUK_SPLIT_DEMO=true                whether a new database gets the demo shop
#   SOUK_NGINX=nginx
#
# Several splits run side by side if each has its own DIR, DATABASE and PREFIX. The commands after `up` need only the DIR.
set -euo pipefail
set -f # `orders*2` is no pattern of file names
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

modules="auth users catalog cart inventory orders payments notifications"
start_bound_s=60
stop_bound_s=40 # a process itself ends within 30 s

say() { echo "split: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

absolute() {
  case $1 in
    /*) echo "$1" ;;
    *) echo "$caller/$1" ;;
  esac
}

dir=$(absolute "${SOUK_SPLIT_DIR:-$PWD/data/split}")
marker=$dir/.souk-split # says that the folder is ours: what is in it may be deleted

# ---- processes ----------------------------------------------------------------------------------------------------------

# A pid is used again by the system, so the time of the start belongs to it. A zombie is dead, even if nobody reaps it.
identity() {
  local state
  state=$(ps -o stat= -o lstart= -p "$1" 2>/dev/null) || return 1
  # shellcheck disable=SC2086 # the state, then the words of the time
  set -- "$1" $state
  case $2 in Z*) return 1 ;; esac
  echo "$1 ${*:3}"
}

# The pid of a process if it runs.
pid_of() {
  local recorded pid
  [ -s "$dir/run/$1.pid" ] || return 1
  recorded=$(cat "$dir/run/$1.pid")
  pid=${recorded%% *}
  [ "$(identity "$pid")" = "$recorded" ] || return 1
  echo "$pid"
}

port_of() { cat "$dir/run/$1.port"; }

# The names of the processes, one a line, in the order of their start; not the gateway.
names() { [ ! -s "$dir/processes" ] || cat "$dir/processes"; }

# launch NAME COMMAND...: in the background, in a session of its own, so that neither Ctrl-C nor the end of the terminal
# reaches it. Standard output and error go where the caller of launch sends them; nothing else of ours stays open in it.
launch() {
  local name=$1 detach=
  shift
  command -v setsid >/dev/null && detach=setsid
  $detach "$@" </dev/null 9>&- &
  local pid=$!
  identity "$pid" >"$dir/run/$name.pid" || true # if it has ended already, whoever waits for it says so
}

# Sends a signal to a process, if it runs.
signal() {
  local pid
  pid=$(pid_of "$2") || return 0
  kill -"$1" "$pid" 2>/dev/null || true
}

# await_end NAME...: until all have ended. What does not end in time is killed.
await_end() {
  local name since=$SECONDS status=0
  for name in "$@"; do
    while pid_of "$name" >/dev/null; do
      if [ $((SECONDS - since)) -ge "$stop_bound_s" ]; then
        say "$name did not stop within $stop_bound_s s; killing it"
        signal KILL "$name"
        status=1
        sleep 0.2
      fi
      sleep 0.05
    done
    rm -f "$dir/run/$name.pid"
  done
  return "$status"
}

start_process() {
  (
    # shellcheck source=/dev/null
    . "$dir/env/$1"
    # Only a build for tests has failpoints; each process has a folder of its own.
    if [ -n "${SOUK_FAILPOINTS_DIR:-}" ]; then
      export SOUK_FAILPOINTS_DIR=$SOUK_FAILPOINTS_DIR/$1
      mkdir -p "$SOUK_FAILPOINTS_DIR"
    fi
    launch "$1" "$SOUK_SPLIT_USED_BINARY" serve --config config/split.toml >>"$dir/log/$1.log" 2>&1
  )
}

answers() { curl -fs -o /dev/null --max-time 2 "$1"; }

# await_ready NAME URL
await_ready() {
  local since=$SECONDS
  until answers "$2"; do
    if ! pid_of "$1" >/dev/null; then
      tail -n 15 "$dir/log/$1.log" 2>/dev/null | cut -c1-400 >&2
      fail "$1 ended before it was ready; its log: $dir/log/$1.log"
    fi
    if [ $((SECONDS - since)) -ge "$start_bound_s" ]; then
      tail -n 15 "$dir/log/$1.log" 2>/dev/null | cut -c1-400 >&2
      fail "$1 was not ready within $start_bound_s s; its log: $dir/log/$1.log"
    fi
    sleep 0.03
  done
}

# Requests first, then who answers them.
stop_all() {
  local status=0
  signal QUIT gateway
  await_end gateway || status=1
  local name
  for name in $(names); do signal TERM "$name"; done
  # shellcheck disable=SC2046 # names have no blanks
  await_end $(names) || status=1
  return "$status"
}

runs() {
  local name
  [ -s "$dir/processes" ] || return 1
  for name in $(names) gateway; do pid_of "$name" >/dev/null || return 1; done
}

# ---- settings ---------------------------------------------------------------------------------------------------------------

# Puts the lines of the environment file into the environment, except where the caller has said otherwise.
read_env_file() {
  local file=$1 line key value
  [ -r "$file" ] || fail "there is no $file; SOUK_ENV_FILE names it"
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      "" | "#"*) continue ;;
      *=*) ;;
      *) fail "$file: no KEY=value: $line" ;;
    esac
    key=${line%%=*}
    value=${line#*=}
    case $key in
      "" | [0-9]* | *[!A-Za-z0-9_]*) fail "$file: $key is no name of a variable" ;;
    esac
    case $value in
      \"*\" | \'*\') value=${value:1:${#value}-2} ;;
    esac
    [ -n "${!key+given}" ] || export "$key=$value"
  done <"$file"
}

# Where the parts of a PostgreSQL URL are: scheme://[credentials@]host[:port]/database[?options]
url_of_database() { # SUPERUSER_URL DATABASE [CREDENTIALS]
  local rest=${1#*://} credentials='' options='' place
  case $rest in *\?*) options="?${rest#*\?}" rest=${rest%%\?*} ;; esac
  place=${rest%%/*}
  case $place in *@*) credentials=${place%@*} place=${place##*@} ;; esac
  credentials=${3:-$credentials}
  echo "postgres://${credentials:+$credentials@}$place/$2$options"
}

ask() { psql -X -w -Atq -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }

find_postgres() {
  local user url answer=''
  if [ -n "${SOUK_SPLIT_POSTGRES_URL:-}" ]; then
    PGCONNECT_TIMEOUT=5 ask "$SOUK_SPLIT_POSTGRES_URL" "SELECT 1" >/dev/null || fail "SOUK_SPLIT_POSTGRES_URL does not answer"
    echo "$SOUK_SPLIT_POSTGRES_URL"
    return
  fi
  for user in "$(id -un 2>/dev/null || echo postgres)" postgres root; do
    url=postgres://$user@127.0.0.1:5432/postgres
    answer=$(PGCONNECT_TIMEOUT=3 ask "$url" "SELECT rolsuper FROM pg_roles WHERE rolname = current_user" 2>&1) || continue
    if [ "$answer" = t ]; then
      echo "$url"
      return
    fi
  done
  say "$answer"
  fail "no PostgreSQL on 127.0.0.1:5432 lets us in as a superuser; say where: SOUK_SPLIT_POSTGRES_URL"
}

is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Leaves a free port in `free`: below those that the system gives to outgoing connections, and none twice.
taken=" "
find_port() {
  for _ in $(seq 200); do
    free=$((20000 + RANDOM % 10000))
    case $taken in *" $free "*) continue ;; esac
    if ! is_taken "$free"; then
      taken="$taken$free "
      return
    fi
  done
  fail "no free port between 20000 and 30000"
}

# Reads SOUK_GROUPS into the folder: run/NAME.modules, run/NAME.port, run/NAME.group; and `processes`.
plan() {
  local group list replicas name module number owned=" "
  : >"$dir/processes"
  for group in $1; do
    list=${group%\**}
    replicas=1
    case $group in *\**) replicas=${group##*\*} ;; esac
    case $replicas in "" | *[!0-9]* | 0*) fail "SOUK_GROUPS: $group: *N needs a number" ;; esac
    for module in ${list//,/ }; do
      case " $modules " in *" $module "*) ;; *) fail "SOUK_GROUPS: there is no module $module" ;; esac
      case $owned in *" $module "*) fail "SOUK_GROUPS: $module is in two processes; replicas are written $list*2" ;; esac
      owned="$owned$module "
    done
    for number in $(seq "$replicas"); do
      name=${list//,/+}
      [ "$replicas" -eq 1 ] || name=$name-$number
      find_port
      echo "$free" >"$dir/run/$name.port"
      echo "$list" >"$dir/run/$name.modules"
      echo "$name" >>"$dir/processes"
    done
  done
  for module in $modules; do
    case $owned in *" $module "*) ;; *) fail "SOUK_GROUPS: $module is in no process" ;; esac
  done
}

# The processes that run a module.
processes_of() {
  local name
  for name in $(names); do
    case ",$(cat "$dir/run/$name.modules")," in *",$1,"*) echo "$name" ;; esac
  done
}

upper() { echo "$1" | tr '[:lower:]' '[:upper:]'; }

# Writes the environment of each process, so that it can be started again without ours. They hold secrets.
write_environments() {
  local superuser=$1 name module key peers shared="$dir/env/.shared"
  export SOUK_SPLIT_USED_BINARY=$binary
  export SOUK__SERVER__HOST=127.0.0.1 SOUK__DATA__DIR=$dir/data
  export SOUK__RABBITMQ__URL=$rabbitmq SOUK__RABBITMQ__PREFIX=$prefix SOUK__REDIS__URL=$redis SOUK__REDIS__PREFIX=$prefix
  for module in $modules; do
    peers=
    for name in $(processes_of "$module"); do peers=$peers${peers:+,}http://127.0.0.1:$(port_of "$name"); done
    export "SOUK__PEERS__$(upper "$module")__URL=$peers"
  done
  for key in $(compgen -e | grep -E '^(SOUK__|SOUK_PROFILE$|SOUK_SPLIT_USED_|MALLOC_)'); do
    case $key in
      # What a caller's shell may hold for a single process is not for these.
      SOUK__ONLY | SOUK__SERVER__PORT | SOUK__DATABASE__URL | SOUK__DATABASE__URLS__*) ;;
      *) printf 'export %s=%q\n' "$key" "${!key}" ;;
    esac
  done >"$shared"
  for name in $(names); do
    {
      cat "$shared"
      printf 'export SOUK__ONLY=%q SOUK__SERVER__PORT=%q\n' "$(cat "$dir/run/$name.modules")" "$(port_of "$name")"
      for module in $(tr , ' ' <"$dir/run/$name.modules"); do
        printf 'export SOUK__DATABASE__URLS__%s=%q\n' "$(upper "$module")" \
          "$(url_of_database "$superuser" "$database" "souk_$module:$SOUK_POSTGRES_PASSWORD")"
      done
    } >"$dir/env/$name"
  done
}

# ---- the database -------------------------------------------------------------------------------------------------------------

# Leaves in `is_new` whether the database was made.
prepare_database() {
  local superuser=$1 whole
  whole=$(url_of_database "$superuser" "$database")
  is_new=false
  if [ "$(ask "$superuser" "SELECT 1 FROM pg_database WHERE datname = '$database'")" != 1 ]; then
    ask "$superuser" "CREATE DATABASE \"$database\""
    is_new=true
    say "made the database $database"
  fi
  SOUK_POSTGRES_PASSWORD=$SOUK_POSTGRES_PASSWORD psql -X -w -q -d "$whole" -f scripts/postgres/roles.sql >&2 \
    || fail "scripts/postgres/roles.sql failed"
  as_whole_shop "$whole" migrate up >&2 || fail "souk migrate up failed"
}

# The demo shop, into a database that was just made. What it says waits in the outboxes for the processes' relays.
load_demo() {
  if [ "$is_new" = true ] && [ "${SOUK_SPLIT_DEMO:-true}" = true ] && [ "${SOUK_PROFILE:-default}" != production ]; then
    as_whole_shop "$(url_of_database "$1" "$database")" demo >&2 || fail "souk demo failed"
  fi
}

# Runs a command of the binary with all modules at once: no SOUK__ONLY, no broker.
as_whole_shop() {
  local url=$1
  shift
  env -u SOUK__ONLY -u SOUK__RABBITMQ__URL -u SOUK__REDIS__URL SOUK__DATABASE__URL="$url" SOUK__DATA__DIR="$dir/data" "$binary" "$@"
}

# ---- NGINX ---------------------------------------------------------------------------------------------------------------------

# Puts values in place of the names in the template, as the container's entry point does.
render() {
  local text name
  text=$(cat nginx/templates/souk.conf.template)
  for name in $(compgen -v | grep -E '^SOUK_[A-Z]'); do
    text=${text//"\${$name}"/"${!name}"}
  done
  case $text in
    *"\${SOUK_"*)
      text=${text#*"\${"}
      fail "nginx/templates/souk.conf.template: $(upper "${text%%\}*}") has no value; .env.example lists what it needs"
      ;;
  esac
  printf '%s\n' "$text" >"$dir/nginx/conf.d/souk.conf"
}

servers_of() {
  local name
  for name in $(processes_of "$1"); do echo "server 127.0.0.1:$(port_of "$name") max_fails=0;"; done
}

write_gateway() {
  local module front version
  for module in $modules; do printf -v "SOUK_UPSTREAM_$(upper "$module")" '%s' "$(servers_of "$module")"; done
  # The catalogue answers for the whole shop; if it is away, whoever is there.
  front=$(servers_of catalog)
  for module in $modules; do
    [ "$module" = catalog ] || front="$front $(servers_of "$module" | sed 's/;$/ backup;/')"
  done
  # shellcheck disable=SC2034 # these are read by name in render
  SOUK_UPSTREAM_FRONT=$front SOUK_RESOLVER='' SOUK_LISTEN="listen 127.0.0.1:$gateway_port;" SOUK_TLS=''
  if [ -n "$tls_port" ]; then
    version=$("$nginx" -v 2>&1 | sed 's/.*nginx\/\([0-9.]*\).*/\1/')
    if [ "$(printf '%s\n' 1.25.1 "$version" | sort -V | head -n 1)" = 1.25.1 ]; then
      SOUK_TLS="listen 127.0.0.1:$tls_port ssl; http2 on;"
    else
      SOUK_TLS="listen 127.0.0.1:$tls_port ssl http2;"
    fi
    SOUK_TLS="$SOUK_TLS ssl_certificate $dir/tls/souk.crt; ssl_certificate_key $dir/tls/souk.key;"
  fi
  mkdir -p "$dir/nginx/conf.d"
  cp nginx/nginx.conf "$dir/nginx/nginx.conf"
  render
}

start_gateway() {
  local as="daemon off;"
  # As root NGINX would let its workers be somebody who cannot read this folder.
  [ "$(id -u)" -ne 0 ] || as="$as user $(id -un) $(id -gn);"
  "$nginx" -t -q -e stderr -p "$dir/nginx" -c "$dir/nginx/nginx.conf" -g "$as" 2>"$dir/log/gateway.log" >&2 || {
    cat "$dir/log/gateway.log" >&2
    fail "NGINX does not like its settings: $dir/nginx/conf.d/souk.conf"
  }
  launch gateway "$nginx" -e stderr -p "$dir/nginx" -c "$dir/nginx/nginx.conf" -g "$as" >>"$dir/log/access.log" 2>>"$dir/log/gateway.log"
}

# ---- commands ----------------------------------------------------------------------------------------------------------------

check_tools() {
  local tool
  for tool in psql curl ps; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
  done
  nginx=${SOUK_NGINX:-nginx}
  if ! command -v "$nginx" >/dev/null; then
    nginx=/usr/sbin/nginx # Debian does not put it into everybody's path
    [ -x "$nginx" ] || fail "nginx is missing; on Debian: apt-get install nginx-light"
  fi
  binary=$(absolute "${SOUK_BINARY:-$PWD/target/release/souk}")
  if [ ! -x "$binary" ]; then
    [ -z "${SOUK_BINARY:-}" ] || fail "there is no $binary; SOUK_BINARY names it"
    say "building $binary"
    cargo build --release --locked >&2
  fi
}

up() {
  if runs && answers "$(cat "$dir/address")/health"; then
    say "runs already"
    cat "$dir/address"
    return
  fi
  if [ ! -e "$marker" ] && [ -e "$dir" ]; then
    [ -d "$dir" ] || fail "$dir is no folder; SOUK_SPLIT_DIR names it"
    [ -z "$(ls -A "$dir")" ] || fail "$dir holds something that is not of a split; SOUK_SPLIT_DIR names a new or an empty folder"
  fi
  if [ -s "$dir/processes" ]; then
    say "cleaning up what is left of the last run"
    stop_all || true
  fi
  local began=$SECONDS name superuser
  read_env_file "$(if [ -n "${SOUK_ENV_FILE:-}" ]; then absolute "$SOUK_ENV_FILE"; elif [ -f .env ]; then echo .env; else echo .env.example; fi)"
  check_tools
  database=${SOUK_SPLIT_DATABASE:-souk_split}
  prefix=${SOUK_SPLIT_PREFIX:-souk_split}
  rabbitmq=${SOUK_SPLIT_RABBITMQ_URL:-amqp://guest:guest@127.0.0.1:5672/%2f}
  redis=${SOUK_SPLIT_REDIS_URL:-redis://127.0.0.1:6379/}
  case $database in [!a-z]* | *[!a-z0-9_]*) fail "SOUK_SPLIT_DATABASE: a name of a-z, 0-9 and _, not $database" ;; esac
  case $prefix in "" | *[!A-Za-z0-9_-]*) fail "SOUK_SPLIT_PREFIX: letters, digits, _ and -, not $prefix" ;; esac
  superuser=$(find_postgres)

  umask 077
  mkdir -p "$dir"
  echo "The state of a split shop. scripts/split.sh down --purge deletes this folder because this file is in it." >"$marker"
  rm -rf "$dir/run" "$dir/log" "$dir/env" # of another start, perhaps of other processes
  mkdir -p "$dir/run" "$dir/log" "$dir/env" "$dir/data" "$dir/nginx"
  trap 'undo_up' EXIT
  # Ports are ours when something listens there; until then another split must not choose.
  exec 9>>"${TMPDIR:-/tmp}/souk-split-$(id -u).lock"
  if command -v flock >/dev/null; then flock -w 120 9 || fail "another split has been starting for two minutes"; fi
  plan "${SOUK_GROUPS:-$modules}"
  find_port
  gateway_port=$free
  tls_port=
  if command -v openssl >/dev/null; then
    find_port
    tls_port=$free
  fi
  echo "http://127.0.0.1:$gateway_port" >"$dir/address"
  if [ -n "$tls_port" ]; then echo "https://127.0.0.1:$tls_port" >"$dir/tls-address"; else rm -f "$dir/tls-address"; fi
  printf 'superuser=%q database=%q prefix=%q rabbitmq=%q redis=%q\n' "$superuser" "$database" "$prefix" "$rabbitmq" "$redis" >"$dir/env/.split"

  prepare_database "$superuser"
  write_environments "$superuser"
  for name in $(names); do start_process "$name"; done
  [ -z "$tls_port" ] || scripts/generate-ssl.sh "$dir/tls" 2>/dev/null || fail "scripts/generate-ssl.sh failed"
  load_demo "$superuser" # meanwhile the processes start
  write_gateway
  start_gateway
  for name in $(names); do await_ready "$name" "http://127.0.0.1:$(port_of "$name")/readyz"; done
  await_ready gateway "$(cat "$dir/address")/health"
  exec 9>&-
  trap - EXIT
  say "ready in about $((SECONDS - began)) s: $(names | wc -l | tr -d ' ') processes; state and logs in $dir"
  [ -z "$tls_port" ] || say "with TLS: $(cat "$dir/tls-address") (curl --cacert $dir/tls/ca.crt)"
  cat "$dir/address"
}

# A start that failed leaves logs, but no processes, and no database that was made for it.
undo_up() {
  local status=$?
  trap - EXIT
  say "the start failed; stopping what was started"
  stop_all || true
  if [ "${is_new:-false}" = true ]; then
    ask "$superuser" "DROP DATABASE IF EXISTS \"$database\" WITH (FORCE)" || true
  fi
  rm -f "$dir/processes" "$dir/address" "$dir/tls-address"
  [ "$status" -ne 0 ] || status=1
  exit "$status"
}

down() {
  local status=0
  if [ ! -d "$dir" ]; then
    say "nothing is there: $dir"
    return
  fi
  stop_all || status=1
  [ ! -e "$marker" ] || rm -f "$dir/processes" "$dir/address" "$dir/tls-address"
  if [ "${1:-}" = --purge ]; then
    purge || status=1
  fi
  say "down"
  return "$status"
}

purge() {
  local status=0 superuser database prefix rabbitmq redis
  if [ -s "$dir/env/.split" ]; then
    # shellcheck source=/dev/null
    . "$dir/env/.split"
    ask "$superuser" "DROP DATABASE IF EXISTS \"$database\" WITH (FORCE)" || status=1
    purge_rabbitmq || status=1
    purge_redis || status=1
  fi
  if [ ! -e "$marker" ]; then
    say "$dir stays: without ${marker##*/} in it, it may be somebody else's"
    return 1
  fi
  rm -rf "$dir"
  return "$status"
}

purge_redis() {
  if ! command -v redis-cli >/dev/null; then
    say "no redis-cli: the keys $prefix:* end by themselves"
    return
  fi
  redis-cli -u "$redis" --no-auth-warning eval "$(
    cat <<'END'
local cursor = "0"
repeat
  local found = redis.call("SCAN", cursor, "MATCH", ARGV[1], "COUNT", 1000)
  cursor = found[1]
  for _, key in ipairs(found[2]) do redis.call("UNLINK", key) end
until cursor == "0"
END
  )" 0 "$prefix:*" >/dev/null
}

# purge_node PORT VHOST [OPTION OF RABBITMQCTL...]: deletes by prefix in the broker of this machine that listens on the port. It
# refuses to do so in another.
purge_node() {
  local port=$1 vhost=$2
  shift 2
  rabbitmqctl -q "$@" eval "
    true = lists:member($port, [element(6, Listener) || Listener <- rabbit_networking:active_listeners()]),
    [catch rabbit_amqqueue:delete(Queue, false, false, <<\"split.sh\">>)
      || Queue <- rabbit_amqqueue:list(<<\"$vhost\">>),
         string:prefix(element(4, amqqueue:get_name(Queue)), <<\"$prefix.\">>) =/= nomatch],
    [catch rabbit_exchange:delete(element(2, Exchange), false, <<\"split.sh\">>)
      || Exchange <- rabbit_exchange:list(<<\"$vhost\">>),
         string:prefix(element(4, element(2, Exchange)), <<\"$prefix.\">>) =/= nomatch],
    ok." >/dev/null 2>&1
}

# The broker's own tool can delete by prefix, if the broker is on this machine and lets us; amqp-tools know the names.
purge_rabbitmq() {
  local vhost place port module name
  place=${rabbitmq#*://}
  vhost=${place#*/}
  [ "$vhost" != "$place" ] || vhost=%2f
  vhost=$(printf '%s' "${vhost%%\?*}" | sed 's/%2[fF]/\//g')
  place=${place%%/*}
  place=${place##*@}
  port=${place##*:}
  case $port in "" | *[!0-9]*) port=5672 ;; esac
  case $place in
    127.0.0.1* | localhost* | \[::1\]*)
      if command -v rabbitmqctl >/dev/null; then
        ! purge_node "$port" "$vhost" || return 0
        for name in $(epmd -names 2>/dev/null | sed -n 's/^name \(.*\) at port.*/\1/p'); do
          ! purge_node "$port" "$vhost" -n "$name@localhost" || return 0
        done
      fi
      ;;
  esac
  if command -v amqp-delete-queue >/dev/null; then
    for module in $modules; do
      for name in "$prefix.$module" "$prefix.$module.dead"; do
        if ! amqp-delete-queue -u "${rabbitmq%%\?*}" -q "$name" >/dev/null 2>&1; then
          say "the queue $name cannot be deleted"
          return 1
        fi
      done
    done
    say "the queues are deleted; the exchanges $prefix.*, which hold nothing, stay"
    return
  fi
  say "neither rabbitmqctl nor amqp-delete-queue works here: the queues $prefix.* are still there"
  return 1
}

status() {
  local name pid port memory total=0 share shares=0 ready broken=0
  [ -s "$dir/processes" ] || fail "no split runs in $dir"
  # Memory: what the process has in use, and its share if what it shares with the others (the program itself) is divided by their
  # number. Only Linux tells the share.
  printf '%-40s %8s %6s %9s %9s  %s\n' process pid port "RSS kB" "share kB" state
  for name in $(names) gateway; do
    if [ "$name" = gateway ]; then port=$(sed 's/.*://' "$dir/address" 2>/dev/null || true); else port=$(port_of "$name"); fi
    if ! pid=$(pid_of "$name"); then
      printf '%-40s %8s %6s %9s %9s  %s\n' "$name" - "$port" - - "does not run"
      broken=1
      continue
    fi
    memory=$(ps -o rss= -p "$pid" | tr -d ' ')
    share=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null || true)
    ready=ready
    if [ "$name" = gateway ]; then
      answers "$(cat "$dir/address")/health" || ready="not ready"
    else
      total=$((total + memory))
      shares=$((shares + ${share:-0}))
      answers "http://127.0.0.1:$port/readyz" || ready="not ready"
    fi
    [ "$ready" = ready ] || broken=1
    printf '%-40s %8s %6s %9s %9s  %s\n' "$name" "$pid" "$port" "$memory" "${share:--}" "$ready"
  done
  printf '%-40s %8s %6s %9s %9s\n' "the shop's processes together" "" "" "$total" "$shares"
  [ ! -s "$dir/address" ] || cat "$dir/address"
  [ ! -s "$dir/tls-address" ] || cat "$dir/tls-address"
  return "$broken"
}

logs() {
  set +f
  if [ -z "${1:-}" ]; then exec tail -n 20 -F "$dir"/log/*.log; fi
  [ -e "$dir/log/$1.log" ] || fail "there is no log of $1; there are: $(cd "$dir/log" 2>/dev/null && echo *.log)"
  exec tail -n 200 -F "$dir/log/$1.log"
}

# again start|restart PROCESS: one process, or a group's replicas in turn.
again() {
  local wanted=${2:-} name found=0
  [ -n "$wanted" ] || fail "$1 which process? one of: $(names | tr '\n' ' ')"
  umask 077
  for name in $(names); do
    if [ "$name" != "$wanted" ] && [ "${name%-*}" != "$wanted" ]; then continue; fi
    found=1
    if [ "$1" = restart ]; then
      signal TERM "$name"
      await_end "$name" || true
    elif pid_of "$name" >/dev/null; then
      say "$name runs already"
      continue
    fi
    start_process "$name"
    await_ready "$name" "http://127.0.0.1:$(port_of "$name")/readyz"
    say "$name runs again"
  done
  [ "$found" -eq 1 ] || fail "there is no process $wanted; there are: $(names | tr '\n' ' ')"
}

usage() {
  sed -n '2,/^set -euo/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'
}

trap 'exit 130' INT
trap 'exit 143' TERM
case ${1:-} in
  up) up ;;
  down) down "${2:-}" ;;
  status) status ;;
  logs) logs "${2:-}" ;;
  start | restart) again "$1" "${2:-}" ;;
  help | --help | -h) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
