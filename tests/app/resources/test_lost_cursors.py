"""Readers of the feed whose cursors are of a history that the database lost when it was restored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from app.cli import restoring
from app.process.children import wait_until
from app.reading import org_feed
from domain.epoch import Epoch
from projections.rebuild import rebuild, verify
from projections.registry import READ_MODELS
from tests.support.commands import Company, log
from tests.support.inprocess import InProcess, running, scope
from tests.support.restores import backup, change, company_on, put_in_place

FEED = "/api/events/"
STREAM = "text/event-stream"


class Reader:
    """Of the feed of an org."""

    def __init__(self, process: InProcess, company: Company) -> None:
        self.process, self.token = process, company.admin.token

    def page(self, after: object, **more: Any) -> dict[str, Any]:
        reply = self.process.request("GET", f"{FEED}?after={after}", token=self.token, **more)
        return {"status": reply.status, **reply.json()}

    def lost(self, after: object) -> object:
        """The last good position that it is told for a cursor of a lost history, as page and as stream."""
        told = [self.page(after), self.page(0, Accept=STREAM, Last_Event_ID=str(after))]
        for one in told:
            assert (one["status"], one["code"]) == (410, "lost_history"), one
            assert "restored from a backup" in one["detail"]
        assert told[0]["last_good_position"] == told[1]["last_good_position"]
        return told[0]["last_good_position"]


@contextmanager
def reading(url: str, company: Company) -> Iterator[Reader]:
    with running(url) as process:
        yield Reader(process, company)


def test_a_cursor_of_a_lost_history_is_refused_with_where_to_go_on(database_url: str) -> None:
    with company_on(database_url) as company:
        deal = company.deal()
    with backup(database_url) as url:
        good = log(url)[-1].position
        with company_on(database_url, company) as again:
            change(again, deal, "Lost", "Lost too", "Lost as well")
        with reading(database_url, company) as live:
            head = live.page(0)["cursor"]
            first = live.page(f"{good - 1}&limit=1")["cursor"]
            lost = live.page(f"{good}&limit=1")["cursor"]
            assert (int(head.partition("-")[0]), int(lost.partition("-")[0])) == (good + 3, good + 1)
        with reading(url, company) as reader:
            assert [reader.lost(cursor) for cursor in (lost, head, good + 1, good + 3)] == [None] * 4
            assert (reader.page(first)["results"], reader.page(good)["results"]) == ([], [])
        with company_on(url, company) as between:
            change(between, deal, "Between", "And between")
        restoring.begin(url, Epoch(uuid4(), restoring.first_above(good + 3), good, 0))
        with company_on(url, company) as after:
            change(after, deal, "After")
        with reading(url, company) as reader:
            assert [reader.lost(cursor) for cursor in (lost, head, good + 3)] == [good] * 3
            names = [one["changes"].get("name", [None, None])[1] for one in reader.page(first)["results"]]
            assert names == ["Between", "And between", None, "After"]
            told = reader.page(good + 2)["results"][0]
            assert (told["type"], told["changes"]["last_good_position"]) == ("log.restored", [None, good])
            assert told["position"] == told["changes"]["first_position"][1] == restoring.first_above(good + 3)
            assert len(reader.page(good + 1)["results"]) == 3, "of a position alone it cannot be known"
        assert verify(url) == []
        rebuild(url, [model.name for model in READ_MODELS])


class Listener:
    """A client of the stream in this process."""

    def __init__(self) -> None:
        self.text = b""
        self.ended = False

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send(self, message: Any) -> None:
        self.text += message.get("body", b"")
        self.ended = message.get("more_body") is False


def test_a_stream_ends_when_the_log_behind_it_goes_back(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was not stopped: what it would send next may have taken the place of what it has sent."""
    monkeypatch.setattr(org_feed, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(org_feed, "RETRY_SECONDS", 0.1)
    with company_on(database_url) as company:
        deal = company.deal()
    with backup(database_url) as url:
        with company_on(database_url, company) as again:
            change(again, deal, "Lost")
        with company_on(url, company) as other:
            change(other, deal, "Another", "And more")
        listener = Listener()
        with running(database_url) as process:
            headers = [(b"authorization", f"Bearer {company.admin.token}".encode()), (b"accept", STREAM.encode())]

            async def listen() -> None:
                await process.app(scope("GET", FEED, headers), listener.receive, listener.send)

            asked = threading.Thread(target=lambda: process.wait(listen()))
            asked.start()
            assert wait_until(lambda: b"Lost" in listener.text, 30)
            with put_in_place(url, database_url):
                assert wait_until(lambda: listener.ended, 60)
                asked.join()
                assert b"And more" not in listener.text
