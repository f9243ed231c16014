"""The event feed as server-sent events: all there is and all that comes, no gap, a clean end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import psycopg
import pytest

from app.process.children import wait_until
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support.scenarios import Org, errors, made, refused
from tests.support.server import serving
from tests.support.sse import Events, Told

FEED = "/api/events/?limit=500"


def opened(org: Org, query: str = "", **headers: str) -> Events:
    return Events(org.server.port, org.token, query, **headers)


def feed(org: Org) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made(org.admin.get(FEED), 200)["results"]
    return found


def last(org: Org) -> int:
    position: int = feed(org)[-1]["position"]
    return position


def test_it_tells_what_the_pages_tell(org: Org) -> None:
    org.won(amount="100")
    expected = feed(org)
    with opened(org) as stream:
        told = stream.take(len(expected))
    assert [one.data for one in told] == expected
    assert [one.id for one in told] == [entry["position"] for entry in expected]
    assert [one.event for one in told] == [entry["type"] for entry in expected]


def test_what_happens_is_told_at_once(org: Org, other_org: Org) -> None:
    """And nothing of what happens to others."""
    with opened(org, f"?after={last(org)}") as stream:
        told = stream.told()
        for name in ("First", "Second"):
            other_org.opportunity("Theirs")
            org.opportunity(name)
            assert [next(told).event, next(told).data["changes"]["name"]] == ["account.created", [None, name]]


def test_it_says_how_it_is_to_be_read(org: Org) -> None:
    with opened(org) as stream:
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
        assert next(stream.blocks()) == {"retry": "1000"}


def test_it_goes_on_after_the_last_event_seen(org: Org) -> None:
    org.opportunity()
    positions = [entry["position"] for entry in feed(org)]
    with opened(org, "?after=0", Last_Event_ID=str(positions[2])) as stream:
        assert [told.id for told in stream.take(len(positions) - 3)] == positions[3:]


def test_a_reader_that_comes_and_goes_misses_nothing_and_sees_nothing_twice(org: Org) -> None:
    start = last(org)

    def write() -> None:
        for n in range(30):
            org.opportunity(f"Deal {n}")
        org.opportunity("The last")

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[Told] = []
    while not seen or seen[-1].event != "opportunity.created" or seen[-1].data["changes"]["name"] != [None, "The last"]:
        with opened(org, f"?after={start}", **({"Last_Event_ID": str(seen[-1].id)} if seen else {})) as stream:
            seen += stream.take(7 if len(seen) < 50 else 1)
    writer.join()
    assert [told.data for told in seen] == [entry for entry in feed(org) if entry["position"] > start]


def test_a_bad_position_is_named(org: Org) -> None:
    assert set(errors(org.admin.get("/api/events/", Accept="text/event-stream", Last_Event_ID="x"))) == {"Last-Event-ID"}
    assert set(errors(org.admin.get("/api/events/?after=-1", Accept="text/event-stream"))) == {"after"}
    refused(org.with_token(None).get("/api/events/", Accept="text/event-stream"), 401)


def test_it_ends_when_its_token_does(org: Org) -> None:
    token = made(org.admin.post("/api/tokens/", {"name": "short"}))
    with Events(org.server.port, token["token"], f"?after={last(org)}") as stream:
        assert next(stream.blocks())
        assert org.admin.delete(f"/api/tokens/{token['id']}/").status == 204
        assert list(stream.told()) == []


def test_only_the_head_of_it_is_asked_for(org: Org) -> None:
    reply = org.admin.request("HEAD", "/api/events/", Accept="text/event-stream")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"].startswith("text/event-stream")


@contextmanager
def own(url: str) -> Iterator[Org]:
    """An org behind a server of this test's own."""
    with (
        closing(Committer(url)) as committer,
        serving(url) as server,
        closing(Org(server, create_org(committer, "Own", "USD", "a@b.example"))) as org,
    ):
        yield org


@pytest.mark.e2e
def test_it_ends_cleanly_with_the_process(database_url: str) -> None:
    with own(database_url) as org, opened(org) as stream:
        assert stream.take(3)
        assert org.server.process is not None
        org.server.process.terminate()
        list(stream.told())  # a stream that broke off would raise
        assert org.server.process.wait(10) == 0


@pytest.mark.e2e
def test_it_outlives_its_connections_to_the_database(database_url: str) -> None:
    with own(database_url) as org, opened(org, f"?after={last(org)}") as stream:
        told = stream.told()
        org.opportunity("Before")
        assert [next(told).event, next(told).event] == ["account.created", "opportunity.created"]
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
        assert wait_until(lambda: org.admin.post("/api/accounts/", {"name": "After"}).status == 201, 10)
        assert next(told).data["changes"]["name"] == [None, "After"]


@pytest.mark.long
def test_a_silent_stream_shows_that_it_is_there(org: Org) -> None:
    with opened(org, f"?after={last(org)}") as stream:
        assert [list(block) for block in islice(stream.blocks(), 2)] == [["retry"], [""]]
