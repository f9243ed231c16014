"""Rebuilds read models from the log beside the live ones and swaps them in while reads and writes go on; verifies them.

A rebuild fills shadow tables in a schema of their own, in several processes, with the rows that ``apply`` keeps in the live ones,
catches up with what was appended meanwhile, and swaps under the log's lock. ``verify`` does the same but compares instead. Both
refuse to run beside another rebuild of the same database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from projections.projection import Projection
from projections.registry import READ_MODELS
from projections.shadow_schema import SCHEMA, RebuildError, connect
from projections.shadows import Difference, Progress, Shadows
from projections.swap import Swap

# Rebuilds of one database take this lock.
LOCK = 7_240_511_807


def rebuild(url: str, names: Iterable[str], progress: Progress = lambda done, total: None, *, workers: int | None = None) -> int:
    """Rebuild the named read models; returns the number of events read. Raises ``RebuildError``, ``psycopg.Error``.

    Without ``workers`` there are as many as the machine has cores, if the log is long enough.
    """
    models = _named(names)
    with _shadows(url, models) as shadows:
        events = shadows.fill(progress, workers)
        Swap(shadows).run()
    return events


def verify(url: str, progress: Progress = lambda done, total: None, *, workers: int | None = None) -> list[Difference]:
    """The differences between the live read models and freshly built ones, at one position of the log."""
    with _shadows(url, READ_MODELS) as shadows:
        shadows.fill(progress, workers)
        return shadows.compare()


def _named(names: Iterable[str]) -> list[Projection]:
    by_name = {model.name: model for model in READ_MODELS}
    if unknown := [name for name in names if name not in by_name]:
        raise RebuildError(f"There is no read model {unknown[0]!r}; there are {', '.join(by_name)}.")
    return [by_name[name] for name in names]


@contextmanager
def _shadows(url: str, models: Sequence[Projection]) -> Iterator[Shadows]:
    with ExitStack() as stack:
        control = stack.enter_context(closing(connect(url)))
        control.autocommit = True
        row = control.execute("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK}).fetchone()
        if not row or not row[0]:
            raise RebuildError("Another rebuild or verify is running on this database: wait until it ends.")
        control.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        control.execute(f"CREATE SCHEMA {SCHEMA}")
        stack.callback(_drop, control)
        try:
            yield Shadows(url, control, models)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # a connection was lost, and so this one may be too; the next rebuild drops what is left
                control.close()
            raise


def _drop(control: Connection[Any]) -> None:
    if not control.closed:
        control.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        control.execute("SELECT pg_advisory_unlock(%(lock)s)", {"lock": LOCK})  # the server may be slow to notice that we are gone
