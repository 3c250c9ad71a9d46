"""What schemathesis cannot know of the shop: how to log in, and that a token ends.

Read through SCHEMATHESIS_HOOKS by scripts/attack-api.sh, which sets SOUK_ATTACK_ADDRESS and SOUK_ATTACK_ROLE.
"""
import os
import threading

import requests
import schemathesis
from schemathesis.generation import GenerationMode

ADDRESS = os.environ["SOUK_ATTACK_ADDRESS"]
ROLE = os.environ["SOUK_ATTACK_ROLE"]
# Accounts of the demo shop. There are two admins: an attack that takes the role of one away (which it may) leaves the other.
ACCOUNTS = {
    "customer": [{"email": "demo@test.com", "password": "password123"}],
    "admin": [
        {"email": "admin@test.com", "password": "password123"},
        {"username": "admin", "password": "password"},
    ],
}[ROLE]


class Session:
    """One login at a time, renewed when its token no longer holds: logging out is among what is tried."""

    def __init__(self):
        self.lock = threading.Lock()
        self.token = None

    def holds(self):
        answer = requests.post(f"{ADDRESS}/auth/verify", headers={"Authorization": f"Bearer {self.token}"}, timeout=30)
        return answer.status_code == 200 and answer.json()["role"] == ROLE

    def log_in(self):
        for account in ACCOUNTS:
            answer = requests.post(f"{ADDRESS}/auth/login", json=account, timeout=30)
            if answer.status_code == 200 and answer.json()["user"]["role"] == ROLE:
                return answer.json()["access_token"]
        raise RuntimeError(f"nobody can log in as {ROLE} any more")

    def current(self):
        with self.lock:
            if self.token is None or not self.holds():
                self.token = self.log_in()
            return self.token


SESSION = Session()


@schemathesis.auth(refresh_interval=None)
class BearerAuth:
    """Puts a token that holds into each request."""

    def get(self, case, context):
        return SESSION.current()

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


# The first line of each import. A schema of a CSV file is a string.
COLUMNS = {
    "/catalog/import": "sku,name,category,price,currency",
    "/inventory/import": "sku,on_hand",
    "/orders/import": "order_number,placed_at,customer,country,sku,quantity,unit_price,currency",
    "/users/import": "email,name,role",
}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Rules that a schema cannot say, or ours does not, in requests that are meant to be accepted."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    repair_query(case)
    path, body = case.operation.path, case.body
    if path in COLUMNS and isinstance(body, (str, bytes)):
        lines = body if isinstance(body, bytes) else body.encode(errors="replace")
        first = COLUMNS[path].encode()
        if not lines.startswith(first.split(b",")[0] + b","):
            case.body = first + b"\n" + lines
    if not isinstance(body, dict):
        return
    repair_money(body)
    if path in ("/auth/login", "/users/login"):  # by one name
        names = [name for name in ("email", "username") if body.get(name) is not None]
        for name in names[1:]:
            del body[name]
        if not names:
            body["email"] = "ada@example.com"
    if path in ("/inventory/{sku}", "/catalog/products/{id}/stock") and isinstance(body.get("change"), (int, float)):
        # Not zero, and no more than the stock may become, which depends on what is there.
        body["change"] = max(-1000, min(1000, int(body["change"]))) or 1
    if path == "/orders":  # a line names its product once
        for line in body.get("items") or []:
            if isinstance(line, dict) and line.get("sku") is not None:
                line.pop("product_id", None)
            elif isinstance(line, dict) and line.get("product_id") is None:
                line["sku"] = "MUG-BLUE"
    if path == "/notifications/webhooks":  # known events, and an address of the web
        body["events"] = ["order.created"]
        if not str(body.get("url")).startswith("https://example.com/"):
            body["url"] = "https://example.com/souk"


def repair_query(case):
    query = case.query
    if not query or case.operation.method != "get":
        return
    query.pop("cursor", None)  # is what an answer gave; any other text is refused, as it should be
    for name in ("from", "to"):  # a date or a time, of years from 1970 on: two formats, and one can be said
        if name in query:
            query[name] = {"from": "2026-03-01", "to": "2026-04-01T12:00:00Z"}[name]
    if "page" in query:  # numbered pages go as far as the product of page and limit allows
        query["page"] = min(int(query["page"]), 10_000 // int(query.get("limit", 20)))
    if "search" in query:  # at most ten words and 200 characters, without control characters
        text = "".join(c if c.isprintable() else " " for c in str(query["search"])[:200])
        query["search"] = " ".join(text.split()[:10])
    if "min_price" in query and "max_price" in query:
        query["max_price"] = max(int(query["min_price"]), int(query["max_price"]))


def repair_money(value):
    """A price is in the shop's currency, which is a setting, and within bounds that an amount in general does not have."""
    if isinstance(value, list):
        for item in value:
            repair_money(item)
    elif isinstance(value, dict):
        if isinstance(value.get("amount"), (int, float)) and "currency" in value:
            value["currency"] = "GBP"
            value["amount"] = int(value["amount"]) % 100_000_001
        for item in value.values():
            repair_money(item)
