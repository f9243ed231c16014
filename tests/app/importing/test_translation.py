"""Events of another org in the words of this one: every kind of event that there is, and what has no place here."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.importing.event_plan import ADOPT
from app.importing.people import People
from app.importing.renewed_ids import renewed
from app.importing.translation import Translation, Unknown
from domain import catalog, event_store
from domain.event import Event
from projections.imports.ids import Known
from tests.support.processes import ROOT

KINDS = {"account_id": "account", "stakeholder_ids": "contact", "opportunity_id": "opportunity"}
OLD, OWNER = UUID(int=1), UUID(int=2)


class Everybody(People):
    """Each user of the other org is the same one here."""

    def __init__(self) -> None:
        """Nobody has to be looked up."""

    def user(self, old: UUID) -> UUID | None:
        return OWNER


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / f"tests/domain/golden/{name}.json").read_bytes())["data"]
    return found


def decoded(name: str) -> Event:
    return event_store.event_of(name, msgspec.Raw(json.dumps(golden(name)).encode()))


def named(values: dict[str, Any]) -> dict[UUID, Known]:
    """The records that an event names, each with another id here."""
    found = {}
    for field, kind in KINDS.items():
        given = values.get(field) or []
        for text in [given] if isinstance(given, str) else given:
            found[UUID(text)] = Known(kind, UUID(text), renewed(UUID(text)), True)
    return found


@pytest.mark.parametrize("name", [name for name in catalog.EVENTS if name.partition(".")[0] in ADOPT])
def test_every_event_of_such_a_record_has_the_ids_of_this_org(name: str) -> None:
    values = golden(name).get("changes", golden(name))
    known = named(values)
    event = Translation(known, Everybody(), {}).event(decoded(name), OLD)
    assert type(event) is catalog.EVENTS[name]
    found = json.loads(msgspec.json.encode(getattr(event, "changes", event)))
    for field, given in values.items():
        if field in KINDS and given:
            assert found[field] == (
                [str(known[UUID(one)].new) for one in given] if isinstance(given, list) else str(known[UUID(given)].new)
            )
        elif field == "owner_id":
            assert found[field] == str(OWNER)
    if name.endswith(".created.v1"):
        assert found["external_id"] == values.get("external_id", str(OLD))
    if known:
        with pytest.raises(Unknown, match="before this line"):
            Translation({}, Everybody(), {}).event(decoded(name), OLD)


@pytest.mark.parametrize("name", [name for name in catalog.EVENTS if name.partition(".")[0] not in ADOPT])
def test_no_other_event_is_taken_over(name: str) -> None:
    with pytest.raises(Unknown, match="not imported"):
        Translation({}, Everybody(), {}).event(decoded(name), OLD)


def test_new_ids_keep_the_order_of_the_old_ones() -> None:
    old = [UUID(f"0198a000-0000-7000-8000-{number:04x}00000000") for number in range(50)]
    new = [renewed(id_) for id_ in old]
    assert new == sorted(new)
    assert not {*old} & {*new}
    assert {(id_.version, id_.variant) for id_ in [*new, renewed(UUID(int=2**128 - 1)), renewed(UUID(int=0))]} == {
        (7, "specified in RFC 4122")
    }
