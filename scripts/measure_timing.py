"""Compares how long a shop takes to answer about known and about unknown names. See measure-timing.sh."""

import http.client
import json
import math
import random
import statistics
import sys
import time
import urllib.parse

# Below this a difference would come by chance less often than once in a hundred comparisons.
SIGNIFICANT = 0.01
# Names that share the tries, so that no name meets its own bound of failures.
NAMES = 20
PASSWORD = "a password for timing only"


class Client:
    """One kept-alive connection."""

    def __init__(self, address):
        url = urllib.parse.urlsplit(address)
        self.connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=60)

    def post(self, path, body):
        """The status, the body, and how long the answer took, in milliseconds."""
        payload = json.dumps(body)
        began = time.perf_counter_ns()
        self.connection.request("POST", path, payload, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        text = response.read()
        took = (time.perf_counter_ns() - began) / 1e6
        return response.status, text, took


def mann_whitney(one, two):
    """The two-sided p-value (normal approximation, ties averaged) and the chance that one of the first is slower."""
    pooled = sorted([(value, 0) for value in one] + [(value, 1) for value in two])
    ranks = 0.0
    ties = 0.0
    start = 0
    while start < len(pooled):
        end = start
        while end < len(pooled) and pooled[end][0] == pooled[start][0]:
            end += 1
        rank = (start + 1 + end) / 2
        ranks += rank * sum(1 for _, group in pooled[start:end] if group == 0)
        ties += (end - start) ** 3 - (end - start)
        start = end
    n, m = len(one), len(two)
    u = ranks - n * (n + 1) / 2
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    z = (u - n * m / 2) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2)), u / (n * m)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def compare(what, client, tries, known, unknown, is_told=False):
    """`known` and `unknown` give path, body and expected status for the n-th try. Whether both are alike; `is_told` if the answer says
    by contract what they are, so that it is no secret what they cost."""
    order = ["known", "unknown"] * tries
    random.shuffle(order)
    took = {"known": [], "unknown": []}
    bodies = {"known": set(), "unknown": set()}
    for n, kind in enumerate(order):
        path, body, expected = (known if kind == "known" else unknown)(n)
        status, text, milliseconds = client.post(path, body)
        while status == 503:
            # Told to come back, alike for everyone: the work behind the answers has fallen behind.
            time.sleep(1)
            status, text, milliseconds = client.post(path, body)
        if status != expected:
            sys.exit(f"{what}, {kind}: {status} instead of {expected}: {text[:300]!r}")
        took[kind].append(milliseconds)
        if text:
            answer = json.loads(text)
            answer.pop("trace_id", None)
            bodies[kind].add(json.dumps(answer, sort_keys=True))
    for kind, values in took.items():
        print(
            f"{what:<22}{kind:<9}{len(values):>6} tries  median {statistics.median(values):8.3f} ms"
            f"  p95 {percentile(values, 0.95):8.3f} ms"
        )
    p, slower = mann_whitney(took["known"], took["unknown"])
    verdict = "different" if p < SIGNIFICANT else "alike"
    told = ", as the answer says by contract" if is_told and verdict == "different" else ""
    chance = "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"
    print(f"{what:<22}Mann-Whitney {chance}, known slower with chance {slower:.3f}: {verdict}{told}")
    if is_told:
        return True
    if bodies["known"] != bodies["unknown"]:
        print(f"{what:<22}the bodies differ")
        return False
    return verdict == "alike"


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    tries = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    wanted = sys.argv[3].split(",") if len(sys.argv) > 3 else ["login", "forgot", "registration"]
    client = Client(address)
    run = f"{time.time_ns():x}"
    names = [f"known{n}-{run}@example.com" for n in range(NAMES)]
    for name in names:
        status, text, _ = client.post("/auth/register", {"email": name, "password": PASSWORD})
        if status != 201:
            sys.exit(f"registration: {status}: {text[:300]!r}")
    strangers = [f"nobody{n}-{run}@example.com" for n in range(NAMES)]

    def login(pool):
        return lambda n: ("/auth/login", {"email": pool[n % NAMES], "password": "wrong"}, 401)

    def forgot(pool):
        return lambda n: ("/auth/password/forgot", {"email": pool[n % NAMES]}, 202)

    def registration(pool, password, expected):
        return lambda n: ("/auth/register", {"email": pool(n), "password": password}, expected)

    def taken(n):
        return names[n % NAMES]

    def fresh(n):
        return f"fresh{n}-{run}@example.com"

    # What is refused for another reason tells nothing of the name. Otherwise 409 tells by contract whose name is taken.
    judged = {
        "login": [("login", login(names), login(strangers), False)],
        "forgot": [("forgot", forgot(names), forgot(strangers), False)],
        "registration": [
            ("registration, refused", registration(taken, "short", 400), registration(fresh, "short", 400), False),
            ("registration", registration(taken, PASSWORD, 409), registration(fresh, PASSWORD, 201), True),
        ],
    }
    unknown_kinds = set(wanted) - judged.keys()
    if unknown_kinds:
        sys.exit(f"there is no {', '.join(sorted(unknown_kinds))}; there are {', '.join(judged)}")
    comparisons = [comparison for kind in wanted for comparison in judged[kind]]
    alike = [compare(what, client, tries, known, unknown, is_told) for what, known, unknown, is_told in comparisons]
    print("nothing tells who has an account" if all(alike) else "FAIL  something tells who has an account")
    sys.exit(0 if all(alike) else 1)


if __name__ == "__main__":
    main()
