#!/usr/bin/env python3
"""Tries what clients must not be able to do with HTTP itself against a running shop, one line a check; exit code 1 if any fails.

    scripts/attack-http.py [--gateway [--lifted]] ADDRESS

ADDRESS is that of a process, started with SOUK__SERVER__KEEP_ALIVE_S=10 and SOUK__LIMITS__LOGIN_PER_MINUTE=0, or with --gateway that of
NGINX in front of a split shop. The demo accounts must be there. Takes half a minute: time-outs are waited for, all at once. Standard
library only.

A gateway on this machine (127.0.0.1) is attacked with the limits that it is shipped with: each connection comes from another address
of 127.0.0.0/8, as those of many attackers do, which takes Linux. One elsewhere, or --lifted, needs them lifted: SOUK_RATE_LIMIT,
SOUK_RATE_BURST, SOUK_LOGIN_RATE_LIMIT and SOUK_LOGIN_RATE_BURST; what the limits promise is then not tried.
"""
import concurrent.futures
import gzip
import http.client
import itertools
import json
import re
import secrets
import socket
import sys
import time

MODULES = ["auth", "users", "catalog", "cart", "inventory", "orders", "payments", "notifications"]
# The head may take 10 s (and those after the first 10 s more), a silence in a body 15 s. What is held longer than this is held by the client.
BOUND_S = 22
# What one client may have under way at once behind the gateway (SOUK_CLIENT_CONNECTIONS).
HOARD = 100
HIDDEN = b"GET /livez HTTP/1.1\r\nHost: hidden\r\n\r\n"

arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
behind_gateway = "--gateway" in sys.argv[1:]
if len(arguments) != 1:
    sys.exit(__doc__)
address = arguments[0].rstrip("/")
host, port = re.fullmatch(r"http://([^:/]+):(\d+)", address).groups()
port = int(port)
has_limits = behind_gateway and "--lifted" not in sys.argv[1:] and host.startswith("127.")
strangers = itertools.count(1)
failed = []


def check(what, wrong):
    """Says what was tried; `wrong` is empty if it came to nothing."""
    print(f"FAIL  {what}: {wrong}" if wrong else f"ok    {what}", flush=True)
    if wrong:
        failed.append(what)


def stranger():
    """An address that nothing has come from yet, where each has a limit of its own."""
    number = next(strangers)
    return f"127.{64 + number // 65_536}.{number // 256 % 256}.{number % 256}" if has_limits else ""


def connect(timeout=5.0, source=None):
    connection = socket.create_connection((host, port), timeout=10, source_address=(source or stranger(), 0))
    connection.settimeout(timeout)
    return connection


def hear(connection):
    """Everything that comes until the other side ends or falls silent, and whether it ended."""
    heard = b""
    try:
        while chunk := connection.recv(65536):
            heard += chunk
        return heard, True
    except TimeoutError:
        return heard, False
    except OSError:  # a reset is an end, too
        return heard, True


def say(request, timeout=3.0):
    with connect(timeout) as connection:
        try:
            connection.sendall(request)
        except OSError:
            pass
        return hear(connection)


def statuses(heard):
    """Of the answers, without those that only say to go on."""
    found = re.findall(rb"(?:^|\r\n|[}>\n])HTTP/1\.[01] (\d{3})", heard)
    return [int(status) for status in found if not status.startswith(b"1")]


def ask(method, path, body=None, token=None, headers=None, source=None):
    """The answer, read."""
    headers = dict(headers or {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection(host, port, timeout=30, source_address=(source or stranger(), 0))
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def call(method, path, body=None, token=None, headers=None):
    """Status and body; where there are limits that were not lifted after all, with patience."""
    for wait in (1, 2, 4, 0):
        answer, said = ask(method, path, body, token, headers)
        if answer.status != 429 or not wait:
            return answer.status, said
        time.sleep(wait)


def log_in(name, password):
    key = "email" if "@" in name else "username"
    body = json.dumps({key: name, "password": password}).encode()
    status, answer = call("POST", "/auth/login", body, headers={"Content-Type": "application/json"})
    if status != 200:
        sys.exit(f"cannot log in as {name}: {status} {answer[:200]}")
    return json.loads(answer)["access_token"]


# ---- two requests where there is one

BODY = b'{"email":"x@example.com","password":"not the password"}'


def post(*lines, body=BODY, path=b"/auth/login"):
    head = [b"POST " + path + b" HTTP/1.1", b"Host: shop", b"Content-Type: application/json", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def length(n):
    return b"Content-Length: " + str(n).encode()


CHUNKED = b"Transfer-Encoding: chunked"
chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

REFUSED = {
    "CL.TE": post(length(len(b"0\r\n\r\n" + HIDDEN)), CHUNKED, body=b"0\r\n\r\n" + HIDDEN),
    "TE.CL": post(CHUNKED, length(4), body=b"5c\r\n" + HIDDEN.ljust(0x5C) + b"\r\n0\r\n\r\n"),
    "two lengths that differ": post(length(len(BODY)), length(len(BODY) + len(HIDDEN)), body=BODY + HIDDEN),
    "two lengths that agree": post(length(len(BODY)), length(len(BODY)), body=BODY + HIDDEN),
    "a list of lengths": post(b"Content-Length: %d, %d" % (len(BODY), len(BODY)), body=BODY + HIDDEN),
    "a length with a sign": post(b"Content-Length: +%d" % len(BODY), body=BODY + HIDDEN),
    "a negative length": post(b"Content-Length: -1", body=BODY + HIDDEN),
    "a length in hexadecimal": post(b"Content-Length: 0x10", body=BODY + HIDDEN),
    "a length beyond all numbers": post(b"Content-Length: 99999999999999999999999", body=BODY + HIDDEN),
    "a space before the colon": post(b"Transfer-Encoding : chunked", length(len(BODY)), body=BODY + HIDDEN),
    "a space before the colon of the length": post(b"Content-Length : %d" % len(BODY), body=BODY + HIDDEN),
    "a folded header": post(b"X-A: b", b" c: d", length(len(BODY)), body=BODY + HIDDEN),
    "a folded encoding": post(b"Transfer-Encoding:", b" chunked", body=chunks + HIDDEN),
    "an unknown encoding": post(b"Transfer-Encoding: xchunked", length(len(BODY)), body=BODY + HIDDEN),
    "chunked, but not last": post(b"Transfer-Encoding: chunked, identity", length(len(BODY)), body=BODY + HIDDEN),
    "an encoding and the identity": post(b"Transfer-Encoding: identity", length(len(BODY)), body=BODY + HIDDEN),
    "an encoding behind a control character": post(b"Transfer-Encoding: \x0bchunked", length(len(BODY)), body=BODY + HIDDEN),
    "two encodings": post(CHUNKED, CHUNKED, length(len(BODY)), body=BODY + HIDDEN),
    "TE.TE": post(CHUNKED, b"Transfer-Encoding: cow", body=chunks + HIDDEN),
    "TE.TE the other way round": post(b"Transfer-Encoding: cow", CHUNKED, body=chunks + HIDDEN),
    "two encodings in a list": post(b"Transfer-Encoding: cow, chunked", body=chunks + HIDDEN),
    "chunked twice in a list": post(b"Transfer-Encoding: chunked, chunked", body=chunks + HIDDEN),
    "an encoding in quotes": post(b'Transfer-Encoding: "chunked"', length(len(BODY)), body=BODY + HIDDEN),
    "an encoding with a parameter": post(b"Transfer-Encoding: chunked;a=b", length(len(BODY)), body=BODY + HIDDEN),
    "an empty encoding": post(b"Transfer-Encoding:", length(len(BODY)), body=BODY + HIDDEN),
    "an encoding behind a lone line feed": post(b"X-A: b\nTransfer-Encoding: chunked", length(len(BODY)), body=BODY + HIDDEN),
    "an encoding behind a lone return": post(b"X-A: b\rTransfer-Encoding: chunked", length(len(BODY)), body=BODY + HIDDEN),
    "a length behind a lone line feed": post(length(len(BODY)), b"X-A: b\nContent-Length: 0", body=BODY + HIDDEN),
    "a folded length": post(b"Content-Length:", b" %d" % len(BODY), body=BODY + HIDDEN),
    "a length of two numbers": post(b"Content-Length: %d 0" % len(BODY), body=BODY + HIDDEN),
    "an empty length": post(b"Content-Length:", body=BODY + HIDDEN),
    "a header without a name": post(b": b", length(len(BODY)), body=BODY + HIDDEN),
    "a header before the first": b"GET /products HTTP/1.1\r\n X-A: b\r\nHost: shop\r\n\r\n",
    "a chunk in hexadecimal with a prefix": post(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "a chunk of no size": post(CHUNKED, body=b"\r\n" + chunks + HIDDEN),
    "a chunk with a sign": post(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "a chunk beyond all numbers": post(CHUNKED, body=b"fffffffffffffffff5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "a chunk longer than it says": post(CHUNKED, body=b"2\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "a NUL in a header": post(b"X-A: b\0c", length(len(BODY)), body=BODY + HIDDEN),
    "a lone return in a header": post(b"X-A: b\rContent-Length: 0", length(len(BODY)), body=BODY + HIDDEN),
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: shop\r\nHost: other\r\n\r\n",
    "a space in the path": b"GET /livez /x HTTP/1.1\r\nHost: shop\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}

lone = b"POST /auth/login HTTP/1.1\nHost: shop\nContent-Type: application/json\n"
get = b"GET /catalog/categories HTTP/1.1\r\nHost: shop\r\n"
# What one reader may take and another refuse; it is one request to both.
ONE_AT_MOST = {
    "a head of lone line feeds": lone + b"Content-Length: %d\n\n%s" % (len(BODY), BODY),
    "chunks between lone line feeds": lone + b"Transfer-Encoding: chunked\n\n%x\n%s\n0\n\n" % (len(BODY), BODY),
    "an extension with a lone line feed": post(CHUNKED, body=b"%x;a\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a body of a GET": get + length(len(HIDDEN)) + b"\r\n\r\n" + HIDDEN,
    "chunks of a GET": get + CHUNKED + b"\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "a body of another kind": post(length(len(HIDDEN)), body=HIDDEN),
    "a body that waits to be wanted": post(b"Expect: 100-continue", length(len(HIDDEN)), body=HIDDEN),
    "a body for nobody": post(length(len(HIDDEN)), body=HIDDEN, path=b"/nowhere"),
    "a length that the connection names": post(b"Connection: Content-Length", length(len(HIDDEN)), body=HIDDEN),
    "an encoding with an underscore": post(b"Transfer_Encoding: chunked", length(len(HIDDEN)), body=HIDDEN),
    "an encoding of HTTP/1.0": b"POST /auth/login HTTP/1.0\r\nHost: shop\r\n" + CHUNKED + b"\r\n\r\n0\r\n\r\n" + HIDDEN,
    "HTTP/2 in the clear": get + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": get + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
}


def smuggle(request):
    heard, ended = say(request)
    found = statuses(heard)
    if len(found) > 1 or b"hidden" in heard:
        return f"two requests were read where there is one: {found}"
    if not ended:
        return f"the connection stays open after {found}"
    if found and not 400 <= found[0] < 600:
        return f"answered {found}"
    return ""


def sneak(request):
    heard, _ = say(request, timeout=1.5)
    answers = [answer for answer in statuses(heard) if answer != 400]  # what stands behind the end of it is no request
    if len(answers) > 1 or b"hidden" in heard or b" 101 " in heard:
        return f"answered {statuses(heard)}: {heard[:200]}"
    return ""


def own_answers(times=400):
    """Whether each answer is that of its own request, while many go by the same connections to the same services."""
    def one(number):
        trace = secrets.token_hex(16)
        module = MODULES[number % len(MODULES)]
        method, path, wanted = (("GET", f"/{module}/health", 200), ("POST", "/auth/refresh", 401), ("POST", "/orders", 401))[number % 3]
        body = b'{"refresh_token":"none"}' if method == "POST" else None
        headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "Content-Type": "application/json"}
        answer, _ = ask(method, path, body, headers=headers)
        said = (answer.status, answer.getheader("trace-id"))
        return "" if said == (wanted, trace) else f"{method} {path}: {said} instead of {(wanted, trace)}"

    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as threads:
        wrong = [answer for answer in threads.map(one, range(times)) if answer]
    check(f"after this {times} answers are those of their own requests", wrong[:3])


# ---- doors that are not for customers

HIDDEN_PATHS = """
/internal /internal/orders/place //internal/orders/place ///internal/orders/place /./internal/orders/place /%2e/internal/orders/place
/%69nternal/orders/place /%49nternal/orders/place /INTERNAL/orders/place /%2finternal/orders/place /%2Finternal%2Forders%2Fplace
/%252finternal/orders/place /internal%2forders/place /internal%5corders%5cplace /internal;/orders/place /internal;a=b/orders/place
/internal%20/orders/place /internal%09/orders/place /internal%00/orders/place /internal?/orders/place /internal/orders/place/
/internal/orders/place?x=/orders /internal/orders/place%3f /internal/orders/place%23 /internal/orders//place /internal/orders/./place
/orders/../internal/orders/place /orders/..//internal/orders/place /orders/%2e%2e/internal/orders/place
/orders/.%2e/internal/orders/place /orders/%2e./internal/orders/place /orders/%2E%2E/internal/orders/place
/orders/%2e%2e%2finternal/orders/place /orders/..%2finternal/orders/place /orders/..%5cinternal/orders/place
/orders/%252e%252e/internal/orders/place /orders/..;/internal/orders/place /orders/..;a/internal/orders/place
/orders/..%3b/internal/orders/place /orders/%2e%2e;/internal/orders/place /orders/..%00/internal/orders/place
/orders/..%09/internal/orders/place /orders/..%20/internal/orders/place /orders/..\\internal\\orders\\place /orders\\..\\internal\\orders\\place
/orders/%c0%ae%c0%ae/internal/orders/place /orders/%e0%80%ae%e0%80%ae/internal/orders/place /orders/..%c0%afinternal/orders/place
/orders/x/../../internal/orders/place /orders/x/%2e%2e/%2e%2e/internal/orders/place /orders/../../../internal/orders/place
/catalog/../orders/../internal/orders/place /orders/internal/../../internal/orders/place /orders//../internal/orders/place
/docs/../internal/orders/place /docs/..;/internal/orders/place /health/../internal/orders/place /health/..%2finternal/orders/place
/users/register/../../internal/orders/place /orders/..#/internal/orders/place /orders/%2e%2e?/internal/orders/place
/orders/import/../../internal/orders/place /orders/import/..%2f..%2finternal/orders/place /orders/import/..;/..;/internal/orders/place
/metrics //metrics /metrics/ /%6detrics /./metrics /metrics;a /orders/../metrics /orders/..%2fmetrics /orders/..;/metrics /metrics%20
/livez /readyz /orders/../readyz /orders/..%2freadyz /.problem/malformed_request /%2eproblem/malformed_request
""".split()


def doors():
    """No spelling of a path leads through the gateway to what is the operators', or the other processes'."""
    wrong = []
    wanted = [f"{target} HTTP/1.{minor}" for target in HIDDEN_PATHS for minor in (1, 0)]
    wanted += [f"{start}/internal/orders/place HTTP/1.1" for start in (f"http://{host}:{port}", "http://orders", "http://shop@orders", "//orders")]
    wanted += ["orders:80/internal/orders/place HTTP/1.1", "* HTTP/1.1", "internal/orders/place HTTP/1.1", "/internal/orders/place"]
    tried = [f"{method} {line}" for line in wanted for method in ("GET", "POST")] + [f"CONNECT orders:{number} HTTP/1.1" for number in (80, 8080)]

    def one(line):
        body = b"{}" if line.startswith("POST") else b""
        head = line.encode() + b"\r\nHost: orders\r\nContent-Type: application/json\r\nConnection: close\r\n" + length(len(body)) + b"\r\n\r\n"
        heard, _ = say(head + body)
        refused = b'"code":"not_found"' in heard or b'"code":"malformed_request"' in heard or b'"code":"method_not_allowed"' in heard
        return "" if refused and statuses(heard)[:1] in ([], [400], [404], [405]) else f"{line}: {heard[:300]}"
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as threads:
        wrong = [answer for answer in threads.map(one, tried) if answer]
    check(f"no spelling of a path leads behind the gateway ({len(tried)} tried)", wrong[:5])


# ---- what a client says of itself

CLAIMS = {
    "X-Forwarded-For": "203.0.113.66, 127.0.0.1", "X-Real-IP": "203.0.113.66", "Forwarded": "for=203.0.113.66;proto=https;host=evil.example",
    "X-Client-IP": "203.0.113.66", "True-Client-IP": "203.0.113.66", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example",
    "X-Original-URL": "/internal/orders/place", "X-Rewrite-URL": "/metrics", "X-HTTP-Method-Override": "DELETE", "souk-timeout-ms": "0",
}


def claims(token):
    json_body = {"Content-Type": "application/json"}
    login = json.dumps({"email": "demo@test.com", "password": "password123"}).encode()
    answer, said = ask("POST", "/auth/login", login, headers=json_body | CLAIMS, source="127.99.0.1" if has_limits else None)
    fresh = json.loads(said).get("access_token")
    check("a login that lies about where it comes from is one", "" if answer.status == 200 and fresh else f"{answer.status}")
    check("plain HTTP stays plain, whatever the client says", "" if not answer.getheader("strict-transport-security") else "HSTS")
    _, sessions = call("GET", "/auth/sessions?limit=100", token=fresh)
    check("no session comes from where the client says", "" if b"203.0.113.66" not in sessions and b"client_address" in sessions else f"{sessions[:300]}")
    answer, said = ask("GET", "/catalog/categories", headers=CLAIMS)
    check("paths and methods are those of the request line", "" if answer.status == 200 and b"evil.example" not in said else f"{answer.status} {said[:200]}")
    _, sessions = call("GET", "/auth/sessions?limit=100", token=token)
    check("nobody's word is another's", "" if b"203.0.113.66" not in sessions else f"{sessions[:300]}")
    if not has_limits:
        return
    found = []
    for number in range(30):
        body = json.dumps({"email": f"nobody{number}@example.com", "password": "not the password"}).encode()
        lie = {name: f"198.51.100.{number}" for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded")}
        found.append(ask("POST", "/auth/login", body, headers=json_body | lie, source="127.99.0.2")[0].status)
    check("logins of one client are counted as one's, whatever it says", "" if found.count(429) >= 15 and found[0] == 401 else f"{found}")



# ---- the shop bears it

def packed(token):
    bomb = gzip.compress(b'{"email":"' + b"a" * 50_000_000 + b'"}')
    for path, kind in (("/auth/login", "application/json"), ("/catalog/import", "text/csv"), ("/orders", "application/json")):
        headers = {"Content-Type": kind, "Content-Encoding": "gzip", "Idempotency-Key": "bomb"}
        status, _ = call("POST", path, bomb, token, headers)
        check(f"a bomb of {len(bomb)} bytes is not unpacked by POST {path}", "" if status == 415 else f"{status}")


def deep(token):
    """Every operation that takes a JSON body, with brackets without end."""
    tried = 0
    wrong = []
    for module in MODULES:
        status, document = call("GET", f"/{module}/openapi.json")
        if status != 200:
            wrong.append(f"/{module}/openapi.json: {status}")
            continue
        for path, item in json.loads(document)["paths"].items():
            path = re.sub(r"\{[^}]*\}", "00000000-0000-7000-8000-000000000000", path)
            for method in {"post", "put", "patch"} & item.keys():
                if "application/json" not in item[method].get("requestBody", {}).get("content", {}):
                    continue
                for levels in (200, 50_000):
                    for open_, close in ((b"[", b"]"), (b'{"a":', b"}")):
                        body = open_ * levels + b"1" + close * levels
                        headers = {"Content-Type": "application/json", "Idempotency-Key": "deep"}
                        status, _ = call(method.upper(), path, body, token, headers)
                        tried += 1
                        if status not in (400, 401, 403, 404, 413):
                            wrong.append(f"{method} {path} with {levels} levels: {status}")
    check(f"JSON without a bottom is refused ({tried} requests)", wrong if tried and wrong else "" if tried else "nothing was tried")


# ---- clients that take their time

FILE = b"sku,name,category,price\n"  # its head is right, so that the lines are waited for


def dribble(request, body=b"", pause=1.0, before=b""):
    """Sends a head at once and then a body byte by byte; how long the shop bears it. `before` is a whole request before it."""
    with connect(timeout=pause) as connection:
        if before:
            connection.sendall(before)
            hear(connection)
        began = time.monotonic()
        connection.sendall(request)
        rest = iter(body)
        while time.monotonic() - began < BOUND_S + 10:
            try:
                if connection.recv(65536) == b"":
                    break
                continue  # an answer: the end comes next
            except TimeoutError:
                pass
            except OSError:
                break
            try:
                byte = next(rest, None)
                if byte is not None:
                    connection.sendall(bytes([byte]))
            except OSError:
                break
    return time.monotonic() - began


def hoard_bodies():
    """The gateway bounds the silence inside of a body that it lays down, not its pace, so one that drips holds a connection there for
    as long as it likes, and nothing behind it. How many one client can hold is bounded, and others do not notice."""
    hoarder = "127.99.0.3"
    held = []
    try:
        for _ in range(HOARD + 10):
            held.append(connect(0.05, hoarder))
            held[-1].sendall(post(length(1000), body=b"{", path=b"/orders"))
            time.sleep(0.1)  # never faster than the limit of requests
        heard = [answer for answer, _ in map(hear, held[-20:]) if answer]
        alike = all(b" 429 " in answer and b"Retry-After: " in answer for answer in heard)
        check(f"one client holds {HOARD} bodies that drip, and no more", "" if alike and len(heard) == 10 else f"{len(heard)} were refused: {heard[:1]}")
        answer, _ = ask("GET", "/catalog/categories", source=hoarder)
        check("then it has to wait", "" if answer.status == 429 else f"{answer.status}")
        status, _ = call("GET", "/catalog/categories")
        check("and others have not", "" if status == 200 else f"{status}")
    finally:
        for connection in held:
            connection.close()
    for _ in range(50):
        answer, _ = ask("GET", "/catalog/categories", source=hoarder)
        if answer.status == 200:
            break
        time.sleep(0.1)
    check("once it has let go it is served again", "" if answer.status == 200 else f"{answer.status}")


def slow(token):
    bearer = b"Authorization: Bearer " + token.encode()
    csv = b"Content-Type: text/csv"
    endless = b"x" * 1000

    def upload(*lines):
        return b"\r\n".join([b"POST /catalog/import HTTP/1.1", b"Host: shop", bearer, csv, *lines]) + b"\r\n\r\n"

    cases = {
        "a head that never ends": (b"", b"GET /livez HTTP/1.1\r\nX-Endless: " + endless),
        "a head that stops": (b"GET /livez HTTP/1.1\r\nHost: shop\r\n", b""),
        "a second head that never ends": (b"GET /livez HTTP/1.1\r\nX-Endless: ", endless, 1.0, get + b"\r\n"),
        "a second head that stops": (b"GET /livez HTTP/1.1\r\n", b"", 1.0, get + b"\r\n"),
        "a request line that never ends": (b"GET /", endless),
        "lines before a request, without end": (b"\r\n", b"\r\n" * 500),
        "JSON that stops": (post(length(1000), body=b"{"), b""),
        "an upload that stops": (upload(length(100_000)) + FILE, b""),
        "an upload in chunks that stops": (upload(CHUNKED) + b"%x\r\n%s\r\n" % (len(FILE), FILE), b""),
        "an extension of a chunk that stops": (post(CHUNKED, body=b"1;" + b"x" * 100_000), b""),
        "a webhook that stops": (post(length(1000), body=b"{", path=b"/payments/webhooks/sandbox"), b""),
        "a body for nobody that stops": (post(length(1000), body=b"{", path=b"/nowhere"), b""),
    }
    dribbled = {
        "a dribbled upload": (upload(length(100_000)) + FILE, endless),
        "an upload that drips, a byte every ten seconds": (upload(length(100_000)) + FILE, endless, 10.0),
    }
    if not behind_gateway:
        dribbled |= {
            "dribbled JSON": (post(length(1000), body=b"{"), endless),
            "JSON that drips, a byte every ten seconds": (post(length(1000), body=b"{"), endless, 10.0),
            "a dribbled webhook": (post(length(1000), body=b"{", path=b"/payments/webhooks/sandbox"), endless),
            "a dribbled body for nobody": (post(length(1000), body=b"{", path=b"/nowhere"), endless),
        }
    cases |= dribbled
    crowd = [(b"GET /livez HTTP/1.1\r\nHost: shop\r\n", b"")] * 200
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(cases) + len(crowd) + 1) as threads:
        waiting = {what: threads.submit(dribble, *case) for what, case in cases.items()}
        crowd = [threads.submit(dribble, *case) for case in crowd]
        hoard = threads.submit(hoard_bodies) if has_limits else None
        slowest = 0.0
        while not all(case.done() for case in waiting.values()):
            began = time.monotonic()
            status, _ = call("GET", "/catalog/categories")
            slowest = max(slowest, time.monotonic() - began)
            if status != 200:
                check("others are served meanwhile", f"{status}")
                break
            time.sleep(0.5)
        for what, case in waiting.items():
            taken = case.result()
            check(f"{what} is cut off after {taken:.0f} s", "" if taken <= BOUND_S else f"more than {BOUND_S} s")
        held = max(case.result() for case in crowd)
        check(f"200 heads that stop are cut off after {held:.0f} s", "" if held <= BOUND_S else f"more than {BOUND_S} s")
        check(f"others are served meanwhile, within {slowest:.2f} s", "" if slowest < 2 else "slow")
        if hoard:
            hoard.result()


def main():
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as threads:
        for what, wrong in zip(REFUSED, threads.map(smuggle, REFUSED.values())):
            check(f"{what} is refused, and nothing is read behind it", wrong)
        for what, wrong in zip(ONE_AT_MOST, threads.map(sneak, ONE_AT_MOST.values())):
            check(f"{what} is refused or one request", wrong)
    heard, _ = say(post(CHUNKED, b"Connection: close", body=b"%x;name=value\r\n%s\r\n0;last\r\nX-Trailer: x\r\n\r\n" % (len(BODY), BODY)))
    check("extensions of chunks and trailers change nothing", "" if statuses(heard) == [401] else f"{statuses(heard)}")
    heard, ended = say(b"GET /livez HTTP/1.1\r\nHost: shop\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\n")
    check("a hundred thousand headers are refused", "" if ended and all(s >= 400 for s in statuses(heard)) else f"{statuses(heard)}")
    for what, header in {"a header of a megabyte": b"X-A: " + b"a" * 1_000_000, "a cookie of a megabyte": b"Cookie: a=" + b"a" * 1_000_000}.items():
        heard, ended = say(b"GET /livez HTTP/1.1\r\nHost: shop\r\n" + header + b"\r\n\r\n")
        check(f"{what} is refused", "" if ended and all(s >= 400 for s in statuses(heard)) else f"{statuses(heard)}")
    own_answers()
    if behind_gateway:
        doors()
    admin = log_in("admin", "password")
    claims(admin)
    packed(admin)
    deep(admin)
    slow(admin)
    status, _ = call("GET", "/catalog/products?limit=1")
    check("after all of this the shop serves", "" if status == 200 else f"{status}")
    print(f"{len(failed)} failed" if failed else "everything was refused")
    sys.exit(1 if failed else 0)


main()
