#!/usr/bin/env bash
# Holds the figures of some runs of load/run.sh against the bars of docs/PERFORMANCE.md:
#
#   load/bars.sh FOLDER...      output folders, one a topology; exit code 1 if a bar is missed
#
# What was not measured is said so, and misses nothing.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
command -v jq >/dev/null || { echo "bars: jq is missing" >&2; exit 1; }
reports=()
for folder in "$@"; do
  [ -s "$folder/report.json" ] || { echo "bars: there is no $folder/report.json" >&2; exit 1; }
  reports+=("$folder/report.json")
done
jq -rs -f "$here/bars.jq" "${reports[@]}" | {
  missed=0
  while IFS=$'\t' read -r what bar measured verdict; do
    printf '%-64s %10s %10s  %s\n' "$what" "$bar" "$measured" "$verdict"
    [ "$verdict" != MISSED ] || missed=1
  done
  exit "$missed"
}
