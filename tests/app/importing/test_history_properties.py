"""Whatever an org did: its file with history gives another org the same lists, forecasts and records, at every instant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.writing.committer import Committer
from app.writing.provisioning import create_org
from projections import rebuild
from tests.app.importing.test_event_imports import EVERYTHING, file, instants, told
from tests.support.imports import counts, rows, working
from tests.support.scenarios import OPPORTUNITIES, Json, Org
from tests.support.server import Server

names = st.text("aB é%_'\"\\–", min_size=1, max_size=6).filter(str.strip)
days = st.integers(1, 9).map("2026-0{}-15".format)
fields = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "amount": st.none() | st.integers(0, 10**12).map(str),
        "currency": st.sampled_from(["USD", "EUR", "JPY"]),
        "close_date": st.none() | days,
        "probability": st.integers(0, 100),
        "next_step": st.none() | names,
        "tags": st.lists(st.sampled_from(["a", "b", "c d"]), unique=True),
        "external_id": st.none() | st.sampled_from(["X", "Y", "Z"]),
        "custom_fields": st.dictionaries(st.sampled_from(["x", "y"]), st.none() | st.integers(0, 9) | names, max_size=2),
    },
)
which = st.integers(0, 3)
closing = {"actual_amount": "4", "actual_close_date": "2026-03-03", "lost_reason": "price"}
moves = st.sampled_from(["discovery", "proposal", "won", "lost"])
kinds = ["create", "create", "edit", "edit", "move", "move", "delete", "restore", "log", "account", "contact", "rate"]
acts = st.lists(st.tuples(st.sampled_from(kinds), which, which, fields, moves), min_size=5, max_size=20)


class Busy:
    """What can be done is done; what the rules refuse is not."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.accounts = [org.account(name)["id"] for name in ("First", "Second")]
        self.contacts = [org.contact("Jane", name, account_id=self.accounts[0])["id"] for name in ("Doe", "Roe")]
        self.owners = [org.admin_id, org.user(email="rita@yours.example")["id"]]
        self.deals = [org.opportunity(account_id=self.accounts[0])["id"]]

    def act(self, what: str, n: int, m: int, values: Json, stage: str) -> None:
        client, path = self.org.admin, f"{OPPORTUNITIES}{self.deals[n % len(self.deals)]}/"
        named: Json = {
            "account_id": self.accounts[m % 2],
            "owner_id": self.owners[n % 2],
            "stakeholder_ids": self.contacts[m % 3 :],
        }
        match what:
            case "create":
                reply = client.post(OPPORTUNITIES, {"name": "New", **values, **named})
                self.deals += [reply.json()["id"]] if reply.status == 201 else []
            case "edit":
                client.patch(path, values | {name: named[name] for name in list(named)[m % 4 :]})
            case "move":
                fitting = {"won": 2, "lost": 3}.get(stage, 0)
                client.post(f"{path}transition/", {"stage": stage, **dict(list(closing.items())[:fitting])})
            case "delete":
                client.delete(path)
            case "restore":
                client.post(f"{path}restore/")
            case "log":
                client.post(f"{path}activities/", {"type": "note", "subject": values.get("name", "x")})
            case "account":
                self._directory("accounts", self.accounts[m % 2], n, {"name": values.get("name", "A")})
            case "contact":
                self._directory("contacts", self.contacts[m % 2], n, {"last_name": values.get("name", "A"), **_account(named, n)})
            case _:
                client.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": f"2026-0{n + 1}-01", "rate": f"1.{m + 1}"})

    def _directory(self, kind: str, id_: str, n: int, values: Json) -> None:
        if n == 3:
            self.org.admin.delete(f"/api/{kind}/{id_}/")
        else:
            self.org.admin.patch(f"/api/{kind}/{id_}/", values)


def _account(named: Json, n: int) -> Json:
    return {"account_id": named["account_id"] if n else None}


def check(server: Server, committer: Committer, url: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=examples < 10, suppress_health_check=list(HealthCheck))
    @given(acts)
    def same(acts: list[Any]) -> None:
        ours, theirs = (Org(server, create_org(committer, "Org", "USD", "admin@yours.example")) for _ in range(2))
        busy = Busy(ours)
        theirs.user(email="rita@yours.example")
        for act in acts:
            busy.act(*act)
        with working(url) as work:
            done = work.imported(theirs.admin, file(ours), **EVERYTHING)
        assert (done["state"], rows(theirs.admin, done)) == ("done", [])
        assert counts(done)[0] == done["rows"]
        at = instants(ours)[:: 1 if examples >= 10 else 12]
        for one, other in zip(told(ours, at), told(theirs, at), strict=True):
            assert other == one
        ours.close()
        theirs.close()

    same()


def test_an_orgs_file_gives_another_one_the_same_past(server: Server, committer: Committer, shared_database_url: str) -> None:
    check(server, committer, shared_database_url, 2)


@pytest.mark.long
def test_an_orgs_file_gives_another_one_the_same_past_at_length(
    server: Server, committer: Committer, shared_database_url: str
) -> None:
    check(server, committer, shared_database_url, 60)
    assert rebuild.verify(shared_database_url) == []
