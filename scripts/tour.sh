#!/usr/bin/env bash
# Pastes the README's tour into a shop that runs, as a stranger would, but for the address.
#
#   scripts/tour.sh [ADDRESS]     default: http://127.0.0.1:8080, as in the README
#   scripts/tour.sh --print [ADDRESS]     only shows what would be run
#
# The shop must be a fresh demo shop. Fails if a command of the tour fails. Needs curl.
set -euo pipefail
cd "$(dirname "$0")/.."

readme=README.md
only_print=no
if [ "${1:-}" = --print ]; then
  only_print=yes
  shift
fi
address=${1:-http://127.0.0.1:8080}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The bash blocks between the README's markers, one after the other; the address is set in one line of them.
awk -v address="${address%/}" '
  /<!-- tour:end -->/ { inside = 0 }
  inside && /^```/ { if (code) code = 0; else if ($0 == "```bash") code = 1; next }
  inside && code { if (sub(/^SHOP=.*/, "SHOP=" address)) found = 1; print }
  /<!-- tour:begin -->/ { inside = 1 }
  END { if (!found) exit 1 }
' "$readme" >"$scratch/tour.sh" || {
  echo "tour: $readme has no bash block between its tour markers, or none that sets SHOP" >&2
  exit 1
}
if [ "$only_print" = yes ]; then
  cat "$scratch/tour.sh"
  exit
fi

# Every command is traced apart from the answers, so that the one that failed can be named.
BASH_XTRACEFD=9 bash -euxo pipefail "$scratch/tour.sh" </dev/null 9>"$scratch/trace" | cut -c1-160 || {
  echo "tour: a command failed; the last ones:" >&2
  tail -n 4 "$scratch/trace" | cut -c1-200 >&2
  exit 1
}
