"""Whether the database has the schema of this version, as readiness reports it."""

from __future__ import annotations

import asyncio
from time import monotonic

import psycopg

from app import migrations
from app.http.problems import Refused
from app.migrations import prerequisites
from app.process.failures import Unavailable


class SchemaCheck:
    """Whether the database has the schema of this version; checked at most every ``SECONDS``."""

    SECONDS = 5.0

    def __init__(self, url: str) -> None:
        self._url = url
        self._checked_at = -self.SECONDS
        self._lock = asyncio.Lock()

    def forget(self) -> None:
        """Check again on the next request."""
        self._checked_at = -self.SECONDS

    async def check(self) -> None:
        """Raises ``Refused``, ``Unavailable``."""
        async with self._lock:
            if monotonic() - self._checked_at < self.SECONDS:
                return
            try:
                await asyncio.to_thread(migrations.check, self._url)
            except prerequisites.Unmet as error:  # its text names users, and is for the operator
                detail = "The database or its user lacks something: `opportunities doctor` says what."
                raise Refused(503, "schema", detail, {"retry-after": "5"}) from error
            except migrations.SchemaError as error:
                raise Refused(503, "schema", str(error), {"retry-after": "5"}) from error
            except psycopg.Error as error:
                raise Unavailable(str(error)) from error
            self._checked_at = monotonic()
