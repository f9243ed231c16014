"""Files with history in another org: everything as it was at every instant, whole records or none, and clear words else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import psycopg
import pytest

from app.cli.import_file import kind_of
from app.importing import event_rows
from app.process.failures import Failure
from tests.support.commands import stream
from tests.support.imports import PATH, Work, counts, done_under_kills, rows, send, working
from tests.support.scenarios import OPPORTUNITIES, Json, Org, made, refused

EVERYTHING: Json = {"create_missing": {"custom_fields": True, "stages": True, "exchange_rates": True}}
OWN = {"id", "external_id", "account_id", "opportunity_id", "activities_url", "actor_id"}
"""What a record has of its own in each org: ids, and who wrote it there."""


OLD = UUID(int=1)
AT = "2026-01-{:02}T10:00:00Z"


def old(number: int) -> str:
    """An id in the other org."""
    return f"01970000-0000-7000-8000-{number:012}"


def event(number: int, version: int, type_: str, data: Json, **more: Any) -> Json:
    line = {"line": "event", "type": f"{type_}.v1", "id": old(number), "version": version, "occurred_at": AT.format(version)}
    return {**line, "recorded_at": AT.format(20), "actor_id": old(1), "data": data, **more}


def changes(number: int, version: int, type_: str, **more: Any) -> Json:
    return event(number, version, type_, {"changes": more})


def sheet() -> list[Json]:
    """An account, a contact, and three deals, of which the second one is deleted."""
    deal = {
        "account_id": old(10), "currency": "USD", "stage": "discovery", "status": "open", "probability": 20,
        "probability_source": "stage", "owner_id": old(1), "amount": "5.00",
    }  # fmt: skip
    header = {"line": "header", "format": "opportunities.history", "version": 1, "kind": "opportunities", "org_id": str(OLD)}
    return [
        {**header, "org": "Old", "currency": "USD", "exported_at": AT.format(25)},
        {"line": "user", "id": old(1), "email": "admin@yours.com", "name": "Admin", "role": "admin", "active": True},
        event(10, 1, "account.created", {"name": "Acme"}),
        event(20, 1, "contact.created", {"first_name": "Jane", "last_name": "Doe", "account_id": old(10)}),
        changes(30, 1, "opportunity.created", name="First", **deal),
        changes(30, 2, "opportunity.stage_changed", stage="proposal", probability=60, stakeholder_ids=[old(20)]),
        changes(30, 3, "opportunity.updated", amount="7.00", external_id="D-1"),
        event(35, 1, "activity.logged", {"opportunity_id": old(30), "type": "call", "subject": "x", "occurred_at": AT.format(2)}),
        changes(40, 1, "opportunity.created", name="Second", **deal),
        event(40, 2, "opportunity.deleted", {}),
        changes(50, 1, "opportunity.created", name="Third", **deal),
    ]


def packed(lines: list[Json]) -> bytes:
    found = [line for line in lines if line["line"] == "event"]
    together = sum(1 for before, line in zip([{}, *found], found, strict=False) if before.get("id") != line["id"])
    whole = [*lines, {"line": "end", "records": together, "events": len(found)}]
    return b"".join(json.dumps(line).encode() + b"\n" for line in whole)


def file(org: Org, query: str = "", kind: str = "opportunities") -> bytes:
    reply = org.admin.get(f"/api/{kind}/export/?format=history&{query}")
    assert reply.status == 200, reply.body
    return reply.body


def plain(value: Any) -> Any:
    """What is the same in both orgs: ids are not."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items() if name not in OWN}
    return [plain(one) for one in value] if isinstance(value, list) else value


def instants(org: Org) -> list[str]:
    """When something happened."""
    found = {event["occurred_at"] for event in org.listed("limit=500", "/api/events/")["results"]}
    return [quote(one) for one in sorted(found)]


def told(org: Org, at: list[str]) -> Iterator[Any]:
    """All that an org says of its deals, now and at these instants."""
    for query in ("ordering=created_at", "ordering=-updated_at,name"):
        yield plain(org.listed(f"page_size=200&{query}"))
    yield plain(org.listed("group_by=stage", f"{OPPORTUNITIES}forecast/"))
    for one in at:
        yield one, plain(org.listed(f"page_size=200&as_of={one}"))
        yield plain(org.listed(f"as_of={one}", f"{OPPORTUNITIES}forecast/"))
    for begin, end in pairwise(at):
        yield plain(org.listed(f"from={begin}&to={end}", f"{OPPORTUNITIES}forecast/changes/"))
    for deal in org.listed("page_size=200&ordering=created_at")["results"]:
        yield plain(org.read(deal))
        for entry in org.history(deal):
            yield [entry[name] for name in ("type", "version", "occurred_at", "comment")], sorted({*entry["changes"]} - OWN)


def busy(org: Org) -> None:
    """An org with a past of every kind."""
    rita = org.user(email="rita@yours.example")
    org.admin.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"})
    org.custom_field("seats", "number")
    first, second = org.account("First", external_id="A-1"), org.account("Second", domain="second.example")
    gone = org.account("Gone")
    jane, li = org.contact("Jane", "Doe", account_id=gone["id"]), org.contact("Li", "Wei")
    deal = org.opportunity(
        "Annual", account_id=gone["id"], owner_id=rita["id"], amount="500", currency="EUR", close_date="2026-12-01"
    )
    path = f"{OPPORTUNITIES}{deal['id']}/"
    org.admin.post(f"{path}activities/", {"type": "call", "subject": "Pricing", "body": "Too dear?"})
    org.moved(deal, stage="proposal", comment="They like it")
    org.admin.patch(path, {"account_id": first["id"], "stakeholder_ids": [jane["id"], li["id"]], "custom_fields": {"seats": 5}})
    org.admin.patch(path, {"stakeholder_ids": [li["id"]], "tags": ["new"], "external_id": "D-1", "custom_fields": {"seats": None}})
    org.admin.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-02-01", "rate": "1.2"})
    org.admin.delete(f"/api/contacts/{jane['id']}/")
    org.admin.delete(f"/api/accounts/{gone['id']}/")
    org.admin.patch(f"/api/accounts/{second['id']}/", {"name": "Second & Co", "custom_fields": {"size": [1, {"a": None}]}})
    org.moved(deal, stage="won", actual_amount="450.50", actual_close_date="2026-05-05")
    org.moved(org.won(name="Reopened", account_id=second["id"], amount="7"), stage="negotiation", probability=33)
    org.lost(name="Lost", account_id=second["id"], external_id="D-2")
    removed = org.opportunity("Deleted", account_id=second["id"], external_id="D-3")
    org.admin.delete(f"{OPPORTUNITIES}{removed['id']}/")
    again = org.opportunity("Restored", account_id=second["id"], external_id="D-3")
    org.admin.delete(f"{OPPORTUNITIES}{again['id']}/")
    org.admin.post(f"{OPPORTUNITIES}{again['id']}/restore/")
    org.admin.patch(f"/api/users/{rita['id']}/", {"active": False})


def test_what_an_org_exports_another_one_has_as_it_was_at_every_instant(org: Org, empty: Org, work: Work) -> None:
    busy(org)
    rita = empty.user(email="rita@yours.example")
    empty.admin.patch(f"/api/users/{rita['id']}/", {"active": False})
    data = file(org)
    checked = work.uploaded(empty.admin, data, **EVERYTHING)
    assert (checked["state"], checked["inspection"]["form"]["format"], checked["rows"]) == ("ready", "history", 12)
    checked = work.started(empty.admin, checked, "start/?dry_run=true")
    assert (checked["state"], rows(empty.admin, checked), counts(checked)) == ("ready", [], (12, 0, 0, 0))
    assert empty.listed()["count"] == 0
    done = work.started(empty.admin, checked)
    assert (done["state"], rows(empty.admin, done), counts(done)) == ("done", [], (12, 0, 0, 0))
    at = instants(org)[::12]
    for ours, theirs in zip(told(org, at), told(empty, at), strict=True):
        assert theirs == ours
    assert [plain(one) for one in empty.listed("ordering=name", "/api/accounts/")["results"]] == [
        plain(one) for one in org.listed("ordering=name", "/api/accounts/")["results"]
    ]


def test_an_event_says_who_brought_it_and_who_had_done_it(empty: Org, work: Work) -> None:
    done = work.imported(empty.admin, packed(sheet()))
    assert (done["state"], rows(empty.admin, done), counts(done)) == ("done", [], (6, 0, 0, 0))
    first = empty.listed("external_id=D-1")["results"][0]
    assert (first["created_at"], first["updated_at"], first["version"]) == (AT.format(1), AT.format(3), 3)
    for entry in empty.history(first):
        assert (entry["actor"]["id"], entry["import_id"]) == (empty.admin_id, done["id"])
        assert entry["recorded_at"] > done["created_at"]
        assert entry["origin"] == {"org_id": str(OLD), "recorded_at": AT.format(20), "actor": "admin@yours.com"}
    third = empty.listed("search=third")["results"][0]
    assert third["external_id"] == old(50)
    assert third["account"]["id"] == first["account"]["id"] != old(10)
    assert [item["id"] for item in empty.listed(f"import={done['id']}&ordering=name")["results"]] == [first["id"], third["id"]]


FIRST, SECOND = 4, 8
"""Where in the sheet, counted from 0, two deals begin; the activity of the first one is before the second one."""


def deal(number: int) -> list[Json]:
    return [{**line, "id": old(number)} for line in sheet()[FIRST : SECOND - 1]]


def moved(**more: Any) -> Callable[[list[Json]], Any]:
    return lambda lines: lines[1]["data"]["changes"].update(more)


def updated(**more: Any) -> Callable[[list[Json]], Any]:
    return lambda lines: lines[2]["data"]["changes"].update(more)


BROKEN: list[tuple[Callable[[list[Json]], Any], int, str, str]] = [
    (lambda lines: lines[1].update(type="opportunity.exploded.v1"), 1, "type", "There is no such event"),
    (lambda lines: lines[1].update(type="pipeline.replaced.v1"), 1, "type", "of another kind"),
    (lambda lines: lines[0].update(type="token.revoked.v1"), 0, "type", "not imported"),
    (lambda lines: lines.insert(1, lines.pop(2)), 1, "version", "Version 2 should come here"),
    (lambda lines: lines.pop(1), 1, "version", "Version 2 should come here"),
    (lambda lines: lines.pop(0), 0, "version", "Version 1 should come here"),
    (updated(amount="-7"), 2, "amount", "negative"),
    (updated(amount="much"), 2, "amount", "Invalid decimal"),
    (updated(name=5), 2, "name", "Expected `str`"),
    (lambda lines: lines[2].update(occurred_at="2999-01-01T00:00:00Z"), 2, "occurred_at", "in the future"),
    (lambda lines: lines[2].update(occurred_at=AT.format(1)), 2, "occurred_at", "before that of the event before it"),
    (moved(status="won"), 1, "stage", "does not fit"),
    (moved(stakeholder_ids=[old(99)]), 1, "stakeholder_ids", "no contact with this id before this line"),
    (moved(stakeholder_ids=[old(10)]), 1, "stakeholder_ids", "no contact with this id before this line"),
    (updated(account_id=old(98)), 2, "account_id", "no account with this id before this line"),
    (updated(owner_id=old(2)), 2, "owner_id", "no user with this id"),
    (updated(owner_id=old(3)), 2, "owner_id", "say under values.owner"),
    (moved(stage="demo"), 2, "stage", "say under values.stage"),
]
"""Changes of a deal by hand; which of its lines is wrong then, in which field, and in what words that is said."""


def test_a_line_that_breaks_its_record_is_said_and_nothing_of_the_record_is_done(empty: Org, work: Work) -> None:
    gone = {"line": "user", "id": old(3), "email": "gone@yours.com", "name": "Gone", "role": "rep"}
    lines = [*sheet()[:2], gone, *sheet()[2:FIRST]]
    expected: list[tuple[int, str, str]] = []
    for number, (change, place, column, words) in enumerate(BROKEN, 100):
        broken = deal(number)
        change(broken)
        expected.append((len(lines) + place + 1, column, words))
        lines += broken
        lines.append({**sheet()[SECOND - 1], "id": old(1000 + number)})
        lines[-1]["data"] = {**lines[-1]["data"], "opportunity_id": old(number)}
        expected.append((len(lines), "opportunity_id", "no opportunity"))
    lines += [*deal(30), {**sheet()[2], "id": old(11)}, sheet()[2]]
    expected.append((len(lines), "id", "came before"))
    found = work.uploaded(empty.admin, packed(lines))
    assert found["state"] == "ready", found
    for verb in ("start/?dry_run=true", "start/"):
        done = work.started(empty.admin, found, verb)
        wrong = rows(empty.admin, done)
        assert [(one["line"], one["column"]) for one in wrong] == [(line, column) for line, column, _ in expected], wrong
        assert [one for one, (_, _, words) in zip(wrong, expected, strict=True) if words not in one["message"]] == []
        assert counts(done) == (4, 0, 0, len(expected))
    assert empty.names() == ["First"]
    failed = [json.loads(text) for text in empty.admin.get(f"{PATH}{found['id']}/failed/").body.splitlines()]
    assert [
        words for (_, _, words), one in zip(expected, _with_reason(failed), strict=True) if words not in one["import_error"]
    ] == []
    assert [(one["id"], one["line"]) for one in failed[:3]] == [(old(100), "event")] * 3
    assert [one["line"] for one in failed] == ["event"] * len(failed)


def _with_reason(failed: list[Json]) -> list[Json]:
    return [one for one in failed if "import_error" in one]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda lines: lines[0].update(version=2), "opportunities", "line 1: This file has version 2 of the format"),
        (lambda lines: lines[0].update(kind="accounts"), "opportunities", "import it with kind=accounts"),
        (lambda lines: lines.pop(), "opportunities", "was cut off"),
    ],
)
def test_a_file_that_is_no_whole_one_says_so_when_it_is_looked_at(
    empty: Org, work: Work, change: Callable[[list[Json]], Any], kind: str, words: str
) -> None:
    lines = [*sheet(), {"line": "end", "records": 6, "events": 9}]
    change(lines)
    found = work.uploaded(empty.admin, b"".join(json.dumps(line).encode() + b"\n" for line in lines), kind)
    assert found["state"] == "failed"
    assert words in f"line {found['problem']['line']}: {found['problem']['message']}"


def test_a_file_comes_once_and_what_is_there_is_left_as_it_is(empty: Org, work: Work) -> None:
    done = work.imported(empty.admin, packed(sheet()))
    again = work.uploaded(empty.admin, packed(sheet()))
    problem = refused(empty.admin.post(f"{PATH}{again['id']}/start/"), 409)
    assert (problem["code"], problem["first"]) == ("imported", done["id"])
    forced = work.started(empty.admin, again, "start/?force=true")
    assert (forced["state"], rows(empty.admin, forced), counts(forced)) == ("done", [], (0, 0, 6, 0))
    lines = [*sheet(), *deal(60)]
    lines[-1]["data"]["changes"].update(external_id="D-6")
    more = work.imported(empty.admin, packed(lines))
    assert (rows(empty.admin, more), counts(more)) == ([], (1, 0, 6, 0))
    failing = work.imported(empty.admin, packed([*lines, *deal(80)]), on_match="fail")
    assert (counts(failing), "is there already" in rows(empty.admin, failing)[0]["message"]) == ((0, 0, 0, 8), True)
    assert sorted(empty.names()) == ["First", "First", "Third"]
    assert empty.listed("", "/api/accounts/")["count"] == 1
    assert len(empty.read(empty.listed("external_id=D-1")["results"][0])["activities"]) == 1


def test_an_undone_import_leaves_nothing_and_may_be_run_again(empty: Org, work: Work) -> None:
    done = work.imported(empty.admin, packed(sheet()))
    kept = empty.listed("external_id=D-1")["results"][0]
    undone = work.started(empty.admin, done, "undo/")
    assert (undone["state"], rows(empty.admin, undone)) == ("undone", [])
    for path in (OPPORTUNITIES, "/api/accounts/", "/api/contacts/"):
        assert empty.listed("", path)["count"] == 0
    again = work.started(empty.admin, undone)
    assert (again["state"], rows(empty.admin, again), counts(again)) == ("done", [], (5, 0, 1, 0))
    assert empty.listed("external_id=D-1")["results"][0]["id"] != kept["id"]


def test_a_worker_that_dies_is_followed_by_one_that_goes_on(
    empty: Org, work: Work, shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_rows, "EVENTS", 1)
    lines = sheet()
    for number in range(60, 64):
        lines += deal(number)
        lines[-1]["data"]["changes"].update(external_id=f"D-{number}")
    found = work.uploaded(empty.admin, packed(lines))
    made(empty.admin.post(f"{PATH}{found['id']}/start/"), 202)
    for steps in (2, 3, 4, 2):
        with working(shared_database_url) as dying:
            for _ in range(steps):
                dying.importer.step()
    while (done := made(empty.admin.get(f"{PATH}{found['id']}/"), 200))["state"] == "running":
        work.all()  # the import is free once PostgreSQL has seen that the last worker is gone
    assert (done["state"], rows(empty.admin, done), counts(done)) == ("done", [], (10, 0, 0, 0))
    assert empty.listed()["count"] == 6


@pytest.mark.slow
def test_kill_9_of_the_worker_leaves_every_event_there_once(empty: Org, shared_database_url: str) -> None:
    deals = [deal(number) for number in range(100, 700)]
    for number, lines in enumerate(deals):
        lines[2]["data"]["changes"].update(external_id=f"E{number}")
    file = packed([*sheet()[:FIRST], *(line for lines in deals for line in lines)])
    done = done_under_kills(empty.admin, shared_database_url, made(send(empty.admin, file)), 5)
    assert (done["state"], counts(done), rows(empty.admin, done)) == ("done", (602, 0, 0, 0), [])
    with psycopg.connect(shared_database_url) as connection:
        found = connection.execute(
            "SELECT topic, count(*) FROM opportunities_events WHERE org_id = %s AND topic LIKE 'opportunity%%' GROUP BY 1",
            (empty.id,),
        ).fetchall()
    assert dict(found) == {f"opportunity.{name}.v1": 600 for name in ("created", "stage_changed", "updated")}
    assert empty.listed("stage=proposal")["count"] == empty.listed("")["count"] == 600


def test_what_the_org_lacks_is_named_and_made_or_meant_as_the_options_say(empty: Org, work: Work) -> None:
    empty.user(email="tom@yours.com")
    lines = sheet()
    gone = {"line": "user", "id": old(3), "email": "gone@yours.com", "name": "Gone", "role": "rep"}
    stage = {"key": "demo", "label": "Demo", "type": "open", "probability": 30, "required_fields": ["custom_fields.none", "amount"]}
    field = {"line": "custom_field", "definition": {"key": "seats", "label": "Seats", "type": "number", "required": True}}
    lines[2:2] = [gone, {"line": "pipeline", "stages": [stage]}, field]
    rate = {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"}
    lines.insert(5, {**event(70, 1, "exchange_rate.quoted", rate)})
    lines[-1]["data"]["changes"].update(stage="demo", owner_id=old(3), tags=["new"])
    found = work.uploaded(empty.admin, packed(lines), create_missing={"tags": False})
    assert found["inspection"]["texts"] == {
        "owner": {"gone@yours.com": None, "admin@yours.com": empty.admin_id},
        "stage": {"proposal": "proposal", "demo": None},
        "custom_field": {"seats": None},
        "exchange_rate": {"EUR": None},
    }
    checked = work.started(empty.admin, found, "start/?dry_run=true")
    assert [(one["column"], one["value"]) for one in rows(empty.admin, checked)] == [("owner_id", "gone@yours.com")]
    options: Json = {"values": {"owner": {"gone@yours.com": "tom@yours.com"}}}
    made(empty.admin.patch(f"{PATH}{found['id']}/", options), 200)
    work.all()
    checked = work.started(empty.admin, found, "start/?dry_run=true")
    assert [(one["column"], "tag" in one["message"]) for one in rows(empty.admin, checked)] == [("tags", True)]
    options["create_missing"] = {"custom_fields": True, "stages": True, "exchange_rates": True}
    made(empty.admin.patch(f"{PATH}{found['id']}/", options), 200)
    work.all()
    for verb in ("start/?dry_run=true", "start/"):
        done = work.started(empty.admin, found, verb)
        assert (rows(empty.admin, done), counts(done)) == ([], (7, 0, 0, 0))
    third = empty.listed("search=third")["results"][0]
    assert (third["stage"], third["owner"]["email"], third["probability"]) == ("demo", "tom@yours.com", 20)
    stages = {one["key"]: one for one in empty.listed("", "/api/pipeline/")["stages"]}
    assert (stages["demo"]["probability"], stages["demo"]["required_fields"]) == (30, ["amount"])
    assert [one["key"] for one in empty.listed("", "/api/custom-fields/")["results"]] == ["seats"]
    assert [one["rate"] for one in empty.listed("", "/api/exchange-rates/")["results"]] == ["1.1"]


def test_stages_may_mean_others_and_rates_of_its_own_stay(empty: Org, work: Work) -> None:
    empty.admin.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.3"})
    lines = sheet()
    lines.insert(2, event(70, 1, "exchange_rate.quoted", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"}))
    lines.insert(2, {"line": "user", "id": old(3), "email": "gone@yours.com", "name": "Gone", "role": "rep"})
    lines[-1]["data"]["changes"].update(stage="demo", owner_id=old(3))
    found = work.imported(
        empty.admin, packed(lines), values={"stage": {"demo": "negotiation"}}, defaults={"owner": "admin@yours.com"}, **EVERYTHING
    )
    assert (rows(empty.admin, found), counts(found)) == ([], (6, 0, 1, 0))
    assert empty.listed("search=third")["results"][0]["stage"] == "negotiation"
    assert [one["rate"] for one in empty.listed("", "/api/exchange-rates/")["results"]] == ["1.3"]


def test_accounts_and_contacts_come_with_their_past_too(org: Org, empty: Org, work: Work) -> None:
    account = org.account("Acme", external_id="A-1")
    org.admin.patch(f"/api/accounts/{account['id']}/", {"name": "Acme & Co", "external_id": None})
    org.contact(account_id=account["id"])
    for kind, number in (("accounts", 1), ("contacts", 1)):
        done = work.imported(empty.admin, file(org, kind=kind), kind)
        assert (rows(empty.admin, done), done["created"]) == ([], number)
    (contact,) = empty.listed("", "/api/contacts/")["results"]
    (theirs,) = empty.listed("", "/api/accounts/")["results"]
    assert (theirs["external_id"], theirs["version"], contact["account_id"]) == (account["id"], 2, theirs["id"])


def test_only_admins_import_history(empty: Org, work: Work) -> None:
    manager = empty.client(empty.user("manager"))
    found = work.uploaded(manager, packed(sheet()))
    problem = refused(manager.post(f"{PATH}{found['id']}/start/"), 403)
    assert "imported by admins" in problem["detail"]
    assert empty.listed()["count"] == 0


def test_webhooks_are_not_told_of_another_orgs_past_unless_asked_to(empty: Org, work: Work, shared_database_url: str) -> None:
    work.imported(empty.admin, packed(sheet()))
    deal_id = UUID(empty.listed("external_id=D-1")["results"][0]["id"])
    assert [one.meta.webhooks for one in stream(shared_database_url, deal_id)] == [False] * 3


def test_the_file_of_an_org_brings_nothing_back_into_it(org: Org, shared_database_url: str) -> None:
    kept, gone = org.opportunity("Kept"), org.opportunity("Gone")
    org.admin.post(f"{OPPORTUNITIES}{kept['id']}/activities/", {"type": "call", "subject": "x"})
    org.admin.delete(f"{OPPORTUNITIES}{gone['id']}/")
    with working(shared_database_url) as work:
        done = work.imported(org.admin, file(org), match_on="none")
    assert (done["state"], rows(org.admin, done), counts(done)) == ("done", [], (0, 0, 5, 0))
    assert org.listed()["count"] == 1


def test_an_external_id_of_the_past_does_not_free_one_of_the_present(empty: Org, work: Work) -> None:
    lines = sheet()[:FIRST]
    for number, (once, last) in enumerate([("X", "X"), ("X", "Y"), ("X", "X")], 100):
        lines += deal(number)
        lines[-2]["data"]["changes"].update(external_id=once)
        lines[-1]["data"]["changes"].update(external_id=last)
    done = work.imported(empty.admin, packed(lines), match_on="none")
    assert ([one["message"][:16] for one in rows(empty.admin, done)], counts(done)) == (["Another opportun"], (4, 0, 0, 1))
    assert sorted(item["external_id"] for item in empty.listed()["results"]) == ["X", "Y"]


def test_all_or_nothing_leaves_nothing_of_a_file_with_a_bad_record(empty: Org, work: Work) -> None:
    lines = sheet()
    lines[-1]["data"]["changes"].update(amount="-1")
    done = work.imported(empty.admin, packed(lines), all_or_nothing=True)
    assert (done["state"], "all or nothing" in done["problem"]["message"]) == ("failed", True)
    assert [empty.listed("", path)["count"] for path in (OPPORTUNITIES, "/api/accounts/", "/api/contacts/")] == [0, 0, 0]


def test_the_command_line_knows_what_a_file_has(tmp_path: Path) -> None:
    lines = sheet()[:3]
    lines[0]["kind"] = "accounts"
    found = tmp_path / "accounts.history.ndjson"
    found.write_bytes(packed(lines))
    assert kind_of(found, "opportunities") == "accounts"
    lines[0]["version"] = 9
    found.write_bytes(packed(lines))
    with pytest.raises(Failure, match=r"line 1: This file has version 9"):
        kind_of(found, "opportunities")
    found.write_text("name,account\n")
    assert kind_of(found, "contacts") == "contacts"
