# From the lines of all runs to what is said of each scenario and subject. Medians over the repeats; a ratio is taken within each
# repeat, of the shop's rate to that of the yardstick which ran right after it, and the median of those is told.

def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def spread: {median: median, min: min, max: max};
def per_request(field): map(select(.[field] != null and .requests > 0) | .[field] * 1e6 / .requests) | median;

. as $runs
| {
    conditions: $conditions[0],
    results: (
      [$runs | to_entries[] | .value + {place: .key}] | group_by([.scenario, .subject]) | sort_by(map(.place) | min) | map(
        .[0] as $first
        | . as $own
        | {
            scenario: $first.scenario,
            subject: $first.subject,
            runs: length,
            requests: (map(.requests) | add),
            unexpected: (map(.unexpected // 0) | add),
            per_second: (map(.per_second) | spread),
            p50_us: (map(.p50_us) | median),
            p90_us: (map(.p90_us) | median),
            p99_us: (map(.p99_us) | median),
            p99_us_spread: (map(.p99_us) | spread),
            max_us: (map(.max_us) | max),
            cpu_us_per_request: per_request("cpu_s"),
            gateway_cpu_us_per_request: per_request("cpu_gateway_s"),
            postgres_cpu_us_per_request: per_request("cpu_postgres_s"),
            rss_kb: (map(.rss_kb // empty) | max),
            rate: $first.rate,
            by_kind: (if $first.by_kind then ($first.by_kind | keys | map(. as $kind | {key: $kind, value: {
              p50_us: ($own | map(.by_kind[$kind].p50_us // empty) | median), p99_us: ($own | map(.by_kind[$kind].p99_us // empty) | median),
              requests: ($own | map(.by_kind[$kind].requests // 0) | add)}}) | from_entries) else null end),
            ratios: (
              if $first.subject != "shop" then {}
              else
                [$runs[] | select(.scenario == $first.scenario and .subject != "shop") | .subject] | unique | map(. as $yardstick | {
                  key: $yardstick,
                  value: ([$own[] | . as $run | $runs[] | select(.scenario == $run.scenario and .subject == $yardstick and .repeat == $run.repeat)
                    | if ($yardstick | startswith("shop")) then .p99_us / $run.p99_us else $run.per_second / .per_second end] | spread)
                }) | from_entries
              end)
          }
      )
    ),
    settled: ($settled | group_by(.scenario) | map({scenario: .[0].scenario, settled_s: (map(.settled_s) | spread)}))
  }
