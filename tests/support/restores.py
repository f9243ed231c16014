"""A database that went back: a copy that was made of it, which takes its place; and what a relay and a consumer make of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from psycopg import sql

from app.cli import restoring
from app.settings import Settings, load
from app.writing.committer import Committer
from consumers.kafka_settings import Kafka
from consumers.relay import Relay
from consumers.webhooks.fan_out import FanOut
from domain import opportunity
from domain.epoch import Epoch
from tests.support import postgres
from tests.support.commands import Company
from tests.support.kafka import settings

KEEP = timedelta(days=30)


@contextmanager
def backup(url: str) -> Iterator[str]:
    """The URL of a copy of a database as it is now; nobody may be connected to it."""
    with postgres.database(urlsplit(url).path.removeprefix("/")) as copy:
        yield copy


@contextmanager
def put_in_place(copy: str, url: str) -> Iterator[None]:
    """The copy takes the database's place, under the same URL, while processes work on it."""
    name, other = (urlsplit(one).path.removeprefix("/") for one in (url, copy))
    moves = [(name, f"{name}_gone"), (other, name)]
    with psycopg.connect(postgres.server_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        for before, after in moves:
            connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (before,))
            connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after)))
        try:
            yield
        finally:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(moves[0][1])))


@contextmanager
def company_on(url: str, known: Company | None = None) -> Iterator[Company]:
    """An org on a database, or one that is in it, for as long as its connection is needed."""
    with closing(Committer(url)) as committer:
        if known is None:
            yield Company(committer)
            return
        again = Company.__new__(Company)
        again.__dict__ |= known.__dict__ | {"committer": committer}
        yield again


def change(company: Company, deal: UUID, *names: str) -> None:
    for name in names:
        company.do(opportunity.Update(name=name), deal)


def relay(url: str, config: Kafka) -> None:
    """Relay all there is. Raises ``LogWentBack``."""
    with closing(Relay(url, config, threading.Event())) as worker:
        while worker.step():
            pass


def consume(url: str, config: Kafka, until: int) -> None:
    """Fan out until so many deliveries are queued. Raises ``LogWentBack``."""
    from tests.support.webhooks import execute

    with closing(FanOut(url, config, threading.Event(), keep=KEEP)) as worker:
        while execute(url, "SELECT count(*) FROM webhook_deliveries") != [(until,)]:
            worker.step()


def configured(url: str, config: Kafka) -> Settings:
    return load(settings(config), database_url=url)


def restored(url: str, config: Kafka, *, above: int | None = None, good: int | None = None) -> Epoch:
    """What ``opportunities restored --yes`` does."""
    made = restoring.plan(configured(url, config), above, good)
    assert made.epoch is not None, made.said
    restoring.begin(url, made.epoch)
    return made.epoch
