"""What an org exports another one imports, with nothing said by hand, and has the same lists."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.support.imports import Work, counts, rows
from tests.support.scenarios import OPPORTUNITIES, Json, Org, made

PEOPLE = ("rita@yours.example", "tom@yours.example")
FIELDS: dict[str, Any] = {
    "seats": {"type_": "number"}, "trial": {"type_": "checkbox"}, "renewal": {"type_": "date"},
    "region": {"type_": "dropdown", "options": ["EMEA", "APAC"]},
    "rivals": {"type_": "multiselect", "options": ["globex", "initech"]},
}  # fmt: skip
OWN = {"id", "updated_at", "version", "stage_entered_at"}
"""What a record has of its own: an open deal's entry into its stage is history, which no list has."""
NAMES = ["Annual", '=SUM(A1) "x"', "-50 % Söhne, Co", "'=quoted", "+49 30", "漢字 🎉", "@home"]


def settled(org: Org) -> None:
    for email in PEOPLE:
        org.user(email=email)
    for key, field in FIELDS.items():
        org.custom_field(key, **field)


def done(reply: Json) -> list[str]:
    assert reply["counts"]["failed"] == 0, reply
    return [one["id"] for one in reply["results"]]


def bulk(org: Org, path: str, operations: list[Json]) -> list[str]:
    return done(made(org.admin.post(f"/api/{path}/bulk/", {"mode": "independent", "operations": operations}), 200))


def filled(org: Org, random: Random) -> None:
    """Accounts, contacts and deals with all that they can have."""
    users = {one["email"]: one["id"] for one in org.listed("", "/api/users/")["results"]}
    accounts = bulk(org, "accounts", [_create(each) for each in _accounts(random)])
    contacts = bulk(org, "contacts", [_create(each) for each in _contacts(accounts)])
    deals = bulk(org, "opportunities", [_create(each) for each in _deals(random, accounts, contacts, users)])
    moves: list[Json] = []
    for id_ in deals:
        match random.randrange(4):
            case 0:
                moves.append({"stage": "won", "actual_amount": random.choice(["0", "1234.50"]), "actual_close_date": "2026-05-05"})
            case 1:
                moves.append({"stage": "lost", "lost_reason": "price", "actual_close_date": "2026-05-05"})
            case 2:
                moves.append({"stage": "negotiation"})
            case _:
                continue
        moves[-1] = {"op": "transition", "id": id_, "data": moves[-1]}
    bulk(org, "opportunities", moves)


def _create(data: Json) -> Json:
    return {"op": "create", "data": data}


def _accounts(random: Random) -> Iterator[Json]:
    for number, name in enumerate(NAMES):
        domain, external_id = random.choice([None, "acme.example"]), random.choice([None, f"A-{number}"])
        yield {"name": name, "domain": domain, "external_id": external_id}


def _contacts(accounts: list[str]) -> Iterator[Json]:
    for number, id_ in enumerate(accounts):
        yield {"first_name": f"Zoë {number}", "last_name": "Brandt", "account_id": id_, "phone": "+49 30 1234"}


def _deals(random: Random, accounts: list[str], contacts: list[str], users: dict[str, str]) -> Iterator[Json]:
    for number in range(24):
        place = random.randrange(len(accounts))
        values = {
            "seats": random.choice([0, 72, 0.5, -3]), "trial": random.random() < 0.5, "renewal": "2027-01-31", "region": "EMEA",
            "rivals": ["globex", "initech"],
        }  # fmt: skip
        yield {
            "name": f"{random.choice(NAMES)} {number}", "account_id": accounts[place], "owner_id": users[random.choice(PEOPLE)],
            "amount": random.choice([None, "0", "12.30", "123456789012345.67"]), "close_date": random.choice([None, "2026-12-31"]),
            "stakeholder_ids": random.choice([[], [contacts[place]]]), "tags": random.choice([[], ["new-business", "Größe"]]),
            "stage": random.choice(["discovery", "proposal"]), "probability": random.choice([0, 33, 100]),
            "next_step": random.choice([None, "=1+1", "Call"]), "external_id": random.choice([None, f"X-{number}", f"00{number}"]),
            "custom_fields": {key: value for key, value in values.items() if random.random() < 0.5},
        }  # fmt: skip


def shown(org: Org, path: str, precision: int) -> list[Json]:
    """A list without what records have of their own, times to so many characters."""
    found = []
    for item in org.listed("page_size=200&ordering=-created_at", path)["results"]:
        kept = {name: value for name, value in item.items() if name not in OWN}
        for name in ("created_at", "closed_at"):
            if kept.get(name):
                kept[name] = kept[name][:precision]
        for name in ("account", "owner"):
            if name in kept:
                kept[name] = {key: value for key, value in kept[name].items() if key != "id"}
        if "stakeholders" in kept:
            kept["stakeholders"] = [{**one, "id": ""} for one in kept["stakeholders"]]
        kept.pop("account_id", None)
        found.append(kept)
    return sorted(found, key=lambda one: (one["created_at"], str(one.get("name", one.get("first_name")))))


@pytest.mark.parametrize(("format_", "precision"), [("csv", 30), ("ndjson", 30), ("xlsx", 19)])
def test_an_export_that_is_imported_gives_the_same_lists(org: Org, empty: Org, work: Work, format_: str, precision: int) -> None:
    for each in (org, empty):
        settled(each)
    filled(org, Random(format_))
    for kind in ("accounts", "contacts", "opportunities"):
        data = org.admin.get(f"/api/{kind}/export/?format={format_}").body
        found = work.imported(empty.admin, data, kind)
        assert (found["state"], counts(found)[3], rows(empty.admin, found)) == ("done", 0, [])
    for path in ("/api/accounts/", "/api/contacts/", OPPORTUNITIES):
        if path != "/api/contacts/" or format_ != "ndjson":
            for ours, theirs in zip(shown(org, path, precision), shown(empty, path, precision), strict=True):
                assert theirs == ours
