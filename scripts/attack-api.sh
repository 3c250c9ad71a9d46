#!/usr/bin/env bash
# Attacks every operation of the API with requests made from its documents, good and bad, single and in sequence, as a customer and as an
# admin; exit code 1 if the shop answers anything that its documents do not describe, or a 5xx.
#
#   scripts/attack-api.sh [--max-examples N] [--binary FILE] [--report FOLDER] [MODULE...]
#
# SOUK_ATTACK_SEED chooses other cases than the usual ones (1).
#
#   --max-examples N    cases an operation and phase; 200 unless told
#   --binary FILE       target/release/souk, or target/debug/souk where there is none
#   --report FOLDER     keeps the output of every run there
#   MODULE...           only these
#
# Starts a shop of its own with demo data on a free port, with its rate limits off, and installs schemathesis from PyPI into a folder of
# its own (SOUK_ATTACK_PYTHON names one that is kept). What must not be taken for a failure stands, with its reason, in
# scripts/attack-api/. Needs curl and python3 with venv.
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")/.."

schemathesis=4.32.5
modules="auth users catalog cart inventory orders payments notifications"
examples=200
binary=target/release/souk
[ -x "$binary" ] || binary=target/debug/souk
report=
chosen=
while [ $# -gt 0 ]; do
  case $1 in
    --max-examples) examples=${2:?--max-examples needs a number}; shift 2 ;;
    --binary) binary=${2:?--binary needs a file}; case $binary in /*) ;; *) binary=$caller/$binary ;; esac; shift 2 ;;
    --report) report=${2:?--report needs a folder}; case $report in /*) ;; *) report=$caller/$report ;; esac; shift 2 ;;
    -*) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
    *)
      case " $modules " in *" $1 "*) chosen="$chosen $1" ;; *) echo "attack: there is no module $1" >&2; exit 2 ;; esac
      shift
      ;;
  esac
done
chosen=${chosen:-$modules}
[ -x "$binary" ] || { echo "attack: there is no $binary; run: cargo build" >&2; exit 2; }

case $binary in /*) ;; *) binary=$PWD/$binary ;; esac
folder=$PWD/scripts/attack-api
scratch=$(mktemp -d)
pid=
leave() {
  local status=$?
  [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; } || true
  rm -rf "$scratch"
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
report=${report:-$scratch/report}
mkdir -p "$report"

python=${SOUK_ATTACK_PYTHON:-$scratch/python}
if ! [ -x "$python/bin/schemathesis" ] || ! "$python/bin/schemathesis" --version | grep -qF "$schemathesis"; then
  python3 -m venv "$python"
  "$python/bin/pip" install -q --disable-pip-version-check "schemathesis==$schemathesis" ||
    { echo "attack: schemathesis $schemathesis cannot be installed" >&2; exit 2; }
fi

# The process says where it listens.
export SOUK__LIMITS__LOGIN_PER_MINUTE=0 SOUK__LIMITS__REGISTER_PER_MINUTE=0 SOUK__LIMITS__GUEST_CARTS_PER_MINUTE=0
# Wrong passwords and codes are sent by the hundred, for the one account that the attack needs.
export SOUK__AUTH__MAX_FAILURES_PER_ACCOUNT=1000 SOUK__AUTH__MAX_FAILURES_PER_ACCOUNT_IN_ALL=10000
export SOUK__AUTH__BCRYPT_COST=4 SOUK__LOG__FORMAT=text NO_COLOR=1
start() {
  rm -rf "$scratch/data"
  "$binary" serve --port 0 --data-dir "$scratch/data" </dev/null >"$scratch/log" 2>&1 &
  pid=$!
  local _
  for _ in $(seq 300); do
    address=$(sed -n 's/.*listening on \(http:[^;]*\);.*/\1/p' "$scratch/log")
    [ -z "$address" ] || return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$scratch/log" >&2
  echo "attack: the shop did not start" >&2
  exit 2
}

failed=0
began=$SECONDS
summary=()
for role in customer admin; do
  for module in $chosen; do
    start # each run has a fresh shop: what one breaks, it may break for itself
    log=$report/$role-$module.log
    verdict=ok
    run_began=$SECONDS
    (
      cd "$scratch" # where it keeps what it has found
      SOUK_ATTACK_ADDRESS=$address SOUK_ATTACK_ROLE=$role SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$folder PYTHONDONTWRITEBYTECODE=1 \
        "$python/bin/schemathesis" --config-file "$folder/schemathesis.toml" run "$address/$module/openapi.json" \
        --phases examples,coverage,fuzzing,stateful --max-examples "$examples" \
        --seed "${SOUK_ATTACK_SEED:-1}" --continue-on-failure --no-color --request-timeout 30 --generation-database :memory:
    ) >"$log" 2>&1 || verdict=FAILED
    # What no answer shows: an error in the log, or an invariant that no longer holds.
    if grep -E ' ERROR .*(panicked|route=)' "$scratch/log" >>"$log"; then verdict="FAILED: errors in the log"; fi
    kill "$pid"
    wait "$pid" || verdict="FAILED: the shop did not end well"
    pid=
    if ! "$binary" doctor --data-dir "$scratch/data" >>"$log" 2>&1; then verdict="FAILED: the doctor found something"; fi
    operations=$(sed -n 's/.*Operations: *\([0-9]*\) selected.*/\1/p' "$log" | head -n 1)
    cases=$(sed -n 's/^ *\([0-9,]*\) generated.*/\1/p' "$log" | tail -n 1)
    line=$(printf '%-8s  %-13s  %3s operations  %8s cases  %5s s  %s' "$role" "$module" "${operations:-?}" "${cases:-?}" "$((SECONDS - run_began))" "$verdict")
    echo "$line"
    summary+=("$line")
    if [ "$verdict" != ok ]; then
      failed=$((failed + 1))
      sed -n '/= FAILURES =/,$p;/= ERRORS =/,$p' "$log" | head -n 200
    fi
  done
done
echo
printf '%s\n' "${summary[@]}"
echo "schemathesis $schemathesis, $examples examples, all checks: ${#summary[@]} runs, $failed failed, in $((SECONDS - began)) s"
[ "$failed" -eq 0 ]
