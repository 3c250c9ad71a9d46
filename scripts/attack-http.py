#!/usr/bin/env python3
"""Tries what clients must not be able to do with HTTP itself against a running shop, one line a check; exit code 1 if any fails.

    scripts/attack-http.py [--gateway] ADDRESS

ADDRESS is that of a process, or with --gateway that of NGINX in front of a split shop with its limits lifted (SOUK_RATE_LIMIT and
SOUK_RATE_BURST). The demo accounts must be there. Takes half a minute: time-outs are waited for, all at once. Standard library only.
"""
import concurrent.futures
import gzip
import json
import re
import socket
import sys
import time
import urllib.error
import urllib.request

MODULES = ["auth", "users", "catalog", "cart", "inventory", "orders", "payments", "notifications"]
# The head may take 10 s, a silence in a body 15 s. What is held longer than this is held by the client.
BOUND_S = 22
HIDDEN = b"GET /livez HTTP/1.1\r\nHost: hidden\r\n\r\n"

arguments = [argument for argument in sys.argv[1:] if argument != "--gateway"]
behind_gateway = "--gateway" in sys.argv[1:]
if len(arguments) != 1:
    sys.exit(__doc__)
address = arguments[0].rstrip("/")
host, port = re.fullmatch(r"http://([^:/]+):(\d+)", address).groups()
port = int(port)
failed = []


def check(what, wrong):
    """Says what was tried; `wrong` is empty if it came to nothing."""
    print(f"FAIL  {what}: {wrong}" if wrong else f"ok    {what}", flush=True)
    if wrong:
        failed.append(what)


def connect(timeout=5.0):
    connection = socket.create_connection((host, port), timeout=10)
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
    return [int(status) for status in re.findall(rb"(?:^|\r\n|[}>\n])HTTP/1\.[01] (\d{3})", heard)]


def call(method, path, body=None, token=None, headers=None):
    request = urllib.request.Request(address + path, method=method, data=body, headers=headers or {})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    for wait in (1, 2, 4, None):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            if refusal.code != 429 or wait is None:
                return refusal.code, refusal.read()
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


def smuggle(what, request):
    heard, ended = say(request)
    found = statuses(heard)
    if len(found) > 1 or b"hidden" in heard:
        return f"two requests were read where there is one: {found}"
    if not ended:
        return f"the connection stays open after {found}"
    if found and not 400 <= found[0] < 600:
        return f"answered {found}"
    return ""


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


def dribble(request, body=b"", pause=1.0):
    """Sends a head at once and then a body byte by byte; how long the shop bears it."""
    began = time.monotonic()
    with connect(timeout=pause) as connection:
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


def slow(token):
    bearer = b"Authorization: Bearer " + token.encode()
    csv = b"Content-Type: text/csv"
    endless = b"x" * 1000

    def upload(*lines):
        return b"\r\n".join([b"POST /catalog/import HTTP/1.1", b"Host: shop", bearer, csv, *lines]) + b"\r\n\r\n"

    cases = {
        "a head that never ends": (b"", b"GET /livez HTTP/1.1\r\nX-Endless: " + endless),
        "a head that stops": (b"GET /livez HTTP/1.1\r\nHost: shop\r\n", b""),
        "JSON that stops": (post(length(1000), body=b"{"), b""),
        "an upload that stops": (upload(length(100_000)) + FILE, b""),
        "an upload in chunks that stops": (upload(CHUNKED) + b"%x\r\n%s\r\n" % (len(FILE), FILE), b""),
        "an extension of a chunk that stops": (post(CHUNKED, body=b"1;" + b"x" * 100_000), b""),
        "a webhook that stops": (post(length(1000), body=b"{", path=b"/payments/webhooks/sandbox"), b""),
        "a body for nobody that stops": (post(length(1000), body=b"{", path=b"/nowhere"), b""),
    }
    if not behind_gateway:
        # NGINX bounds silence, not pace: a dribbled body holds one of its connections, and nothing behind it.
        cases |= {
            "dribbled JSON": (post(length(1000), body=b"{"), endless),
            "a dribbled upload": (upload(length(100_000)) + FILE, endless),
            "a dribbled webhook": (post(length(1000), body=b"{", path=b"/payments/webhooks/sandbox"), endless),
            "a dribbled body for nobody": (post(length(1000), body=b"{", path=b"/nowhere"), endless),
        }
    if behind_gateway:
        # Uploads are not laid down by the gateway, and get a minute of silence there; the shop itself gives less.
        cases = {what: case for what, case in cases.items() if "upload" not in what or "stops" in what}
    crowd = [(b"GET /livez HTTP/1.1\r\nHost: shop\r\n", b"")] * 200
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(cases) + len(crowd)) as threads:
        waiting = {what: threads.submit(dribble, *case) for what, case in cases.items()}
        crowd = [threads.submit(dribble, *case) for case in crowd]
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


def main():
    for what, request in REFUSED.items():
        check(f"{what} is refused, and nothing is read behind it", smuggle(what, request))
    heard, _ = say(post(CHUNKED, b"Connection: close", body=b"%x;name=value\r\n%s\r\n0;last\r\nX-Trailer: x\r\n\r\n" % (len(BODY), BODY)))
    check("extensions of chunks and trailers change nothing", "" if statuses(heard) == [401] else f"{statuses(heard)}")
    heard, ended = say(b"GET /livez HTTP/1.1\r\nHost: shop\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\n")
    check("a hundred thousand headers are refused", "" if ended and all(s >= 400 for s in statuses(heard)) else f"{statuses(heard)}")
    admin = log_in("admin", "password")
    packed(admin)
    deep(admin)
    slow(admin)
    status, _ = call("GET", "/catalog/products?limit=1")
    check("after all of this the shop serves", "" if status == 200 else f"{status}")
    print(f"{len(failed)} failed" if failed else "everything was refused")
    sys.exit(1 if failed else 0)


main()
