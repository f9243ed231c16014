"""Connections to PostgreSQL that wait for nobody for ever: what all of them have in common, and a deadline for every wait.

The system notices a peer that is gone, but not one that takes all we send and says nothing: that is what the deadline is for. It
is beyond the server's own, for a statement that is merely slow is ended there, with its reason.
"""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

from psycopg import AsyncConnection, Connection, OperationalError

T = TypeVar("T")

ALIVE: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
"""What our side does to notice a dead peer."""
SERVER_ALIVE = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
"""What the server's side does, as options."""


class Silent(OperationalError):
    """The database took what was sent and said nothing for longer than a statement may take. The connection is closed."""

    def __init__(self) -> None:
        super().__init__("The database does not answer: the connection was given up.")


def seconds(statement_timeout_ms: int) -> float:
    """How long our side waits for a statement, or for the next part of its answer."""
    return statement_timeout_ms / 1000 * 1.2


def connect_seconds(statement_timeout_ms: int) -> int:
    """How long a connection may take to come about; libpq has two seconds at least."""
    return min(5, max(2, statement_timeout_ms // 3000))


class Bounded(Connection[Any]):
    """``patience`` is set by ``connect``."""

    patience = 18.0

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().wait(_within(gen, self.patience), *args, **kwargs)
        except Silent:
            self.close()
            raise


class AsyncBounded(AsyncConnection[Any]):
    """As ``Bounded``."""

    patience = 18.0

    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().wait(_within(gen, self.patience), *args, **kwargs)
        except Silent:
            self.pgconn.finish()
            raise


def connect(url: str, name: str, options: str, *, statement_timeout_ms: int) -> Bounded:
    """In autocommit. Raises ``psycopg.OperationalError`` if there is no server."""
    connection: Bounded = Bounded.connect(url, **_given(name, options, statement_timeout_ms))
    connection.patience = seconds(statement_timeout_ms)
    return connection


async def connect_async(url: str, name: str, options: str, *, statement_timeout_ms: int) -> AsyncBounded:
    """As ``connect``."""
    connection: AsyncBounded = await AsyncBounded.connect(url, **_given(name, options, statement_timeout_ms))
    connection.patience = seconds(statement_timeout_ms)
    return connection


def _given(name: str, options: str, statement_timeout_ms: int) -> dict[str, Any]:
    common = f"-c statement_timeout={statement_timeout_ms} -c search_path=public -c timezone=UTC -c jit=off {SERVER_ALIVE}"
    return {
        "autocommit": True,
        "connect_timeout": connect_seconds(statement_timeout_ms),
        "application_name": f"opportunities {name}",
        "options": f"{common} {options}",
        **ALIVE,
    }


def _within(gen: Generator[Any, Any, T], patience: float) -> Generator[Any, Any, T]:
    """A generator of psycopg's that gives up when nothing comes for so long. It is woken ten times a second."""
    try:
        wanted = next(gen)
        at = monotonic()
        while True:
            ready = yield wanted
            wanted = gen.send(ready)
            if ready:
                at = monotonic()
            elif monotonic() - at > patience:
                raise Silent
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
