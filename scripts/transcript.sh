#!/usr/bin/env bash
# Walks through a shop as one client and prints what it was answered, with everything that differs from run to run (ids,
# times, tokens, order numbers) replaced by numbered placeholders. A shop in one process and a shop in eight print the
# same, byte for byte:
#
#   diff <(scripts/transcript.sh http://127.0.0.1:8080) <(scripts/transcript.sh "$(scripts/split.sh up)")
#
# Needs bash, curl and jq, and a shop with the demo goods and accounts. It makes one product and one customer of its own
# and may run again on the same shop. What follows an answer by an event is waited for, at most 15 seconds; only the last
# answer is printed, and a list that events fill is sorted. The gateway's limit of rate is respected: 429 is asked again.
set -euo pipefail

address=${1:-http://127.0.0.1:8080}
address=${address%/}
patience_s=15
run=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
sku=WALK-$(printf '%s' "$run" | tr '[:lower:]' '[:upper:]')
email=walk-$run@example.com

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$scratch/transcript"

fail() {
  echo "transcript: $*" >&2
  echo "transcript: the last answer was:" >&2
  cat "$scratch/status" "$scratch/body" >&2 2>/dev/null || true
  exit 1
}

for tool in curl jq; do
  command -v "$tool" >/dev/null || { echo "transcript: $tool is missing" >&2; exit 1; }
done

token=
# send METHOD PATH [CURL'S ARGUMENTS...]: leaves status, headers and body in the scratch folder.
send() {
  local method=$1 path=$2 arguments=()
  shift 2
  [ -z "$token" ] || arguments+=(-H "Authorization: Bearer $token")
  while :; do
    curl -sS --max-time 30 -o "$scratch/body" -D "$scratch/headers" -w '%{http_code}' -X "$method" \
      ${arguments[@]+"${arguments[@]}"} "$@" "$address$path" >"$scratch/status" || fail "$method $path got no answer"
    [ "$(cat "$scratch/status")" = 429 ] || return 0
    sleep 1
  done
}

# Adds the last exchange to the transcript: status, the headers that clients rely on, the body with its keys sorted.
record() {
  {
    echo "$1 $2"
    echo "-> $(cat "$scratch/status")"
    tr -d '\r' <"$scratch/headers" | tr '[:upper:]' '[:lower:]' \
      | grep -E '^(content-type|allow|idempotency-replayed):' | sort || true
    jq -S . "$scratch/body" 2>/dev/null || cat "$scratch/body"
    echo
  } >>"$scratch/transcript"
}

# ask STATUS METHOD PATH [CURL'S ARGUMENTS...]: sends, checks and records.
ask() {
  local expected=$1
  shift
  send "$@"
  [ "$(cat "$scratch/status")" = "$expected" ] || fail "$1 $2: expected $expected"
  record "$1" "$2"
}

# ask_json STATUS METHOD PATH BODY [CURL'S ARGUMENTS...]
ask_json() {
  local expected=$1 method=$2 path=$3 body=$4
  shift 4
  ask "$expected" "$method" "$path" -H 'Content-Type: application/json' -d "$body" "$@"
}

# await FILTER PATH: asks until jq's filter holds for the answer, then records it with its lists sorted.
await() {
  local since=$SECONDS
  until send GET "$2" && [ "$(cat "$scratch/status")" = 200 ] && jq -e "$1" "$scratch/body" >/dev/null; do
    [ $((SECONDS - since)) -lt "$patience_s" ] || fail "GET $2 never became as hoped: $1"
    sleep 0.1
  done
  jq 'if (.items | type) == "array" then .items |= sort_by(.template // "", .subject // "") else . end' \
    "$scratch/body" >"$scratch/sorted"
  mv "$scratch/sorted" "$scratch/body"
  record GET "$2"
}

field() { jq -r "$1" "$scratch/body"; }

# Puts placeholders in place of what is new in every run; the same text gets the same number.
normalise() {
  jq -Rrs --arg run "$run" '
    def literally(text; by): split(text) | join(by);
    def numbered(pattern; kind):
      reduce ([match(pattern; "g").string] | reduce .[] as $text ([]; if index([$text]) then . else . + [$text] end)
        | to_entries[]) as $found (.; literally($found.value; "<\(kind) \($found.key + 1)>"));
    literally($run; "<run>") | literally($run | ascii_upcase; "<run>")
    | gsub("eyJ[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+"; "<access token>")
    | gsub("\"(?<name>refresh_token|cart_token|next_cursor)\": \"[^\"]+\""; "\"\(.name)\": \"<random>\"")
    | numbered("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"; "id")
    | numbered("\\b[0-9]{6}-[0-9A-Z]{10}\\b"; "number")
    | gsub("\"trace_id\": \"[0-9a-f]{32}\""; "\"trace_id\": \"<trace>\"")
    | gsub("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?Z"; "<time>")
    | rtrimstr("\n")' "$scratch/transcript"
}

# ---- the shop makes an offer

ask_json 200 POST /auth/login '{"username": "admin", "password": "password"}'
admin=$(field .access_token)
token=$admin
ask_json 201 POST /catalog/products \
  "{\"sku\": \"$sku\", \"name\": \"A walking stick $run\", \"category\": \"Walks\", \"price\": {\"amount\": 2500, \"currency\": \"GBP\"}}"
ask_json 200 PUT "/inventory/$sku" '{"on_hand": 10, "low_stock_threshold": 2}'

# ---- browse

token=
ask 200 GET "/products?category=Kitchen&sort=price&limit=3"
ask 200 GET "/products?search=mug&sort=-name"
ask 200 GET "/products/$sku"
ask 404 GET /products/NO-SUCH-THING
ask 400 GET "/products?colour=red"
ask 401 GET /orders
ask 405 DELETE /auth/login

# ---- register

ask_json 201 POST /auth/register "{\"email\": \"$email\", \"password\": \"correct horse\", \"name\": \"Ada\"}"
token=$(field .access_token)
ask_json 409 POST /auth/register "{\"email\": \"$email\", \"password\": \"correct horse\"}"
ask 200 GET /users/me
ask 403 GET /orders/analytics

# ---- cart and checkout

ask_json 200 PUT "/cart/items/$sku" '{"quantity": 3}'
ask 200 GET /cart
address_of_ada='{"name": "Ada", "line1": "12 St James Square", "city": "London", "country": "GB"}'
wanted="{\"shipping_address\": $address_of_ada, \"expected_total\": {\"amount\": 7500, \"currency\": \"GBP\"}}"
ask_json 400 POST /cart/checkout "$wanted"
ask_json 201 POST /cart/checkout "$wanted" -H "Idempotency-Key: walk"
order=$(field .id)
ask_json 201 POST /cart/checkout "$wanted" -H "Idempotency-Key: walk"
await '.items == []' /cart
await '.available == 7' "/inventory/$sku"
ask_json 409 POST /orders "{\"items\": [{\"sku\": \"$sku\", \"quantity\": 8}]}" -H "Idempotency-Key: too-many"

# ---- pay

paying() { echo "{\"order_id\": \"$order\", \"method\": {\"type\": \"card\", \"token\": \"$1\"}, \"capture\": true}"; }
ask_json 402 POST /payments "$(paying tok_declined)" -H "Idempotency-Key: walk-declined"
await '.payment_status == "unpaid"' "/orders/$order"
ask_json 201 POST /payments "$(paying tok_ok)" -H "Idempotency-Key: walk"
payment=$(field .id)
await '.status == "confirmed" and .payment_status == "captured"' "/orders/$order"
ask_json 409 POST /payments "$(paying tok_ok)" -H "Idempotency-Key: walk-again"

# ---- a refund of a part, then the customer changes their mind

customer=$token
token=$admin
ask_json 200 POST "/payments/$payment/refund" '{"amount": {"amount": 500, "currency": "GBP"}, "reason": "a scratch"}' \
  -H "Idempotency-Key: walk-$run"
token=$customer
await '[.events[].type] | index("payment_refunded") != null' "/orders/$order/timeline"
ask 200 POST "/orders/$order/cancel"
await '.status == "refunded"' "/payments/$payment"
await '.status == "cancelled" and .payment_status == "refunded"' "/orders/$order"
await '.available == 10' "/inventory/$sku"
await '[.events[].type] | map(select(. == "payment_refunded")) | length == 2' "/orders/$order/timeline"
ask 200 GET /payments
ask 200 GET /orders

# ---- what the customer was told

await '[.items[] | select(.status == "sent").template] | sort == ["order_cancelled", "order_confirmed", "order_created",
  "payment_captured", "payment_refunded", "payment_refunded", "verify_email", "welcome"]' /notifications

# ---- and out

ask 204 POST /auth/logout
since=$SECONDS
until send GET /orders && [ "$(cat "$scratch/status")" = 401 ]; do
  [ $((SECONDS - since)) -lt "$patience_s" ] || fail "the session did not end"
done
record GET /orders

normalise
