"""What is shown of a record that others refer to."""

from __future__ import annotations

import json

import pytest

from domain import account, catalog, event, token
from projections import directory, history
from tests.support.domain import NOW, ORG, STREAM, uuid


def test_a_secret_is_shown_neither_in_the_record_nor_in_its_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a kind of record that was made up, with the one line it has in the catalog."""

    class State(event.State, frozen=True):
        label: str
        pin: str

    State.__module__ = "domain.gizmo"
    monkeypatch.setattr(
        catalog, "AGGREGATES", {**catalog.AGGREGATES, "gizmo": catalog.Aggregate(account, secret=frozenset({"pin"}))}
    )
    gizmo = State(id=STREAM, org_id=ORG, version=1, created_at=NOW, updated_at=NOW, label="Lock", pin="1234")
    assert json.loads(directory.document(gizmo)).keys() == {"id", "label", "created_at", "updated_at", "version"}
    assert history.difference(None, gizmo) == {"label": (None, "Lock")}


def test_the_hash_of_a_token_is_shown_nowhere() -> None:
    issued = token.State(
        id=STREAM, org_id=ORG, version=1, created_at=NOW, updated_at=NOW, name="CI", user_id=uuid(7), hash="f" * 64, prefix="opp_ab"
    )
    assert "hash" not in json.loads(directory.document(issued))
    assert history.difference(None, issued).keys() == {"name", "user_id", "prefix"}
