"""An org whose commands go straight to a committer, past HTTP: for tests of the write path and of what it writes.

Nothing is mocked: the committer, the database and the token are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from app.writing.committer import Committer
from app.writing.envelope import Envelope, Outcome, Result
from app.writing.provisioning import create_org, issue_token
from domain import account, catalog, event_store, opportunity, user
from domain.event import Command, Recorded, State
from domain.fold import changes
from domain.permissions import OPERATOR, Actor, Role

FINGERPRINT, ANOTHER = b"f" * 32, b"a" * 32


@dataclass(frozen=True)
class Caller:
    """Who sends commands: a user with a token."""

    actor: Actor
    token_id: UUID
    token: str


class Company:
    """An org with an admin and an account, on a committer."""

    def __init__(self, committer: Committer, name: str = "Acme", currency: str = "USD") -> None:
        self.committer = committer
        made = create_org(committer, name, currency, "admin@acme.example")
        self.id = made.org_id
        admin = Actor(made.user_id, "admin", "admin@acme.example")
        token_id, token = issue_token(committer, self.id, made.user_id, "admin's")
        self.admin = Caller(admin, token_id, token)
        self.account_id = self.do(account.Create(name="Acme Corp")).stream_id

    def envelope(self, command: Command, stream_id: UUID | None = None, *, by: Caller | None = None, **more: Any) -> Envelope:
        """A command as the API would submit it; ``more`` are further fields of the envelope."""
        caller = by or self.admin
        kind = catalog.kind_of(type(command))
        usual: dict[str, Any] = {"token_id": caller.token_id, "request_id": "test"}
        return Envelope(kind, stream_id or uuid7(), command, self.id, caller.actor, **{**usual, **more})

    def creation(self, name: str = "Annual 2026", **fields: Any) -> opportunity.Create:
        return opportunity.Create(name=name, account_id=self.account_id, **fields)

    def do(self, command: Command, stream_id: UUID | None = None, **more: Any) -> Outcome:
        """The outcome of one command. Raises its refusal."""
        return outcome(self.committer.run([self.envelope(command, stream_id, **more)])[0])

    def deal(self, name: str = "Annual 2026", **fields: Any) -> UUID:
        """A new open deal of the admin's."""
        return self.do(self.creation(name, **fields)).stream_id

    def user(self, role: Role, email: str = "rep@acme.example") -> Caller:
        id_ = self.do(user.Create(email=email, name=role, role=role)).stream_id
        token_id, token = issue_token(self.committer, self.id, id_, "theirs")
        return Caller(Actor(id_, role, email), token_id, token)

    def as_operator(self, command: Command, stream_id: UUID) -> None:
        """Done from elsewhere, by the operator."""
        kind = catalog.kind_of(type(command))
        self.committer.run_as_one([Envelope(kind, stream_id, command, self.id, OPERATOR, render=False)])


def outcome(result: Result) -> Outcome:
    if isinstance(result, Exception):
        raise result
    return result


def stream(url: str, id_: UUID) -> list[Recorded]:
    """The events of a stream as they are in the log."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        return event_store.load(cursor, {id_: 0})


def state(url: str, id_: UUID) -> Any:
    """What the events of a stream come to, or None for an empty one."""
    return fold(stream(url, id_))


def fold(events: list[Recorded]) -> State | None:
    found = changes(events, {})
    return found[-1].after if found else None


def log(url: str) -> list[Recorded]:
    """The whole log in order of position."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        return event_store.read_after(cursor, 0, 1_000_000)


def events_of(url: str, company: Company) -> int:
    return sum(recorded.meta.org_id == company.id for recorded in log(url))


def named(url: str, company: Company) -> list[str]:
    """The names of the org's live deals, each as often as there are such deals."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name FROM opportunities WHERE org_id = %s AND valid_to = 'infinity' AND NOT deleted ORDER BY 1",
            (company.id,),
        ).fetchall()
    return [row[0] for row in rows]


@contextmanager
def holding_the_log(url: str) -> Iterator[None]:
    """Somebody else is appending, and takes their time."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        event_store.lock(cursor)
        yield
        connection.rollback()


def set_log_clock(url: str, instant: datetime) -> None:
    """As if the last event had been appended then: later than now, the database's clock has gone back since."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT setval('log_clock', (extract(epoch FROM %s::timestamptz) * 1000000)::bigint)", (instant,))


@pytest.fixture
def company(shared_database_url: str) -> Iterator[Company]:
    """An org of the test's own."""
    with closing(Committer(shared_database_url)) as committer:
        yield Company(committer)


@pytest.fixture
def elsewhere(shared_database_url: str) -> Iterator[Committer]:
    """The committer of another process."""
    with closing(Committer(shared_database_url)) as committer:
        yield committer
