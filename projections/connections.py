"""Connections to PostgreSQL that never wait forever: their common options, and a deadline for every wait.

The system notices a dead peer, but not one that takes everything we send and says nothing: that is what the deadline is for. It is
later than the server's own timeout, which ends a statement that is merely slow, with a reason. A statement that may take as long as
it likes has no deadline: while we wait, another connection asks whether the server is still working on it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Literal, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection, OperationalError

T = TypeVar("T")

Role = Literal["reader", "writer"]
Settings = Mapping[str, str | int]
"""Settings of a session. They are set once it is open: a pooler refuses or ignores those that come with the start of one."""
THROUGH_INDEXES: Settings = {"enable_seqscan": "off", "enable_bitmapscan": "off", "plan_cache_mode": "force_generic_plan"}
"""For questions that an index answers in order: without statistics, the planner takes a table for small and sorts it. Their plan is
the same for all parameters, and planning takes longer than they do."""
OF_ALL_DEALS: Settings = {"work_mem": "32MB"}
"""For questions that add up all deals of an org by group: in less, their tables go to temporary files and back."""
BY_KEYS: Settings = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""For statements that find rows by their keys: a plan made while a table is small stays while it grows."""
ALIVE: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
"""Options by which our side notices a dead peer."""
COMMON: Settings = {
    "search_path": "public",
    "timezone": "UTC",
    "jit": "off",
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
}
_SET = "SELECT set_config(name, value, false) FROM unnest(%(names)s::text[], %(values)s::text[]) AS settings (name, value)"
ASK_SECONDS = 10.0
"""After how long without an answer a patient connection asks, again and again."""
DOUBTS = 2
"""How many questions in a row must not find the server working before we give up: a result may be on its way."""
QUESTION_MS = 15_000
CLIENT_CHECK_MS = 10_000
"""How often the server checks, during a patient connection's statement, whether we are still there."""


class Silent(OperationalError):
    """The database took what was sent and said nothing for longer than a statement may take. The connection is closed."""

    def __init__(self) -> None:
        super().__init__("The database does not answer: the connection was given up.")


GONE = Silent, psycopg.errors.ConnectionTimeout
"""The exceptions that mean a silent database."""


def seconds(statement_timeout_ms: int) -> float:
    """Seconds that our side waits for a statement, or for the next part of its result."""
    return statement_timeout_ms / 1000 * 1.2


def connect_seconds(statement_timeout_ms: int) -> int:
    """Seconds that connecting may take; libpq has a minimum of two."""
    return min(5, max(2, statement_timeout_ms // 3000))


class Bounded(Connection[Any]):
    """``patience`` is set by ``connect``. A wait with a ``timeout`` of its own, as for a notification, uses that."""

    patience = 18.0
    doubts = 1

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("timeout") is not None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_within(gen, self.patience, self.is_at_work, self.doubts), *args, **kwargs)
        except Silent:
            self.close()
            raise

    def is_at_work(self) -> bool:
        """Whether the server may need longer for the present statement."""
        return False


class Patient(Bounded):
    """A connection made by ``connect_patiently``."""

    doubts = DOUBTS
    url = ""
    pid = 0

    def is_at_work(self) -> bool:
        try:
            with connect(self.url, "question", statement_timeout_ms=QUESTION_MS) as other:
                found = other.execute(
                    "SELECT state LIKE 'idle%%' FROM pg_stat_activity WHERE pid = %(pid)s", {"pid": self.pid}
                ).fetchone()
        except OperationalError as error:  # a server that refuses us a connection is alive; the system watches our own
            return not isinstance(error, GONE)
        return bool(found and not found[0])


class AsyncBounded(AsyncConnection[Any]):
    """The async ``Bounded``."""

    patience = 18.0

    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("timeout") is not None:
            return await super().wait(gen, *args, **kwargs)
        try:
            return await super().wait(_within(gen, self.patience), *args, **kwargs)
        except Silent:
            self.pgconn.finish()
            raise


def connect(
    url: str, name: str, settings: Mapping[str, str | int] = {}, *, statement_timeout_ms: int, role: Role | None = None
) -> Bounded:
    """A connection in autocommit, with the rights of a role or of the user. Raises ``psycopg.OperationalError`` if there is no
    server."""
    connection = connect_plainly(url, name, statement_timeout_ms=statement_timeout_ms)
    try:
        connection.execute(_SET, _settings(settings, statement_timeout_ms, role))
    except BaseException:
        connection.close()
        raise
    return connection


def connect_plainly(url: str, name: str, *, statement_timeout_ms: int) -> Bounded:
    """As ``connect``, in a session as the server gives it: nothing is set, but we do not wait longer either."""
    connection: Bounded = Bounded.connect(url, **_given(name, statement_timeout_ms))
    connection.patience = seconds(statement_timeout_ms)
    return connection


def connect_patiently(url: str, name: str, settings: Mapping[str, str | int] = {}, *, statement_timeout_ms: int = 0) -> Patient:
    """As ``connect``, for statements that may take hours, or any time."""
    connection: Patient = Patient.connect(url, **{**_given(name, statement_timeout_ms), "connect_timeout": 5})
    connection.patience, connection.url = ASK_SECONDS, url
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    connection.pid = row[0]
    connection.execute(_SET, _settings(settings, statement_timeout_ms))
    with suppress(psycopg.DataError):  # a server on Windows cannot
        connection.execute(f"SET client_connection_check_interval = {CLIENT_CHECK_MS}")
    return connection


async def connect_async(
    url: str, name: str, settings: Mapping[str, str | int] = {}, *, statement_timeout_ms: int, role: Role
) -> AsyncBounded:
    """As ``connect``."""
    connection: AsyncBounded = await AsyncBounded.connect(url, **_given(name, statement_timeout_ms))
    connection.patience = seconds(statement_timeout_ms)
    try:
        await connection.execute(_SET, _settings(settings, statement_timeout_ms, role))
    except BaseException:
        await connection.close()
        raise
    return connection


def _given(name: str, statement_timeout_ms: int) -> dict[str, Any]:
    return {
        "autocommit": True,
        "connect_timeout": connect_seconds(statement_timeout_ms),
        "application_name": f"opportunities {name}",
        **ALIVE,
    }


def _settings(settings: Settings, statement_timeout_ms: int, role: Role | None = None) -> dict[str, list[str]]:
    """The parameters of ``_SET``: the role comes last, because it may set less."""
    chosen: dict[str, str | int] = {**COMMON, "statement_timeout": statement_timeout_ms, **settings}
    if role:
        chosen["role"] = f"opportunities_{role}"
    return {"names": list(chosen), "values": [str(value) for value in chosen.values()]}


def _within(
    gen: Generator[Any, Any, T], patience: float, is_at_work: Callable[[], bool] = lambda: False, most: int = 1
) -> Generator[Any, Any, T]:
    """A psycopg generator that gives up when nothing has come for ``patience`` seconds and the server is not working, ``most``
    times in a row. It is woken ten times a second."""
    try:
        wanted = next(gen)
        at, doubts = monotonic(), 0
        while True:
            ready = yield wanted
            wanted = gen.send(ready)
            if ready:
                at, doubts = monotonic(), 0
            elif monotonic() - at > patience:
                doubts = 0 if is_at_work() else doubts + 1
                if doubts >= most:
                    raise Silent
                at = monotonic()
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
