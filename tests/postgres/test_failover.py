"""PostgreSQL ends under load and comes back: as the standby, which is promoted, or as itself, restarted.

No acknowledged write is lost, clients see nothing but 503 meanwhile, and nothing of ours needs a restart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql

from app.dev.postgres import Postgres
from app.migrations import migrate
from app.process.children import wait_until
from app.process.failures import Unavailable
from app.writing.committer import Committer
from consumers.kafka_settings import Kafka
from domain import opportunity
from tests.support.commands import Company, log
from tests.support.crashing import Load, check
from tests.support.kafka import has_the_last, whole
from tests.support.namespace import namespace
from tests.support.replication import WIRE, replicated
from tests.support.sse import Events
from tests.support.webhooks import System, complete, system
from tests.support.worker import Worker

pytestmark = [pytest.mark.e2e, pytest.mark.long]

WITHIN = 10.0
"""Seconds from the new primary on in which everybody works again."""
SILENT_WITHIN = 60.0
"""The same where the old one says nothing: a statement's time limit and a fifth, and the five seconds that connecting may take."""
PATIENCE = 240
"""Seconds in which what follows the log must have gone on; its statements may take a minute."""


class Product(NamedTuple):
    """An API, a relay and webhooks at work, under a load of writes and with a reader of the stream."""

    system: System
    load: Load
    events: Events

    def works(self) -> None:
        """Writes, the stream and webhooks go on."""
        seen = len(self.system.receiver.at("/hooks"))
        self.load.more(25)
        assert self.events.take(5)
        assert wait_until(lambda: len(self.system.receiver.at("/hooks")) > seen, PATIENCE)


@contextmanager
def at_work(url: str, kafka: Kafka, folder: Path) -> Iterator[Product]:
    """In the end everything that was acknowledged is there, on the topic, and at the webhooks' receiver."""
    with ExitStack() as stack:
        made = stack.enter_context(system(url, kafka, relay=False))
        made.endpoint("/hooks", "opportunity.stage_changed")
        workers = [Worker(verb, env=made.env, log=folder / verb) for verb in ("relay", "webhooks")]
        for worker in workers:
            worker.start()
            stack.callback(worker.stop)
        load = Load(made.server, made.org, made.account["id"])
        with Events(made.server.port, made.org.token) as events:
            load.start()
            try:
                product = Product(made, load, events)
                product.works()
                yield product
                product.works()
            finally:
                load.stop()
        assert load.refusals() <= {"503 unavailable"}
        assert all(worker.runs() for worker in workers), "a part of ours ended"
        check(url, load)
        complete(made, "/hooks", "opportunity.stage_changed")
        assert wait_until(lambda: has_the_last(url, kafka), 60)
        whole(url, kafka)


def answered_since(load: Load, instant: float) -> float:
    """Seconds from an instant until the next write succeeded."""

    def first() -> float | None:
        return min((at for at, answer in list(load.answers) if answer < "300" and at > instant), default=None)

    assert wait_until(lambda: first() is not None, PATIENCE)
    return (first() or 0) - instant


def test_a_standby_that_is_promoted_under_load_has_every_acknowledged_write(tmp_path: Path, kafka: Kafka) -> None:
    with replicated(tmp_path) as pair:
        migrate(pair.url)
        with at_work(pair.url, kafka, tmp_path) as product:
            pair.primary.kill()
            assert wait_until(lambda: "503 unavailable" in product.load.refusals(), 60)
            pair.promote()
            took = answered_since(product.load, time.monotonic())
        print(f"a write succeeded {took:.2f} s after the promotion, none did for {product.load.gap():.2f} s")
        assert took < WITHIN


@pytest.mark.parametrize("cut", [False, True], ids=["stopped", "cut off"])
def test_a_primary_that_falls_silent_while_its_standby_is_promoted(tmp_path: Path, kafka: Kafka, cut: bool) -> None:
    """No connection is closed: its machine hangs, or the network to it is gone. Whoever promotes the standby keeps it away."""
    with ExitStack() as stack:
        space = stack.enter_context(namespace()) if cut else None
        pair = stack.enter_context(replicated(tmp_path, space))
        stack.callback(pair.fence)
        migrate(pair.url)
        with at_work(pair.url, kafka, tmp_path) as product:
            if space is not None:
                space.cut(WIRE)
            else:
                pair.stop_the_primary()
            pair.promote()
            took = answered_since(product.load, time.monotonic())
            product.works()
            pair.fence()
            if space is not None:
                space.mend(WIRE)
        print(f"a write succeeded {took:.2f} s after the promotion, none did for {product.load.gap():.2f} s")
        assert took < SILENT_WITHIN


def test_a_restart_of_postgresql_under_load(tmp_path: Path, kafka: Kafka) -> None:
    """As an update of its minor version does it: sessions are cut, and the server is back in a second."""
    server = Postgres.start(tmp_path / "data")
    try:
        migrate(server.url)
        with at_work(server.url, kafka, tmp_path) as product:
            server.restart()
            took = answered_since(product.load, time.monotonic())
        print(f"a write succeeded {took:.2f} s after the restart, none did for {product.load.gap():.2f} s")
        assert took < WITHIN
    finally:
        server.stop()


def test_a_write_that_no_standby_has_is_not_acknowledged(tmp_path: Path) -> None:
    """PostgreSQL calls a transaction committed whose wait for the standby was cut short by the statement's timeout."""
    server = Postgres.start(tmp_path / "data")
    try:
        migrate(server.url)
        with closing(Committer(server.url, statement_timeout_ms=1_000)) as committer:
            company = Company(committer)
            deal = company.deal()
            before = len(log(server.url))
            standbys(server, "nobody")
            with pytest.raises(Unavailable):
                company.do(opportunity.Update(name="Changed"), deal)
            assert len(log(server.url)) == before, "nobody sees it yet"
            standbys(server, "")
            assert wait_until(lambda: len(log(server.url)) == before + 1, 30)
            assert company.do(opportunity.Update(name="Again"), deal).version == 3
    finally:
        server.stop()


def standbys(server: Postgres, names: str) -> None:
    """Let the server wait for these when it commits."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(sql.Literal(names)))
        connection.execute("SELECT pg_reload_conf()")

    def known() -> bool:
        with psycopg.connect(server.url) as connection:
            return connection.execute("SHOW synchronous_standby_names").fetchone() == (names,)

    assert wait_until(known, 30)
