"""Readers of the catalogue at rest and while a crowd logs in. See login-storm.sh."""

import argparse
import asyncio
import collections
import json
import multiprocessing
import os
import selectors
import socket
import statistics
import sys
import time
import urllib.parse
import urllib.request

# The readers' p99 in the storm, as a multiple of that at rest.
BAR = 2.0
# What the storm may add to the memory of the process, and what one storm more may add to that, kilobytes.
MEMORY_BAR_KB = 64 * 1024
GROWTH_BAR_KB = 8 * 1024
PAGES = ["/products?limit=20", "/products/MUG-BLUE", "/catalog/categories", "/products?category=Kitchen&sort=price&limit=10"]
# Connections of the readers.
READERS = 8
# Accounts whose logins are right; every other login is of a name that nobody has, never twice.
ACCOUNTS = 20
PASSWORD = "a password for storms only"


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def hurry(by):
    """Clients would run on other machines: those who measure must not wait for a core, and the crowd must not take it."""
    try:
        os.nice(by)
    except PermissionError:
        pass


class Reader:
    """One connection that is sent a request at a time."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = b""
        self.due = None

    def send(self, path, due):
        self.due = due
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())

    def answer(self):
        """The status once the answer is whole; None before."""
        chunk = self.socket.recv(262_144)
        if not chunk:
            raise ConnectionError("the shop closed a reader's connection")
        self.heard += chunk
        head, end, body = self.heard.partition(b"\r\n\r\n")
        if not end:
            return None
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        if len(body) < length:
            return None
        self.heard = b""
        return int(head.split(b" ", 2)[1])


def read(host, port, reads, seconds, found):
    """Sends requests at a steady pace, whether answers come or not; a time counts from when its request was due."""
    hurry(-5)
    # In turn: the server ends a connection that has sent nothing for ten seconds.
    free = collections.deque(Reader(host, port) for _ in range(READERS))
    waiting = selectors.DefaultSelector()
    for reader in free:
        waiting.register(reader.socket, selectors.EVENT_READ, reader)
    took, wrong = [], collections.Counter()
    began = time.perf_counter()
    number = 0
    while number < reads * seconds or len(free) < READERS:
        due = began + number / reads
        while free and number < reads * seconds and due <= time.perf_counter():
            free.popleft().send(PAGES[number % len(PAGES)], due)
            number += 1
            due = began + number / reads
        pause = 1.0 if not free or number >= reads * seconds else max(0.0, due - time.perf_counter())
        for key, _ in waiting.select(pause):
            status = key.data.answer()
            if status is not None:
                took.append((time.perf_counter() - key.data.due) * 1000)
                free.append(key.data)
                if status != 200:
                    wrong[status] += 1
    found.send((took, wrong))


class Crowd:
    """Logins without end, so many at once."""

    def __init__(self, host, port, pause):
        self.host, self.port, self.pause = host, port, pause
        self.answers = collections.Counter()
        self.took = collections.defaultdict(list)
        self.is_over = False

    async def login(self, reader, writer, email):
        body = json.dumps({"email": email, "password": PASSWORD})
        writer.write(f"POST /auth/login HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        await reader.readexactly(int(headers["content-length"]))
        return int(head[0].split(" ")[1]), float(headers.get("retry-after", 0))

    async def person(self, number, accounts):
        reader = writer = None
        tries = 0
        while not self.is_over:
            tries += 1
            known = number % 2 == 0
            email = accounts[number // 2 % len(accounts)] if known else f"nobody{number}-{tries}-{time.time_ns():x}@example.com"
            began = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(self.host, self.port)
                status, wait = await asyncio.wait_for(self.login(reader, writer, email), 60)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                status, wait = type(error).__name__, 1.0
                writer = None
            # Those who are still waiting when it is over are no part of it.
            if not self.is_over:
                self.answers[status] += 1
                self.took[status].append((time.perf_counter() - began) * 1000)
            if status not in (200, 401):
                await asyncio.sleep(wait if self.pause is None else self.pause)

    async def rage(self, crowd, accounts, over):
        people = [asyncio.ensure_future(self.person(number, accounts)) for number in range(crowd)]
        await asyncio.get_running_loop().run_in_executor(None, over.wait)
        self.is_over = True
        for person in people:
            person.cancel()
        await asyncio.gather(*people, return_exceptions=True)


def storm(host, port, crowd, accounts, pause, over, found):
    hurry(5)
    logins = Crowd(host, port, pause)
    asyncio.run(logins.rage(crowd, accounts, over))
    found.send((logins.answers, {status: (statistics.median(took), max(took)) for status, took in logins.took.items()}))


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


class Look:
    """One look at the readers, in a process of their own; meanwhile the memory of the shop."""

    def __init__(self, options, host, port):
        ours, theirs = multiprocessing.Pipe()
        readers = multiprocessing.Process(target=read, args=(host, port, options.reads, options.seconds, theirs))
        readers.start()
        self.memory_kb = resident_kb(options.pid)
        while not ours.poll(0.1):
            self.memory_kb = max(self.memory_kb, resident_kb(options.pid))
            if not readers.is_alive() and not ours.poll():
                sys.exit("the readers failed")
        self.took, self.wrong = ours.recv()
        readers.join()
        self.p50, self.p99 = percentile(self.took, 0.5), percentile(self.took, 0.99)

    def line(self, what):
        return f"{what:<9} {len(self.took):>6} reads  p50 {self.p50:8.2f} ms  p99 {self.p99:8.2f} ms  max {max(self.took):8.2f} ms  memory {self.memory_kb / 1024:6.1f} MB"


def register(address, accounts):
    for email in accounts:
        body = json.dumps({"email": email, "password": PASSWORD}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{address}/auth/register", body, {"Content-Type": "application/json"}), timeout=30)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("pid", type=int)
    parser.add_argument("--logins", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--reads", type=int, default=400)
    parser.add_argument("--pause", type=float)
    options = parser.parse_args()
    url = urllib.parse.urlsplit(options.address)
    host, port = url.hostname, url.port
    accounts = [f"storm{number}-{time.time_ns():x}@example.com" for number in range(ACCOUNTS)]
    register(options.address, accounts)
    Look(argparse.Namespace(**{**vars(options), "seconds": 2}), host, port)  # whatever is slow the first time
    at_rest, in_storm = [], []
    answers, times = collections.Counter(), {}
    for _ in range(options.runs):
        at_rest.append(Look(options, host, port))
        print(at_rest[-1].line("at rest"))
        over = multiprocessing.Event()
        ours, theirs = multiprocessing.Pipe()
        crowd = multiprocessing.Process(target=storm, args=(host, port, options.logins, accounts, options.pause, over, theirs))
        crowd.start()
        time.sleep(2)  # until all of them are there
        in_storm.append(Look(options, host, port))
        over.set()
        counted, took = ours.recv()
        crowd.join()
        print(in_storm[-1].line("in storm"))
        for status in sorted(counted, key=str):
            print(f"          {counted[status]:>6} logins answered {status}, median {took[status][0]:.0f} ms, at most {took[status][1]:.0f} ms")
        answers += counted
        time.sleep(2)  # what was in the queue
    after_kb = resident_kb(options.pid)

    failed = []
    rest, storm_ = (statistics.median(look.p99 for look in looks) for looks in (at_rest, in_storm))
    print(f"readers' p99, median of {options.runs}: {rest:.2f} ms at rest, {storm_:.2f} ms in the storm: {storm_ / rest:.2f} times")
    if storm_ > BAR * rest:
        failed.append(f"the readers' p99 is more than {BAR:g} times that at rest")
    before_kb, peak_kb = at_rest[0].memory_kb, max(look.memory_kb for look in in_storm)
    growth_kb = in_storm[-1].memory_kb - in_storm[0].memory_kb
    print(f"memory: {before_kb / 1024:.1f} MB before, {peak_kb / 1024:.1f} MB at most, {after_kb / 1024:.1f} MB after; the last storm's {growth_kb / 1024:+.1f} MB beside the first's")
    if peak_kb - before_kb > MEMORY_BAR_KB:
        failed.append(f"the storm added more than {MEMORY_BAR_KB // 1024} MB")
    if growth_kb > GROWTH_BAR_KB:
        failed.append(f"the last storm took {GROWTH_BAR_KB // 1024} MB more than the first")
    print("logins: " + ", ".join(f"{count} {status}" for status, count in sorted(answers.items(), key=str)))
    if answers.keys() - {200, 401, 429, 503}:
        failed.append("a login was answered otherwise than with tokens, 401, 429 or 503")
    if not answers[200] + answers[401] or not answers[429] + answers[503]:
        failed.append("nobody was heard, or nobody turned away: this was no storm of logins")
    if any(look.wrong for look in at_rest + in_storm):
        failed.append(f"readers were refused: {[dict(look.wrong) for look in at_rest + in_storm]}")
    for what in failed:
        print(f"FAIL  {what}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
