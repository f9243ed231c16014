"""A relay and webhook consumers at work in threads while deals are written, and what must be true in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from uuid import UUID

from structlog.testing import capture_logs

from app.cli.explanations import describe
from app.process.children import wait_until
from app.writing.committer import Committer
from consumers import loop
from consumers.kafka_settings import Kafka
from consumers.relay import Relay
from consumers.webhooks.fan_out import FanOut
from domain import opportunity
from tests.support.commands import Company, log
from tests.support.kafka import firsts, has_the_last, messages, whole
from tests.support.loops import Lines, failures
from tests.support.webhooks import endpoint, execute

HOOK = "http://127.0.0.1:9/hooks"
KEEP = timedelta(days=30)
SECONDS = 90


class Flow:
    """The way from the log to the queue, on one database and one topic."""

    def __init__(self, url: str, config: Kafka, company: Company, lines: Lines) -> None:
        self.url, self.config, self.company, self.lines = url, config, company, lines
        self.endpoint: UUID = endpoint(company, HOOK)
        self.stopping = threading.Event()
        self._writer = threading.Thread(target=self._write)

    def write(self, deals: int = 5) -> None:
        """Deals with a change each."""
        for id_ in [self.company.deal() for _ in range(deals)]:
            self.company.do(opportunity.Update(name="Changed"), id_)

    def _write(self) -> None:
        while not self.stopping.is_set():
            self.write(2)
            time.sleep(0.05)

    @contextmanager
    def load(self) -> Iterator[None]:
        """Deals are written all the time."""
        self._writer.start()
        try:
            yield
        finally:
            self.stopping.set()
            self._writer.join()

    def relayed(self) -> int:
        found = execute(self.url, "SELECT position FROM checkpoints WHERE name = 'relay'")
        return int(found[0][0]) if found else 0

    def goes_on(self, events: int = 10) -> None:
        """Until the relay has come that much further."""
        goal = self.relayed() + events
        assert wait_until(lambda: self.relayed() >= goal, SECONDS), failures(self.lines, "reason")

    def caught_up(self) -> None:
        last = log(self.url)[-1].position
        assert wait_until(lambda: self.relayed() >= last, SECONDS), failures(self.lines, "reason")

    def said(self) -> list[str]:
        return failures(self.lines, "reason")

    def until_said(self, part: str) -> str:
        assert wait_until(lambda: any(part in line for line in self.said()), SECONDS), self.said()
        return next(line for line in self.said() if part in line)

    def settle(self, *, twice: bool = False) -> None:
        """Everything is on the topic, in order for each deal; at least once if ``twice``, else exactly once."""
        self.caught_up()
        assert wait_until(lambda: has_the_last(self.url, self.config), SECONDS), self.said()
        whole(self.url, self.config)
        told = messages(self.config)
        assert twice or len(firsts(told)) == len(told), "sent again"

    def queued(self) -> list[UUID]:
        rows = execute(self.url, "SELECT event_id FROM webhook_deliveries WHERE endpoint_id = %s ORDER BY position", self.endpoint)
        return [event_id for (event_id,) in rows]

    def wanted(self) -> int:
        return sum(isinstance(one.event, opportunity.OpportunityEvent) for one in log(self.url))

    def all_queued(self) -> None:
        """Every event of a deal is queued, once."""
        wanted = self.wanted()
        assert wait_until(lambda: len(self.queued()) >= wanted, SECONDS), (len(self.queued()), wanted, self.said())
        assert len(self.queued()) == len(set(self.queued())) == wanted


@contextmanager
def flowing(url: str, config: Kafka, *, consumers: int = 0) -> Iterator[Flow]:
    """A relay, and so many consumers, until the end."""
    with ExitStack() as stack:
        company = Company(stack.enter_context(closing(Committer(url))))
        lines = stack.enter_context(capture_logs())
        stop = threading.Event()
        stack.enter_context(at_work(Relay(url, config, stop), stop))
        for _ in range(consumers):
            stack.enter_context(consuming(url, config))
        yield Flow(url, config, company, lines)


@contextmanager
def consuming(url: str, config: Kafka) -> Iterator[FanOut]:
    stop = threading.Event()
    consumer = FanOut(url, config, stop, keep=KEEP)
    with at_work(consumer, stop):
        yield consumer


@contextmanager
def at_work(worker: Relay | FanOut, stop: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=lambda: loop.run(worker, stop, describe=describe))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        worker.close()
