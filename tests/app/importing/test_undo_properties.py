"""An undone import leaves what there would be without it, whatever happened meanwhile to other deals."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.writing.committer import Committer
from app.writing.provisioning import create_org
from projections import rebuild
from tests.support.imports import counts, rows, working
from tests.support.scenarios import Json, Org, made
from tests.support.server import Server

BASE = 5
STAGES = ("discovery", "proposal", "negotiation", "won", "lost")
SHOWN = (
    "name", "amount", "currency", "stage", "status", "probability", "close_date", "tags", "custom_fields", "actual_amount",
    "actual_close_date", "lost_reason", "lost_reason_code", "next_step", "external_id",
)  # fmt: skip
_rows = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 90_000), st.sampled_from(STAGES), st.integers(1, 12)), min_size=1, max_size=8
)
_changes = st.lists(st.tuples(st.integers(0, BASE - 1), st.sampled_from(("amount", "proposal", "won", "delete"))), max_size=5)
_moves: dict[str, Json] = {
    "proposal": {"stage": "proposal"},
    "won": {"stage": "won", "actual_amount": "5", "actual_close_date": "2026-03-01"},
}


def base(org: Org) -> list[str]:
    account = org.account()["id"]
    fields: Json = {"account_id": account, "close_date": "2026-05-01", "tags": ["t"]}
    return [org.opportunity(f"Deal {n}", external_id=f"E{n}", amount=str(n * 100), **fields)["id"] for n in range(BASE)]


def change(org: Org, ids: list[str], changes: list[tuple[int, str]]) -> None:
    """What can be done is done; the same in every org."""
    for n, what in changes:
        path = f"/api/opportunities/{ids[n]}/"
        if what == "delete":
            org.admin.delete(path)
        elif what == "amount":
            org.admin.patch(path, {"amount": "777"})
        else:
            org.admin.post(f"{path}transition/", _moves[what])


def shown(org: Org) -> list[dict[str, Any]]:
    found = [{name: item[name] for name in SHOWN} for item in org.listed("page_size=200")["results"]]
    return sorted(found, key=lambda item: str(item["external_id"]))


def file(given_rows: list[tuple[int, int, str, int]]) -> bytes:
    """As a file names a won deal, which has no other amounts and dates than those of every deal."""
    lines = [f"Row {n},Acme Corp,E{n},{amount},{stage},2026-{month:02}-15\n" for n, amount, stage, month in given_rows]
    return f"Name,Account,External id,Amount,Stage,Close date\n{''.join(lines)}".encode()


def test_an_undone_import_leaves_what_there_would_be_without_it(
    server: Server, committer: Committer, shared_database_url: str
) -> None:
    @settings(max_examples=5, deadline=None)
    @given(_rows, _changes)
    def check(given_rows: list[tuple[int, int, str, int]], changes: list[tuple[int, str]]) -> None:
        org, twin = (Org(server, create_org(committer, "Ours", "USD", f"admin{n}@ours.example")) for n in range(2))
        others = [one for one in changes if one[0] not in {n for n, *_ in given_rows}]
        ids = base(org)
        change(twin, base(twin), others)
        with working(shared_database_url) as work:
            done = work.imported(org.admin, file(given_rows))
            assert sum(counts(done)) == len(given_rows)
            change(org, ids, others)
            undone = work.started(org.admin, done, "undo/")
        assert undone["state"] == "undone"
        assert [row for row in rows(org.admin, undone) if row["column"] == "opportunity"] == []
        assert shown(org) == shown(twin)
        forecast = "/api/opportunities/forecast/?group_by=stage"
        assert made(org.admin.get(forecast), 200) == made(twin.admin.get(forecast), 200)
        org.close()
        twin.close()

    check()
    assert rebuild.verify(shared_database_url) == []
