# The bars, and what the reports say of each. Of two reports of one topology the last counts.

(map({key: .conditions.topology, value: .results}) | from_entries) as $of
| def result(topology; scenario; subject): ($of[topology] // []) | map(select(.scenario == scenario and .subject == subject)) | .[0];
  def ratio(topology; scenario; yardstick): result(topology; scenario; "shop") | if . == null then null else .ratios[yardstick].median end;
  def thousandth: if . == null then null else . * 1000 | round / 1000 end;
  def at_least(what; bar; measured): [what, ">= \(bar)", (measured | thousandth), (measured | if . == null then null else . >= bar end)];
  def at_most(what; bar; unit; measured): [what, "<= \(bar)\(unit)", (measured | thousandth), (measured | if . == null then null else . <= bar end)];
  def divided(above; below): above as $above | below as $below | if $above == null or $below == null then null else $above / $below end;
  def rss(topology): result(topology; "mix"; "shop-at-70") | if . == null then null else .rss_kb / 1024 end;
  def p99(topology): result(topology; "mix"; "shop-at-70") | if . == null then null else .p99_us / 1000 end;
[
  at_least("product by SKU without the cache, of bare"; 0.8; ratio("postgres"; "product"; "bare")),
  at_least("product by SKU with the cache, of bare"; 1.5; ratio("postgres"; "product-cached"; "bare")),
  at_least("split: product by SKU, of one process (by their ratios to bare)"; 0.5; divided(ratio("split"; "product"; "bare"); ratio("postgres"; "product"; "bare"))),
  at_least("split: product by SKU with the cache, the same"; 0.5; divided(ratio("split"; "product-cached"; "bare"); ratio("postgres"; "product-cached"; "bare"))),
  at_least("product page of 20 without the cache, of bare"; 0.7; ratio("postgres"; "page"; "bare")),
  at_least("an order, spread, of saga"; 0.6; ratio("postgres"; "place"; "saga")),
  at_least("an order, spread, of one"; 0.25; ratio("postgres"; "place"; "one")),
  at_least("split: an order, spread, of one"; 0.12; ratio("split"; "place"; "one")),
  at_least("an order, one hot SKU, of one"; 0.5; ratio("postgres"; "hot"; "one")),
  at_least("login, of the bare hash rate"; 0.9; ratio("postgres"; "login"; "hash")),
  at_most("others' p99 while all log in, times that alone"; 2; ""; ratio("postgres"; "login-others"; "shop-logins")),
  at_most("the mix at 70 % of its highest rate, p99"; 50; " ms"; p99("postgres")),
  at_most("split: the mix at 70 % of its highest rate, p99"; 100; " ms"; p99("split")),
  at_most("resident under the mix"; 100; " MB"; rss("postgres")),
  at_most("split: resident under the mix, together"; 400; " MB"; rss("split")),
  at_least("SQLite: an order, of the bare driver"; 0.4; ratio("sqlite"; "place"; "driver"))
][]
| [.[0], .[1], (.[2] // "-" | tostring), (if .[3] == null then "not measured" elif .[3] then "ok" else "MISSED" end)]
| @tsv
