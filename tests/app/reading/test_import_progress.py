"""Who follows an org's feed is told how its imports stand, and that is no event of the log."""

from __future__ import annotations

from itertools import takewhile

from tests.support.imports import PATH, Work, counts, send
from tests.support.scenarios import Json, Org, made, refused
from tests.support.sse import Events

FILE = b"Name,Account,External id,Amount\n" + b"".join(b"Deal %d,Acme,E%d,1\n" % (number, number) for number in range(20))


def until(stream: Events, state: str) -> list[Json]:
    """What is told up to a state."""
    told: list[Json] = []
    for one in stream.progress():
        told.append(one)
        if one["state"] == state:
            break
    return told


def test_who_follows_the_feed_is_told_how_an_import_stands(org: Org, other_org: Org, work: Work) -> None:
    """And not how those of others do. Of states that follow each other within a second some may be left out."""
    reader = org.user("read_only")
    token = made(org.admin.post("/api/tokens/", {"name": "t", "user_id": reader["id"]}))["token"]
    with Events(org.server.port, token) as stream, Events(org.server.port, other_org.token) as others:
        found = work.uploaded(org.admin, FILE + b"Bad,Acme,E99,lots\n")
        looked_at = until(stream, "ready")
        assert {one["state"] for one in looked_at} <= {"inspecting", "ready"}
        done = work.started(org.admin, found)
        told = until(stream, "done")
        assert {one["state"] for one in told} <= {"ready", "running", "done"}
        assert {one["id"] for one in told} == {found["id"]}
        names = ("id", "kind", "state", "rows", "done", "created", "failed", "rate", "seconds_left", "problem")
        assert {name: told[-1][name] for name in names} == {name: done[name] for name in names}
        assert counts(told[-1]) == (20, 0, 0, 1)
        theirs = work.imported(other_org.admin, FILE)
        assert {one["id"] for one in until(others, "done")} == {theirs["id"]}
    entries = made(org.admin.get("/api/events/?limit=500"), 200)["results"]
    assert not [entry for entry in entries if entry["type"].startswith("import")]


def test_who_comes_later_is_told_of_imports_that_are_at_work_and_of_their_end(org: Org, work: Work) -> None:
    before = work.imported(org.admin, FILE)
    found = work.uploaded(org.admin, FILE.replace(b"Deal", b"Other"))
    made(org.admin.post(f"{PATH}{found['id']}/start/?dry_run=true"), 202)
    with Events(org.server.port, org.token) as stream:
        progress = stream.progress()
        first = next(progress)
        assert (first["id"], first["state"]) == (found["id"], "checking")
        with Events(org.server.port, org.token) as later:
            assert next(later.progress()) == first
        work.all()
        assert before["id"] not in {one["id"] for one in takewhile(lambda one: one["state"] != "ready", progress)}


def test_a_file_that_cannot_be_read_is_told_with_what_is_wrong(org: Org, work: Work) -> None:
    with Events(org.server.port, org.token) as stream:
        made(send(org.admin, b"Name,Account\nA\0,x\n"))
        work.all()
        assert "NUL" in until(stream, "failed")[-1]["problem"]["message"]
    refused(org.admin.get("/api/events/?import=x"))
