"""Files with history: every event of the chosen records, after what they name, in one order."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

from app.cli.export import export
from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors
from tests.support.server import Client

EXPORT = f"{OPPORTUNITIES}export/"


def lines(client: Client, query: str = "", path: str = EXPORT) -> list[Json]:
    reply = client.get(f"{path}?format=history&{query}")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson"), reply.body
    assert reply.headers["content-disposition"].endswith('.history.ndjson"')
    return [json.loads(line) for line in reply.body.splitlines()]


def events(found: list[Json]) -> list[Json]:
    return [line for line in found if line["line"] == "event"]


def streams(found: list[Json]) -> list[tuple[str, str, list[int]]]:
    """Kind, id and versions of each stream, in the order of the file."""
    grouped = groupby(events(found), key=lambda line: (line["type"].partition(".")[0], line["id"]))
    return [(*key, [line["version"] for line in group]) for key, group in grouped]


def test_a_file_has_every_event_of_the_deals_and_first_what_they_ever_named(org: Org) -> None:
    org.admin.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"})
    org.custom_field("seats", "number")
    first, second = org.account("First"), org.account("Second")
    jane = org.contact("Jane", "Doe", account_id=second["id"])
    deal = org.opportunity("Annual", account_id=first["id"], stakeholder_ids=[jane["id"]], amount="5")
    path = f"{OPPORTUNITIES}{deal['id']}/"
    org.admin.patch(path, {"account_id": second["id"], "stakeholder_ids": []})
    org.admin.post(f"{path}activities/", {"type": "call", "subject": "Pricing"})
    org.moved(deal, stage="lost", lost_reason="price", comment="too dear")
    org.account("Named by nobody")

    found = lines(org.admin, f"account={second['id']}")
    header, *_, end = found
    assert {name: header[name] for name in ("line", "format", "version", "kind", "org_id", "org", "currency")} == {
        "line": "header", "format": "opportunities.history", "version": 1, "kind": "opportunities", "org_id": org.id,
        "org": "Yours", "currency": "USD",
    }  # fmt: skip
    assert end == {"line": "end", "records": len(streams(found)), "events": len(events(found))}
    people = [line for line in found if line["line"] == "user"]
    assert [(line["id"], line["email"], line["role"]) for line in people] == [(org.admin_id, "admin@yours.com", "admin")]
    assert [line["definition"]["key"] for line in found if line["line"] == "custom_field"] == ["seats"]
    (rules,) = [line for line in found if line["line"] == "pipeline"]
    assert [stage["key"] for stage in rules["stages"]][-2:] == ["won", "lost"]
    assert [(kind, versions) for kind, _, versions in streams(found)] == [
        ("exchange_rate", [1]), ("account", [1]), ("account", [1]), ("contact", [1]), ("opportunity", [1, 2, 3]), ("activity", [1])
    ]  # fmt: skip
    assert {id_ for kind, id_, _ in streams(found) if kind == "account"} == {first["id"], second["id"]}

    created, moved, lost = [line for line in events(found) if line["id"] == deal["id"]]
    told = org.history(deal)
    for line, entry in zip((created, moved, lost), told, strict=True):
        assert line["type"] == f"{entry['type']}.v1"
        assert (line["occurred_at"], line["recorded_at"]) == (entry["occurred_at"], entry["recorded_at"])
        assert line["actor_id"] == entry["actor"]["id"]
    assert created["data"]["changes"]["account_id"] == first["id"]
    assert lost["comment"] == "too dear"


def test_without_filters_it_is_all_there_ever_was_with_filters_the_list(org: Org) -> None:
    kept, gone = org.opportunity("Kept"), org.opportunity("Gone")
    org.admin.delete(f"{OPPORTUNITIES}{gone['id']}/")
    everything = {id_ for kind, id_, _ in streams(lines(org.admin)) if kind == "opportunity"}
    listed = [id_ for kind, id_, _ in streams(lines(org.admin, "status=open&ordering=name")) if kind == "opportunity"]
    assert (everything, listed) == ({kept["id"], gone["id"]}, [kept["id"]])


def test_accounts_and_contacts_have_a_history_too(org: Org, other_org: Org) -> None:
    account = org.account("Acme")
    contact = org.contact(account_id=account["id"])
    org.admin.patch(f"/api/accounts/{account['id']}/", {"name": "Acme & Co"})
    assert streams(lines(org.admin, path="/api/accounts/export/")) == [("account", account["id"], [1, 2])]
    of_contacts = streams(lines(org.admin, "search=jane", "/api/contacts/export/"))
    assert of_contacts == [("account", account["id"], [1, 2]), ("contact", contact["id"], [1])]
    assert streams(lines(other_org.admin, path="/api/accounts/export/")) == []


def test_whoever_reads_the_history_may_take_it_along_and_nobody_else(org: Org) -> None:
    org.opportunity("Annual")
    reader = org.client(org.user("read_only"))
    assert streams(lines(reader)) == streams(lines(org.admin))
    assert org.with_token(None).get(f"{EXPORT}?format=history").status == 401


def test_the_command_line_writes_the_same_file(org: Org, shared_database_url: str, tmp_path: Path) -> None:
    org.opportunity("Annual")
    file = tmp_path / "all.history.ndjson"
    export.main(["--database-url", shared_database_url, str(file), "--org", org.id], standalone_mode=False)
    assert [json.loads(line) for line in file.read_bytes().splitlines()][1:] == lines(org.admin)[1:]


def test_it_has_no_choice_of_fields(org: Org) -> None:
    assert errors(org.admin.get(f"{EXPORT}?format=history&fields=id")) == {
        "fields": "A file with history has every event as it is: leave out fields."
    }
