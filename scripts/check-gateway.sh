#!/usr/bin/env bash
# Asserts what NGINX promises in front of a running split shop, one line a check; exit code 1 if any fails.
#
#   scripts/check-gateway.sh [--lifted] ADDRESS [TLS_ADDRESS CA_FILE]
#
#   --lifted    the rate limits are lifted: do not check them
#
# With SOUK_SPLIT_DIR set to the folder of a split with a process of its own for `notifications`, that process is stopped and
# started again, to see what the gateway says meanwhile. Needs curl and jq, takes about 20 s: the limits are real, so the script waits
# where it would be refused. Changes nothing in the shop.
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")/.."

lifted=no
if [ "${1:-}" = --lifted ]; then
  lifted=yes
  shift
fi
[ $# -ge 1 ] || {
  sed -n 's/^#   //p' "$0" >&2
  exit 2
}
gateway=${1%/}
tls=${2:-}
authority=${3:-}
case $authority in "" | /*) ;; *) authority=$caller/$authority ;; esac
modules="auth users catalog cart inventory orders payments notifications"
origin=${SOUK_CHECK_ORIGIN:-http://localhost:3000} # one of SOUK_CORS_ORIGINS
host=${gateway#*://}
port=${host##*:}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

pass() {
  passed=$((passed + 1))
  echo "ok    $1"
}

miss() {
  failed=$((failed + 1))
  echo "FAIL  $1: $2"
}

# is WHAT GOT WANTED
is() {
  if [ "$2" = "$3" ]; then pass "$1"; else miss "$1" "is ${2:-empty}, not ${3:-empty}"; fi
}

# like WHAT GOT PATTERN
like() {
  # shellcheck disable=SC2254 # a pattern it is
  case $2 in
    $3) pass "$1" ;;
    *) miss "$1" "is ${2:-empty}, not like $3" ;;
  esac
}

# once [curl option...] PATH: leaves status, and the answer in head and body.
once() {
  status=$(curl -sS --path-as-is --max-time 30 -D "$scratch/head" -o "$scratch/body" -w '%{http_code}' "${@:1:$#-1}" "$gateway${*: -1}" 2>"$scratch/error") || status="${status:-000}"
  [ -e "$scratch/body" ] || : >"$scratch/body"
}

# The same, and again when the limit refuses it: this script is faster than a person.
ask() {
  local tries
  for tries in 1 2 3 4 5; do
    : >"$scratch/body"
    once "$@"
    [ "$status" = 429 ] || return 0
    sleep "$tries"
  done
}

now_ms() {
  local now=${EPOCHREALTIME/[.,]/}
  echo $((now / 1000))
}

header() { tr -d '\r' <"$scratch/head" | sed -n "s/^$1: *//Ip"; }
count() { tr -d '\r' <"$scratch/head" | grep -ic "^$1:" || true; }
field() { jq -r "$1" "$scratch/body" 2>/dev/null || echo "no JSON"; }

# problem WHAT STATUS CODE: the answer in hand is this problem, in the very form of the services.
problem() {
  local title
  is "$1: status" "$status" "$2"
  is "$1: code" "$(field .code)" "$3"
  is "$1: content type" "$(header content-type)" application/problem+json
  is "$1: fields" "$(jq -c keys_unsorted "$scratch/body" 2>/dev/null)" '["type","title","status","detail","code","trace_id"]'
  is "$1: type and status in the body" "$(field '"\(.type) \(.status)"')" "/docs/errors#$3 $2"
  like "$1: trace id in the body" "$(field .trace_id)" "$(printf '[0-9a-f]%.0s' {1..32})"
  is "$1: trace id in the head" "$(header trace-id)" "$(field .trace_id)"
  title=$(sed -n "s/.*<code>$3<\/code><\/td><td>\([^<]*\)<.*/\1/p" "$scratch/table")
  is "$1: title, as in /docs/errors" "$(field .title)" "$title"
  security "$1"
}

# The headers that every answer has, once each.
security() {
  local name counts=
  for name in X-Content-Type-Options X-Frame-Options Referrer-Policy Content-Security-Policy trace-id; do
    counts=$counts$(count "$name")
  done
  is "$1: security headers and trace-id, once each" "$counts" 11111
}

# raw TEXT: sends it as it is, and leaves the answer as `ask` does.
raw() {
  local where=${host%:*}
  : >"$scratch/body"
  exec 3<>"/dev/tcp/$where/$port"
  # shellcheck disable=SC2059 # \r\n in it are meant
  printf "$1" >&3
  timeout 5 cat <&3 >"$scratch/answer" || true
  exec 3>&-
  sed '/^\r$/,$d' "$scratch/answer" >"$scratch/head"
  sed '1,/^\r$/d' "$scratch/answer" >"$scratch/body"
  status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$scratch/answer")
}

[ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 "$gateway/health")" = 200 ] || {
  echo "check-gateway: nothing healthy at $gateway" >&2
  exit 1
}

# ---- a client that never finishes its head: looked at in the end, as it takes 10 s
slow_began=$SECONDS
(
  exec 4<>"/dev/tcp/${host%:*}/$port"
  printf 'GET /health HTTP/1.1\r\nHost: slow\r\nX-Slow:' >&4
  timeout 20 cat <&4 >/dev/null && echo $((SECONDS - slow_began)) >"$scratch/slow"
) &
slow=$!

# ---- who answers where
ask /docs/errors
cp "$scratch/body" "$scratch/table"
is "/docs/errors" "$status" 200
like "/docs/errors is the whole table" "$(cat "$scratch/table")" "*insufficient_stock*refund_exceeds_captured*"
for module in $modules; do
  ask "/$module/health"
  is "/$module/health" "$status $(field .service)" "200 $module"
  ask "/$module/healthz/"
  is "/$module/healthz/" "$status $(field .service)" "200 $module"
  ask "/$module/openapi.json"
  is "/$module/openapi.json" "$status $(field .info.title)" "200 Souk: $module"
  ask "/$module/docs"
  is "/$module/docs" "$status $(header content-type)" "200 text/html"
  cp "$scratch/body" "$scratch/page"
  ask "/$module/docs/"
  is "/$module/docs/ is the same page" "$status $(cmp "$scratch/page" "$scratch/body" && echo same)" "200 same"
done
ask /catalog/docs/swagger-ui.css
is "a file of Swagger UI" "$status" 200
ask /health
is "/health" "$status $(jq -cS . "$scratch/body")" '200 {"service":"souk","status":"healthy"}'
security "/health"
ask /health/
is "/health/" "$status" 200
ask /docs
like "/docs lists every module" "$status $(cat "$scratch/body")" "200*/auth/docs*/cart/docs*/catalog/docs*/inventory/docs*/notifications/docs*/orders/docs*/payments/docs*/users/docs*"
ask /docs/
is "/docs/" "$status" 200
ask /
is "/ leads to /docs" "$status $(header location)" "303 /docs"

ask /catalog/products?limit=2
cp "$scratch/body" "$scratch/page"
for path in "/products?limit=2" "/products/?limit=2" "/catalog/products/?limit=2"; do
  ask "$path"
  is "$path is the catalogue" "$status $(cmp "$scratch/page" "$scratch/body" && echo same)" "200 same"
done
is "the query went through" "$(field '.items | length')" 2
ask "/products?colour=blue"
is "an unknown parameter" "$status $(field .code)" "400 invalid_query"
for path in /pay /pay/ /payments /payments/ /orders /orders/ /cart/checkout /notifications /users/me /inventory; do
  method=GET
  [ "$path" != /cart/checkout ] || method=POST
  ask -X "$method" "$path"
  is "$path without a token" "$status $(field .code)" "401 unauthenticated"
done
for path in /auth/login /auth/login/ /users/login /users/login/ /auth/register/ /users/register /users/register/; do
  ask -H 'Content-Type: application/json' -d '{' "$path"
  is "POST $path stays a POST" "$status $(field .code)" "400 malformed_json"
done
ask /users/register
is "with another method /users/register is a user like any other" "$status $(field .code)" "401 unauthenticated"
ask "/users/register/x"
like "below /users/register there is nothing of auth" "$status" "40[145]"

# ---- what is not served
ask /nowhere/at/all
cp "$scratch/body" "$scratch/ours"
problem "an unknown path" 404 not_found
ask /catalog/nowhere/at/all
is "the gateway says it as a service does" "$(jq -c 'del(.trace_id)' "$scratch/ours")" "$(jq -c 'del(.trace_id)' "$scratch/body")"
for path in /ordersx /orders.json /catalogue /paypal /users-list /authx /docsx /docs/errorsx /healthz /healthx \
  /internal /internal/ /internal/orders/place //internal //internal/orders/place /%69nternal/orders/place /INTERNAL \
  /%2finternal /%2Finternal/orders/place /./internal /orders/../internal /orders/../internal/orders/place \
  /orders/%2e%2e/internal/orders/place /orders/..%2finternal/orders/place /orders/%2E%2e%2Finternal /internal%2forders%2fplace \
  /internal/../orders /internal/orders/place/../../../orders /internal/orders/..%2f..%2forders '/internal;x/orders/place' '/internal?x' \
  '/orders/..;/internal' /metrics /metrics/ //metrics /%6detrics /livez /livez/ /readyz /readyz/ /.problem/malformed_request; do
  ask -X GET "$path"
  is "$path is not there" "$status $(field .code)" "404 not_found"
  case $path in
    */internal*/orders/place) ask -X POST -H 'Content-Type: application/json' -d '{}' "$path"
      is "POST $path is not there" "$status $(field .code)" "404 not_found" ;;
  esac
done

# ---- methods
ask -X TRACE /orders
problem "TRACE" 405 method_not_allowed
like "TRACE: Allow" "$(header allow)" "GET, *"
ask -X DELETE /orders
is "a method that the path has not" "$status $(field .code) $(count allow)" "405 method_not_allowed 1"
raw "HEAD /products HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"
is "HEAD" "$status $(wc -c <"$scratch/body" | tr -d ' ')" "200 0"
ask -I /nowhere
is "HEAD of nothing" "$status $(header content-type)" "404 application/problem+json"

# ---- sizes
head -c 2000000 /dev/zero | tr '\0' ' ' >"$scratch/big"
ask -X POST -H 'Content-Type: application/json' -H 'Expect:' --data-binary "@$scratch/big" /orders
problem "a body of 2 MB" 413 payload_too_large
ask -X POST -H 'Content-Type: application/json' -H 'Expect:' -H 'Transfer-Encoding: chunked' --data-binary "@$scratch/big" /orders
problem "a body of 2 MB in chunks" 413 payload_too_large
ask -X POST -H 'Content-Type: text/csv' --data-binary "@$scratch/big" /orders/import
is "an upload of 2 MB gets to the service" "$status $(field .code)" "401 unauthenticated"
ask -X POST -H 'Content-Type: text/csv' --data-binary "@$scratch/big" /catalog/import/
is "an upload with a slash, too" "$status $(field .code)" "401 unauthenticated"
long=$(head -c 70000 /dev/zero | tr '\0' x)
printf '%s' "$long" | sed 's/^/X-Long: /' >"$scratch/long"
ask -H "@$scratch/long" /products
problem "a header of 70 kB" 400 malformed_request
raw "GET /$long HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"
problem "a path of 70 kB" 400 malformed_request

# ---- what is not HTTP
raw 'BREW\r\n\r\n'
is "no request line" "$status $(field .code)" "400 malformed_request"
raw 'GET /products HTTP/1.1\r\nConnection: close\r\n\r\n'
problem "no Host" 400 malformed_request
raw 'GET /products HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\nConnection: close\r\n\r\n'
problem "a length that is no number" 400 malformed_request
raw 'GET /products HTTP/7.0\r\nHost: x\r\nConnection: close\r\n\r\n'
is "HTTP of the future" "$status $(field .code)" "400 malformed_request"
raw 'POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: strange\r\nConnection: close\r\n\r\n'
is "an unknown transfer coding" "$status $(field .code)" "400 malformed_request"
raw 'POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\nConnection: close\r\n\r\n0\r\n\r\n'
is "two lengths" "$status $(field .code)" "400 malformed_request"
raw "GET http://$host/internal/orders/place HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"
is "/internal as an absolute address" "$status $(field .code)" "404 not_found"

# ---- traces
given=4bf92f3577b34da6a3ce929d0e0e4736
ask -H "traceparent: 00-$given-00f067aa0ba902b7-01" /products
is "a client's trace goes through a service" "$(header trace-id)" "$given"
ask -H "traceparent: 00-$given-00f067aa0ba902b7-01" /nowhere
is "a client's trace in the gateway's own answer" "$(header trace-id) $(field .trace_id)" "$given $given"
for bad in "00-00000000000000000000000000000000-00f067aa0ba902b7-01" "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01" "nonsense"; do
  ask -H "traceparent: $bad" /products
  like "a new trace instead of $bad" "$(header trace-id)" "$(printf '[0-9a-f]%.0s' {1..32})"
  [ "$(header trace-id)" != "$given" ] || miss "a new trace" "is the given one"
done

# ---- other origins
for path in /orders /catalog/import /nowhere; do
  ask -X OPTIONS -H "Origin: $origin" -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: authorization' "$path"
  is "a preflight of $path" "$status $(header access-control-allow-origin)" "204 $origin"
done
like "it may send a key and a token" "$(header access-control-allow-headers)" "*Authorization*Idempotency-Key*If-Match*x-cart-token*"
like "it may use these methods" "$(header access-control-allow-methods)" "*GET*POST*PUT*PATCH*DELETE*"
ask -H "Origin: $origin" /products
is "an answer to a listed origin" "$status $(header access-control-allow-origin)" "200 $origin"
for name in ETag Idempotency-Replayed Retry-After trace-id x-cart-token Location; do
  like "a page may read $name" "$(header access-control-expose-headers)" "*$name*"
done
ask -H "Origin: $origin" /nowhere
is "so is a problem of the gateway" "$status $(header access-control-allow-origin)" "404 $origin"
is "answers vary by origin" "$(header vary | grep -ic origin)" 1
for other in "https://evil.example" "$origin.evil.example" "${origin}0" null "${origin%?}" "https://evil.example $origin" "$origin https://evil.example" "${origin%%:*}"; do
  ask -X OPTIONS -H "Origin: $other" -H 'Access-Control-Request-Method: POST' /orders
  is "no preflight for $other" "$([ "$status" = 204 ] && echo 204)$(header access-control-allow-origin)" ""
  ask -H "Origin: $other" /products
  is "nothing allowed to $other" "$status $(count access-control-allow-origin)" "200 0"
done
is "cookies are never allowed" "$(count access-control-allow-credentials)" 0

# ---- forms
ask /catalog/openapi.json
cp "$scratch/body" "$scratch/page"
ask -H 'Accept-Encoding: gzip' /catalog/openapi.json
is "gzip" "$(header content-encoding) $(gzip -dc "$scratch/body" 2>/dev/null | cmp - "$scratch/page" && echo same)" "gzip same"
is "compressed answers vary by coding" "$(header vary | grep -ic accept-encoding)" 1
like "JSON is no page" "$(header content-security-policy)" "default-src 'none'*"
ask /catalog/docs
like "Swagger UI may load its own files" "$(header content-security-policy)" "default-src 'self'*"
is "no script stands inside the page" "$(grep -c '<script>' "$scratch/body")" 0
security "a page"
is "no HSTS without TLS" "$(count strict-transport-security)" 0
is "the server tells no version" "$(header server)" nginx
ask "/products?limit=1"
product=$(field '.items[0].sku')
ask "/products/$product"
tag=$(header etag)
ask -H "If-None-Match: $tag" "/products/$product"
is "If-None-Match" "$status" 304
ask -H "If-None-Match: W/$tag" "/products/$product"
is "If-None-Match with the weak tag of a compressed answer" "$status" 304
connections=$(curl -s -o /dev/null -o /dev/null -w '%{num_connects}' "$gateway/livez" "$gateway/livez")
is "connections are kept" "$connections" 10

# ---- TLS
if [ -n "$tls" ]; then
  plain=$gateway
  secure=(--cacert "$authority")
  gateway=${tls%/}
  ask "${secure[@]}" /products
  is "TLS" "$status $(count strict-transport-security)" "200 1"
  ask "${secure[@]}" --tlsv1.2 --tls-max 1.2 /products
  is "TLS 1.2" "$status" 200
  ask "${secure[@]}" --tlsv1.3 /products
  is "TLS 1.3" "$status" 200
  ask "${secure[@]}" --ciphers DEFAULT@SECLEVEL=0 --tlsv1.0 --tls-max 1.1 /products
  is "no TLS 1.1" "$status" 000
  ask "${secure[@]}" --http2 /nowhere
  like "HTTP/2" "$(head -n 1 "$scratch/head")" "HTTP/2 404*"
  problem "an unknown path over TLS" 404 not_found
  host=${gateway#*://} port=${gateway##*:}
  raw 'GET /products HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  is "HTTP spoken to the TLS port" "$status $(field .code)" "400 malformed_request"
  gateway=$plain host=${plain#*://} port=${plain##*:}
fi

# ---- a part that is down
if [ -n "${SOUK_SPLIT_DIR:-}" ]; then
  case $SOUK_SPLIT_DIR in /*) ;; *) SOUK_SPLIT_DIR=$caller/$SOUK_SPLIT_DIR ;; esac
  export SOUK_SPLIT_DIR
  kill -TERM "$(cut -d' ' -f1 "$SOUK_SPLIT_DIR/run/notifications.pid")" || miss "a part that is down" "it does not run in the first place"
  ask /notifications/health
  for _ in $(seq 100); do
    [ "$status" != 503 ] || [ "$(field .code)" != unavailable ] || break
    sleep 0.1
    ask /notifications/health
  done
  problem "a part that is down" 503 unavailable
  is "a part that is down: Retry-After" "$(header retry-after)" 1
  ask /products
  is "the other parts go on" "$status" 200
  scripts/split.sh restart notifications 2>"$scratch/log" || miss "it starts again" "$(tail -n 1 "$scratch/log")"
  ask /notifications/health
  is "it is back at once" "$status" 200
fi

# ---- limits: the last, as they use up what others would need
if [ "$lifted" = no ]; then
  sleep 3
  for _ in $(seq 60); do printf 'url = "%s/livez"\noutput = /dev/null\n' "$gateway"; done >"$scratch/urls"
  curl -s --path-as-is -w '%{http_code}\n' -K "$scratch/urls" >/dev/null # not there, and still not counted
  for _ in $(seq 60); do printf 'url = "%s/catalog/health"\noutput = /dev/null\n' "$gateway"; done >"$scratch/urls"
  # 21 at once, and 10 more for each second that the machine takes to send them.
  burst_began=$(now_ms)
  curl -s -w '%{http_code}\n' -K "$scratch/urls" >"$scratch/codes"
  burst_ms=$(($(now_ms) - burst_began))
  through=$(grep -c 200 "$scratch/codes" || true)
  most=$((22 + burst_ms / 100))
  if [ "$through" -ge 21 ] && [ "$through" -le "$most" ]; then
    pass "a burst: $through of 60 go through in $burst_ms ms"
  else
    miss "a burst" "$through of 60 go through in $burst_ms ms, not 21 to $most"
  fi
  # While another client of this address keeps at it, one more is refused.
  : >"$scratch/keep_at_it"
  (while [ -e "$scratch/keep_at_it" ]; do curl -s -K "$scratch/urls" || break; done) &
  other=$!
  since=$SECONDS
  status=
  until [ "$status" = 429 ] || [ $((SECONDS - since)) -ge 20 ]; do once -H "Origin: $origin" /catalog/health; done
  rm "$scratch/keep_at_it"
  wait "$other" || true
  problem "the next one" 429 too_many_requests
  is "the next one: Retry-After" "$(header retry-after)" 1
  is "the next one: a page learns of it, too" "$(header access-control-allow-origin)" "$origin"
  sleep 3
  once /catalog/health
  is "a moment later" "$status" 200
  # A slow machine earns one more every 6 s.
  for _ in $(seq 10); do
    for path in /auth/login /users/login /auth/register /users/register /auth/login/ /users/login/; do
      once -H 'Content-Type: application/json' -d '{' "$path"
      [ "$status" != 429 ] || break 2
    done
  done
  problem "login and registration have a limit of their own" 429 too_many_requests
  is "login: Retry-After" "$(header retry-after)" 6
  sleep 1
  once /catalog/health
  is "which stops nothing else" "$status" 200
fi

wait "$slow" || true
if [ -s "$scratch/slow" ]; then
  like "a client that never finishes its head is cut off after 10 s, not $(cat "$scratch/slow")" "$(cat "$scratch/slow")" "1[0-9]"
else
  miss "a client that never finishes its head" "is still connected after 20 s"
fi

echo
echo "check-gateway: $passed held, $failed failed"
[ "$failed" -eq 0 ]
