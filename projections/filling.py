"""One worker of a rebuild: it reads streams of the log and copies their rows into the empty shadow tables.

All of it is one transaction, which holds the tables: a rebuild that follows a broken one cannot drop them, and fill others of the
same names, while a worker of the broken one may still write. As a process of its own (``python -m projections.filling``) it ends
when the process that started it does.
"""

from __future__ import annotations

import gc
import pickle
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.connection import Connection as Pipe
from typing import NamedTuple
from uuid import UUID

from psycopg import sql

from domain import event_store, fold
from domain.event import State
from domain.event_store import Span
from projections.copies import Copies
from projections.projection import Projection
from projections.registry import READ_MODELS
from projections.shadow_schema import connect

CHUNK = 2_000


class Share(NamedTuple):
    """What all workers of a rebuild are told."""

    url: str
    names: Sequence[str]
    """Of the read models."""
    upto: int
    """The position up to which the log is read."""


class Filling:
    """Its tables are full once ``commit`` was called, and empty if it never is."""

    def __init__(self, url: str, models: Sequence[Projection], upto: int) -> None:
        self._connection = connect(url)
        self._models = models
        self._upto = upto
        tables = sql.SQL(", ").join(sql.Identifier(table) for model in models for table in model.tables)
        self._connection.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(tables))

    def fill(self, span: Span) -> int:
        """The number of events of these streams."""
        done = 0
        states: dict[UUID, State] = {}
        copies = Copies(self._connection)
        with closing(event_store.by_stream(self._connection, self._upto, CHUNK, span)) as log:
            try:
                for chunk in log:
                    changes = fold.changes(chunk, states)
                    states = {changes[-1].after.id: changes[-1].after}  # of the stream that may continue in the next chunk
                    for model in self._models:
                        model.fill(copies, changes)
                    copies.write()
                    done += len(chunk)
                copies.end()
            except BaseException:
                self._connection.close()  # first: while it is open, closing the log would ask the server, which may be silent
                raise
        return done

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        self._connection.close()


def serve(pipe: Pipe) -> None:
    """Fill the spans that come, and answer each with the number of its events; commit when None comes, and answer None.

    An error is answered too, and is the last answer.
    """
    share: Share = pipe.recv()
    try:
        models = [model for model in READ_MODELS if model.name in share.names]
        with closing(Filling(share.url, models, share.upto)) as filling:
            while (span := pipe.recv()) is not None:
                pipe.send(filling.fill(span))
            filling.commit()
        pipe.send(None)
    except (EOFError, BrokenPipeError):
        return  # nobody is there any more
    except Exception as error:  # noqa: BLE001  raised again by the process that asked
        pipe.send(_told(error))


def _told(error: Exception) -> Exception:
    """The error as another process can raise it, with where it was raised here."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    except Exception:  # noqa: BLE001  whatever keeps it from being sent
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def main() -> None:
    # Hardly any of the many small objects are in cycles.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    with Pipe(int(sys.argv[1])) as pipe:
        serve(pipe)


if __name__ == "__main__":
    main()
