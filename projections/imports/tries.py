"""How often workers took an import up where it is, and neither moved it on nor gave it back: because it killed them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg import Cursor


def take_up(cursor: Cursor[Any], id_: UUID) -> int:
    """Count this time; how many there have been since it was last moved on."""
    cursor.execute(
        """
        UPDATE imports SET tries = CASE WHEN tried_at = done THEN tries + 1 ELSE 1 END, tried_at = done WHERE id = %s
        RETURNING tries
        """,
        (id_,),
    )
    (tries,) = cursor.fetchone() or (1,)
    return int(tries)


def give_back(cursor: Cursor[Any], id_: UUID) -> None:
    """The time that was counted last does not count: who took it up is alive."""
    cursor.execute("UPDATE imports SET tries = greatest(tries - 1, 0) WHERE id = %s", (id_,))


def forget(cursor: Cursor[Any], id_: UUID) -> None:
    """What was to be done is done, or is not done any more."""
    cursor.execute("UPDATE imports SET tries = 0 WHERE id = %s", (id_,))
