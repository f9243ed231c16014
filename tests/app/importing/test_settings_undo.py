"""An undo takes back what the import added to its org's settings, unless that is used or was changed."""

from __future__ import annotations

from tests.app.importing.test_event_imports import EVERYTHING, packed, sheet
from tests.support.imports import Work, counts, rows
from tests.support.scenarios import Org, made


def test_an_undo_takes_back_the_stages_and_fields_that_nobody_uses_or_has_changed(empty: Org, work: Work) -> None:
    keys = ("idle", "used", "renamed")
    stages = [{"key": key, "label": key, "type": "open", "probability": 30} for key in keys]
    lines = sheet()
    lines[2:2] = [{"line": "pipeline", "stages": stages}]
    lines[3:3] = [{"line": "custom_field", "definition": {"key": key, "label": key, "type": "text"}} for key in keys]
    done = work.imported(empty.admin, packed(lines), **EVERYTHING)
    assert (rows(empty.admin, done), counts(done)) == ([], (6, 0, 0, 0))
    empty.opportunity("Ours", stage="used", custom_fields={"used": "x"})
    made(empty.admin.patch("/api/custom-fields/renamed/", {"label": "Ours"}), 200)
    policy = empty.listed("", "/api/pipeline/")
    policy["stages"][-1]["label"] = "Ours"
    made(empty.admin.put("/api/pipeline/", policy), 200)
    undone = work.started(empty.admin, done, "undo/")
    left = {(row["column"], row["value"]): row["message"] for row in rows(empty.admin, undone)}
    assert left.keys() == {(kind, key) for kind in ("stage", "custom_field") for key in keys[1:]}
    assert "1 in 'used'" in left["stage", "used"]
    assert "Live deals have values" in left["custom_field", "used"]
    assert [one["key"] for one in empty.listed("", "/api/pipeline/")["stages"]][-2:] == ["used", "renamed"]
    assert [one["key"] for one in empty.listed("", "/api/custom-fields/")["results"]] == ["used", "renamed"]
    again = work.started(empty.admin, undone)
    assert (rows(empty.admin, again), counts(again)) == ([], (5, 0, 1, 0))


def test_columns_that_became_custom_fields_are_none_after_an_undo(org: Org, work: Work) -> None:
    org.custom_field("seats", "number")
    done = work.imported(org.admin, b"Name,Account,Seats,Region\nA,Acme,12,North\n", create_missing={"custom_fields": True})
    assert {one["key"] for one in org.listed("", "/api/custom-fields/")["results"]} == {"seats", "region"}
    work.started(org.admin, done, "undo/")
    assert [one["key"] for one in org.listed("", "/api/custom-fields/")["results"]] == ["seats"]
