#!/usr/bin/env bash
# Runs the same scenarios of load/run.sh at several sizes of the shop and says how much slower each gets:
#
#   load/scale.sh [SCENARIO,...] [SIZE...]     default: product,product-cached,page,search,search-model,search-common,search-share,list,place at 1000
#                                              100000 1000000
#
# A size is so many products and as many orders. In one process on PostgreSQL; the options of load/run.sh come from its
# environment (LOAD_SECONDS, LOAD_REPEATS, ...; LOAD_OUT is the folder of all sizes). A read that takes more than 1.5 times as long at the last size as
# at the first (by its median time) misses the bar: exit code 1. Writes have no bar, nor has search-share, which finds a thousand times as many products
# among a million as among a thousand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in -h | --help) sed -n '2,/^set -euo/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p' && exit 0 ;; esac
scenarios=${1:-product,product-cached,page,search,search-model,search-common,search-share,list,place}
[ $# -eq 0 ] || shift
sizes=("${@:-1000}")
[ $# -gt 0 ] || sizes=(1000 100000 1000000)
bar=1.5
out=${LOAD_OUT:-target/load/$(date -u +%Y%m%dT%H%M%SZ)-scale}
reports=()
for size in "${sizes[@]}"; do
  load/run.sh --products "$size" --orders "$size" --out "$out/$size" "$scenarios" postgres
  reports+=("$out/$size/report.json")
done
jq -rs --argjson bar "$bar" '
  (map(.conditions.products)) as $sizes
  | . as $reports
  | .[0].results | map(select(.subject == "shop") | .scenario) | unique | .[] as $scenario
  | [$reports[].results | map(select(.scenario == $scenario and .subject == "shop"))[0].p50_us] as $times
  | ($times[-1] / $times[0]) as $growth
  | [$scenario, ([range($sizes | length) as $n | "\($sizes[$n]): \($times[$n] | round) us"] | join(", ")), ($growth * 100 | round / 100),
     (if $scenario | IN("place", "place5", "hot", "cart", "pay", "search-share") then "-" elif $growth <= $bar then "ok" else "MISSED" end)] | @tsv' "${reports[@]}" | {
  missed=0
  printf '%-16s %-64s %7s\n' scenario "median time at each size" "times"
  while IFS=$'\t' read -r scenario times growth verdict; do
    printf '%-16s %-64s %7s  %s\n' "$scenario" "$times" "$growth" "$verdict"
    [ "$verdict" != MISSED ] || missed=1
  done
  exit "$missed"
}
