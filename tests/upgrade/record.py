"""Records a database and its answers with the code of a checkout: ``python -m tests.upgrade.record CHECKOUT VERSION``.

It runs that checkout's ``opportunities dev`` with its own ``.venv``, makes an org with something of everything over HTTP, asks, and
writes ``VERSION.sql.gz`` and ``VERSION.json`` beside this file. Part of a release; what is recorded once stays as it is.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from app.dev import postgres_binaries
from app.process import children
from tests.support.receiver import Receiver, receiving
from tests.support.scenarios import OPPORTUNITIES, Json, made
from tests.support.server import Client, free_port
from tests.support.webhooks import execute

HERE = Path(__file__).parent
START_SECONDS = 90
HOST = "api.example"
"""As which the API is asked, so that the links in its answers do not depend on a port."""
DELIVERIES = 15


class Dev(NamedTuple):
    client: Client
    token: str
    database_url: str


@contextmanager
def running(checkout: Path) -> Iterator[Dev]:
    """``opportunities dev`` of the checkout on an empty folder."""
    with tempfile.TemporaryDirectory(prefix="opportunities-record-", dir="/var/tmp") as folder:
        data, port = Path(folder) / "data", free_port()
        command = [
            str(checkout / ".venv/bin/python"),
            "-m",
            "app.cli",
            "dev",
            "--no-demo",
            "--port",
            str(port),
            "--data-dir",
            str(data),
        ]
        process = subprocess.Popen(command, cwd=checkout)
        try:
            assert children.wait_until(lambda: (data / "dev.json").exists() or process.poll() is not None, START_SECONDS)
            ready = json.loads((data / "dev.json").read_text())
            with Client(port, ready["token"]) as client:
                yield Dev(client, ready["token"], ready["database_url"])
        finally:
            process.terminate()
            process.wait(30)


class Scenario:
    """An org with deals in every state, and the instants in between."""

    def __init__(self, dev: Dev, receiver: Receiver) -> None:
        self.dev, self.receiver = dev, receiver
        self.instants: list[str] = []
        self.tokens = {"admin": dev.token}

    def do(self, method: str, path: str, body: Json | None = None, status: int = 200, **headers: str) -> Json:
        return made(self.dev.client.request(method, path, body, **headers), status)

    def create(self, path: str, **body: Any) -> Json:
        return self.do("POST", f"/api/{path}/", body, 201)

    def moved(self, deal: Json, **body: Any) -> Json:
        return self.do("POST", f"{OPPORTUNITIES}{deal['id']}/transition/", body)

    def mark(self) -> None:
        self.instants.append(datetime.now(UTC).isoformat().replace("+00:00", "Z"))

    def play(self) -> None:
        self.records()
        self.endpoints()
        self.deals()
        self.later()

    def records(self) -> None:
        self.users = {
            role: self.create("users", email=f"{role}@yours.example", name=f"A {role}", role=role)
            for role in ("rep", "manager", "read_only")
        }
        for role, user in self.users.items():
            self.tokens[role] = self.create("tokens", name=f"of the {role}", user_id=user["id"])["token"]
        self.create("tokens", name="expires", expires_at="2100-01-01T00:00:00Z")
        revoked = self.create("tokens", name="revoked")
        self.dev.client.delete(f"/api/tokens/{revoked['id']}/")
        self.create("custom-fields", key="competitor", label="Competitor", type="text", filterable=True)
        self.create("custom-fields", key="seats", label="Seats", type="number", filterable=True)
        self.create("custom-fields", key="renewal", label="Renewal", type="checkbox")
        for currency, day, rate in (("EUR", "2026-01-01", "1.08"), ("JPY", "2026-01-01", "0.0067"), ("EUR", "2026-10-01", "1.1")):
            self.do("PUT", "/api/exchange-rates/", {"currency": currency, "valid_from": day, "rate": rate})
        self.accounts = [
            self.create("accounts", name=name, domain=f"{n}.example") for n, name in enumerate(("Acme Corp", "Söhne & Co"))
        ]
        self.contacts = [
            self.create(
                "contacts",
                first_name=first,
                last_name="Doe",
                email=f"{first.lower()}@acme.example",
                account_id=self.accounts[0]["id"],
            )
            for first in ("Jane", "José")
        ]

    def endpoints(self) -> None:
        """One that takes everything, one that fails for now, one that is gone."""
        self.hooks = {
            path: self.create("webhooks", url=self.receiver.url(path), events=events)
            for path, events in {
                "/hooks": ["opportunity.created", "opportunity.won", "opportunity.lost"],
                "/status/500": ["opportunity.lost"],
                "/status/410": ["opportunity.reopened"],
            }.items()
        }

    def deals(self) -> None:
        def deal(name: str, **fields: Any) -> Json:
            return self.create("opportunities", name=name, **{"account_id": self.accounts[0]["id"], **fields})

        self.open = deal(
            "Annual",
            amount="24000",
            close_date="2026-10-31",
            stakeholder_ids=[contact["id"] for contact in self.contacts],
            tags=["renewal", "Grün"],
            custom_fields={"competitor": "incumbent_vendor", "seats": 120, "renewal": True, "free": {"a": [1, "b"]}},
            owner_id=self.users["rep"]["id"],
        )
        self.euros = deal(
            "Rollout — Köln", amount="1234.56", currency="EUR", close_date="2026-11-15", account_id=self.accounts[1]["id"]
        )
        self.yen = deal("Pilot 東京", amount="5000000", currency="JPY", stage="proposal", close_date="2026-12-01")
        self.francs = deal("Without a rate", amount="700", currency="CHF", close_date="2026-12-24")
        self.bare = deal("Bare")
        self.won = deal("Won", amount="1000", close_date="2026-09-30")
        self.lost = deal("Lost", amount="300", close_date="2026-09-15")
        self.back = deal("Reopened", amount="5000", close_date="2026-10-10")
        self.gone = deal("Deleted", amount="1")
        self.restored = deal("Restored", amount="2.50", close_date="2026-10-11")
        self.mark()
        self.do(
            "PATCH", f"{OPPORTUNITIES}{self.open['id']}/", {"amount": "26000", "custom_fields": {"seats": 150, "renewal": None}}
        )
        self.moved(self.open, stage="proposal")
        self.moved(self.won, stage="won", actual_amount="950", actual_close_date="2026-09-28")
        self.moved(self.lost, stage="lost", lost_reason="Too dear", comment="A pity")
        self.moved(self.back, stage="won", actual_amount="4800", actual_close_date="2026-10-01")
        for deal_ in (self.gone, self.restored):
            self.dev.client.delete(f"{OPPORTUNITIES}{deal_['id']}/")
        self.create(
            f"opportunities/{self.open['id']}/activities", type="call", subject="First talk", occurred_at="2026-09-01T10:00:00Z"
        )
        self.mark()

    def later(self) -> None:
        self.moved(self.back, stage="negotiation")
        self.do("POST", f"{OPPORTUNITIES}{self.restored['id']}/restore/")
        self.do("PATCH", f"/api/accounts/{self.accounts[0]['id']}/", {"name": "Acme Holding"})
        self.do("PATCH", f"/api/users/{self.users['manager']['id']}/", {"active": False})
        self.do("PATCH", "/api/organization/", {"name": "Yours Ltd"})
        self.dev.client.delete(f"/api/contacts/{self.contacts[1]['id']}/")
        self.mark()

    def settled(self) -> bool:
        """Whether every delivery was attempted."""
        rows = execute(self.dev.database_url, "SELECT attempts FROM webhook_deliveries")
        return len(rows) == DELIVERIES and all(attempts for (attempts,) in rows)

    def questions(self) -> list[str]:
        first, second, third = (quote(instant) for instant in self.instants)
        span = "close_date__gte=2026-09-01&close_date__lte=2026-12-31"
        lists = [
            "",
            "stage=proposal",
            "status=won",
            "status=lost",
            "tags=renewal",
            "search=annual",
            "cf_competitor=incumbent_vendor",
            "cf_seats__gte=150",
            "currency=EUR",
            "owner=rep@yours.example",
            "account=" + self.accounts[1]["id"],
            "close_date__isnull=true",
            "amount__gte=1000&ordering=-amount",
            f"as_of={first}",
            f"as_of={second}&ordering=name",
            "page_size=3",
            "page_size=3&page=2",
            "limit=2&offset=1",
            "fields=id,name,stage",
        ]
        deals = (self.open, self.euros, self.yen, self.francs, self.bare, self.won, self.lost, self.back, self.restored)
        return [
            *(f"{OPPORTUNITIES}?{query}" for query in lists),
            *(f"{OPPORTUNITIES}{deal['id']}/" for deal in deals),
            *(f"{OPPORTUNITIES}{deal['id']}/?as_of={first}" for deal in (self.open, self.won, self.gone)),
            *(f"{OPPORTUNITIES}{deal['id']}/history/?limit=200" for deal in (*deals, self.gone)),
            *(f"{OPPORTUNITIES}{self.open['id']}/{rest}/" for rest in ("activities", "transitions")),
            *(
                f"{OPPORTUNITIES}forecast/?{span}{more}"
                for more in ("", "&group_by=stage", "&group_by=owner", f"&as_of={first}", f"&as_of={second}")
            ),
            f"{OPPORTUNITIES}forecast/changes/?from={first}&to={third}",
            *(
                f"/api/{name}/"
                for name in ("accounts", "contacts", "users", "users/me", "tokens", "custom-fields", "pipeline", "exchange-rates")
            ),
            *(f"/api/{name}/" for name in ("organization", "webhooks")),
            *(f"/api/webhooks/{hook['id']}/{rest}" for hook in self.hooks.values() for rest in ("", "deliveries/")),
            "/api/events/?limit=200",
        ]


def dump(url: str) -> str:
    """The database as SQL that every supported server takes, the privileges and the policies of its owner included."""
    command = [
        str(postgres_binaries.find(None) / "pg_dump"),
        "--no-owner",
        "--no-comments",
        "--inserts",
        "--rows-per-insert=200",
        "--dbname",
        url,
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"^(\\.*|--.*|SET transaction_timeout.*)?\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^(CREATE POLICY owner ON \S+ TO) \w+", r"\1 CURRENT_USER", text, flags=re.MULTILINE)


def main(checkout: Path, version: str) -> None:
    with running(checkout) as dev, receiving() as receiver:
        scenario = Scenario(dev, receiver)
        scenario.play()
        assert children.wait_until(scenario.settled, 60), execute(
            dev.database_url, "SELECT type, status, attempts FROM webhook_deliveries"
        )
        answers = {path: scenario.do("GET", path, Host=HOST) for path in scenario.questions()}
        sql = dump(dev.database_url)
    (HERE / f"{version}.sql.gz").write_bytes(gzip.compress(sql.encode(), mtime=0))
    endpoints = {path: {"id": hook["id"], "secret": hook["secret"]} for path, hook in scenario.hooks.items()}
    lines = ",\n".join(f"{json.dumps(path)}: {json.dumps(answer, ensure_ascii=False)}" for path, answer in answers.items())
    head = f'"tokens": {json.dumps(scenario.tokens)},\n"endpoints": {json.dumps(endpoints)},'
    (HERE / f"{version}.json").write_text(f'{{\n{head}\n"answers": {{\n{lines}\n}}\n}}\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
