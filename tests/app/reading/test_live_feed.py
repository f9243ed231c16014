"""Many subscribers of one org: everybody gets everything once, whoever is slow or no longer entitled delays and sees nothing."""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.process.children import wait_until
from app.reading import org_feed
from app.reading.subscription import MAX_BUFFER, Subscription
from app.writing.committer import Committer
from app.writing.provisioning import Provisioned, create_org
from app.writing.token_secrets import hashed
from domain import catalog, opportunity
from tests.support.commands import Company, log, outcome
from tests.support.inprocess import running, scope
from tests.support.scenarios import Org, made, refused
from tests.support.server import Server, serving
from tests.support.sse import Events
from tests.support.subscribers import subscribed

STREAM = "/api/events/"
EVENTS = "text/event-stream"
HOOK = {"url": "https://hooks.example.com/x", "events": ["opportunity.won"]}
FAR = 2_000
LARGE = "x" * 7_500
LARGE_EVENT = 4 * len(LARGE)
"""What is sent of an event with two such values, which had two such values before."""
LARGE_EVENTS = 300
"""Far more than sockets hold."""


def positions(url: str, org_id: UUID, after: int = 0, *, admin: bool = True) -> list[int]:
    """Of the org's events beyond a position, those that a role may see."""
    return [
        one.position
        for one in log(url)
        if one.meta.org_id == org_id
        and one.position > after
        and (admin or catalog.kind_of_event(type(one.event)) not in catalog.FOR_ADMINS)
    ]


def edit(company: Company, id_: UUID, numbers: range, padding: str = "") -> None:
    edits = [opportunity.Update(custom_fields={"a": f"{n} {padding}", "b": f"{n} {padding}"}) for n in numbers]
    for result in company.committer.run([company.envelope(one, id_) for one in edits]):
        outcome(result)


def test_every_subscriber_gets_every_event_once_and_in_order(server: Server, company: Company, shared_database_url: str) -> None:
    """Those who begin in the past, too, while there is ever more."""
    deal = company.deal()
    edit(company, deal, range(300))
    reader = company.user("read_only").token
    start = positions(shared_database_url, company.id)[-1]
    with (
        subscribed(server.port, 40, [company.admin.token], start) as live,
        subscribed(server.port, 40, [company.admin.token]) as late,
        subscribed(server.port, 20, [reader]) as readers,
    ):
        for n in range(0, 300, 20):
            edit(company, deal, range(n, n + 20))
        last = positions(shared_database_url, company.id)[-1]
        for subscribers, after, admin in ((live, start, True), (late, 0, True), (readers, 0, False)):
            got = subscribers.got(last)
            assert got.different == 0
            assert got.positions == positions(shared_database_url, company.id, after, admin=admin)


def test_a_token_and_an_org_have_so_many_streams_and_no_more(database_url: str) -> None:
    limited = serving(database_url, OPPORTUNITIES_STREAMS_PER_TOKEN="2", OPPORTUNITIES_STREAMS_PER_ORG="3")
    with closing(Committer(database_url)) as committer, limited as server, ExitStack() as stack:
        ours, theirs = (org(stack, server, create_org(committer, name, "USD", "a@b.example")) for name in ("Ours", "Theirs"))
        second = made(ours.admin.post("/api/tokens/", {"name": "second"}))["token"]
        opened = [stack.enter_context(Events(server.port, ours.token)) for _ in range(2)]
        problem = refused(ours.admin.get(STREAM, Accept=EVENTS), 429)
        assert (problem["code"], "this token" in problem["detail"]) == ("too_many_streams", True)
        stack.enter_context(Events(server.port, second))
        assert "this organization" in refused(ours.with_token(second).get(STREAM, Accept=EVENTS), 429)["detail"]
        with Events(server.port, theirs.token) as stream:
            assert stream.take(3)
        opened[0].close()
        assert wait_until(lambda: ours.admin.request("HEAD", STREAM, Accept=EVENTS).status == 200, 10), "there is room again"


def org(stack: ExitStack, server: Server, provisioned: Provisioned) -> Org:
    return stack.enter_context(closing(Org(server, provisioned)))


def test_a_slow_client_gets_everything_at_its_pace_and_keeps_nobody_waiting(
    server: Server, company: Company, shared_database_url: str
) -> None:
    deal = company.deal()
    start = positions(shared_database_url, company.id)[-1]
    with (
        Events(server.port, company.admin.token, f"?after={start}") as slow,
        Events(server.port, company.admin.token, f"?after={start}") as other,
    ):
        told = other.told()
        for n in range(0, LARGE_EVENTS, 10):
            edit(company, deal, range(n, n + 10), LARGE)
            assert [next(told).data["version"] for _ in range(10)] == list(range(n + 2, n + 12))
        assert [one.id for one in slow.take(LARGE_EVENTS)] == positions(shared_database_url, company.id, start)


class Stuck:
    """A client over ASGI that takes nothing once it has seen an event, until it is let go."""

    def __init__(self) -> None:
        self.text = b""
        self.complete = False
        self.let_go = asyncio.Event()

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send(self, message: Any) -> None:
        self.text += message.get("body", b"")
        self.complete = message.get("more_body") is False
        if b"data:" in self.text:
            await self.let_go.wait()


def test_a_client_that_takes_nothing_is_told_where_to_go_on(
    shared_database_url: str, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(org_feed, "BEHIND_SECONDS", 0.05)
    monkeypatch.setattr(org_feed, "LOOK_SECONDS", 0.05)
    stuck = Stuck()
    with running(shared_database_url) as process:

        async def ask() -> None:
            headers = [(b"authorization", f"Bearer {company.admin.token}".encode()), (b"accept", EVENTS.encode())]
            await process.app(scope("GET", STREAM, headers), stuck.receive, stuck.send)

        async def scenario() -> None:
            asked = asyncio.create_task(ask())
            await asyncio.wait([asked], timeout=1)
            assert not asked.done()
            stuck.let_go.set()
            await asyncio.wait_for(asked, 10)

        process.wait(scenario())
    ids = re.findall(rb"^id: (\d+-[0-9a-f]{8})\n", stuck.text, re.MULTILINE)
    assert stuck.text.endswith(b": you fell behind: go on after %b\nid: %b\n\n" % (ids[-2].partition(b"-")[0], ids[-1]))
    assert ids[-2] == ids[-1]
    assert stuck.complete, "the stream ends in order"


def test_what_waits_for_a_client_who_begins_in_the_past_is_bounded_in_bytes(shared_database_url: str, company: Company) -> None:
    edit(company, company.deal(), range(60), LARGE)
    last = positions(shared_database_url, company.id)[-1]
    with running(shared_database_url) as process:

        async def scenario() -> int:
            identity = await process.app.shared.read_pool.identity(hashed(company.admin.token))
            assert identity is not None
            with process.app.shared.live_feed.subscribed(identity, 0) as (org, subscription):
                waiting = 0
                while subscription.sent < last:
                    assert await org.next(subscription)
                    waiting = max(waiting, subscription.size)
                return waiting

        assert LARGE_EVENT < process.wait(scenario()) <= MAX_BUFFER


def test_a_stream_goes_on_with_the_role_that_its_user_has_by_now(org: Org) -> None:
    user = org.user("admin")
    token = made(org.admin.post("/api/tokens/", {"name": "theirs", "user_id": user["id"]}))["token"]
    last = made(org.admin.get(f"{STREAM}?limit=500"), 200)["results"][-1]["position"]
    with Events(org.server.port, token, f"?after={last}") as stream:
        told = stream.told()
        for role, seen in (("read_only", False), ("admin", True), ("rep", False)):
            made(org.admin.patch(f"/api/users/{user['id']}/", {"role": role}), 200)
            made(org.admin.post("/api/webhooks/", HOOK))
            org.account()
            assert [next(told).event for _ in range(2 + seen)] == [
                "user.updated",
                *["webhook_endpoint.created"] * seen,
                "account.created",
            ]


def test_a_stream_ends_when_its_user_is_deactivated_or_the_token_that_issued_its_own_is_revoked(org: Org) -> None:
    user = org.user("rep")
    first = made(org.admin.post("/api/tokens/", {"name": "first", "user_id": user["id"]}))
    second = made(org.with_token(first["token"]).post("/api/tokens/", {"name": "second"}))
    other = made(org.admin.post("/api/tokens/", {"name": "other", "user_id": user["id"]}))
    last = made(org.admin.get(f"{STREAM}?limit=500"), 200)["results"][-1]["position"]
    with Events(org.server.port, second["token"], f"?after={last}") as issued, Events(org.server.port, other["token"]) as theirs:
        told = theirs.told()
        assert next(told)
        assert org.admin.delete(f"/api/tokens/{first['id']}/").status == 204
        assert list(issued.told()) == []
        made(org.admin.patch(f"/api/users/{user['id']}/", {"active": False}), 200)
        assert [one for one in told if "active" in one.data["changes"] and one.id > last] == [], "it ends, and tells nothing more"


def test_a_stream_shows_an_admins_token_no_more_than_its_own_role_may_see(org: Org) -> None:
    token = made(org.admin.post("/api/tokens/", {"name": "export", "role": "read_only"}))["token"]
    last = made(org.admin.get(f"{STREAM}?limit=500"), 200)["results"][-1]["position"]
    with Events(org.server.port, token, f"?after={last}") as live, Events(org.server.port, token) as past:
        made(org.admin.post("/api/webhooks/", HOOK))
        org.account("The last")
        for stream in (live, past):
            seen = []
            for one in stream.told():
                seen.append(one.event.partition(".")[0])
                if one.data["changes"].get("name") == [None, "The last"]:
                    break
            assert not set(seen) & set(catalog.FOR_ADMINS)


def test_subscribers_far_behind_keep_no_live_one_waiting(shared_database_url: str, company: Company) -> None:
    deal = company.deal()
    edit(company, deal, range(FAR))
    start, *_, last = positions(shared_database_url, company.id)
    with running(shared_database_url) as process:

        async def scenario() -> list[int]:
            live_feed, reads = process.app.shared.live_feed, process.app.shared.read_pool
            identity = await reads.identity(hashed(company.admin.token))
            assert identity is not None
            late: list[Subscription] = []

            async def catch_up(after: int) -> None:
                with live_feed.subscribed(identity, after) as (org, subscription):
                    late.append(subscription)
                    while await org.next(subscription):
                        pass

            tasks = [asyncio.create_task(catch_up(start + n)) for n in range(20)]
            with live_feed.subscribed(identity, last) as (org, subscription):
                await asyncio.to_thread(edit, company, deal, range(-1, 0))
                assert b'"-1 "' in (await org.next(subscription) or b"")
                behind = [last - one.position for one in late]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return behind

        behind = process.wait(scenario())
    assert len(behind) == 20
    assert min(behind) > FAR / 4, "they are still far behind when it has the event"


def test_a_stream_ends_when_its_token_expires(org: Org) -> None:
    expires_at = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    token = made(org.admin.post("/api/tokens/", {"name": "short", "expires_at": expires_at}))["token"]
    last = made(org.admin.get("/api/events/?limit=500"), 200)["results"][-1]["position"]
    with Events(org.server.port, token, f"?after={last}") as stream:
        assert list(stream.blocks()) == [{"retry": "1000"}]
    assert datetime.now(UTC) < datetime.fromisoformat(expires_at) + timedelta(seconds=3)
