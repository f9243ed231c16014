"""When sums are folded, and that nobody sees a difference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest

from app.migrations import migrate
from app.writing.committer import Committer
from domain import opportunity
from projections.forecast import SUMS, SUMS_OF
from projections.forecast.folding import EVERY, FOLDS, OFTEN, TABLES, fold_point, room
from projections.forecast.ledger import ForecastLedger
from projections.rebuild import rebuild, verify
from tests.projections.forecast.books import skip_to_a_fold
from tests.support.commands import Company

VIEWS = tuple(SUMS_OF)
KEYS = {
    "forecast_balances": ["period", "grain"],
    "forecast_movements": ["period"],
    "forecast_owners": ["period", "grain", "owner_id"],
    "forecast_owned": ["grain", "owner_id"],
}
Sums = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def sums(connection: psycopg.Connection[Any], names: tuple[str, ...] = VIEWS) -> Sums:
    """All sums, added up by the reader; without those of which nothing is left."""
    found: Sums = {}
    for name, view in zip(names, VIEWS, strict=True):
        keys = ["org_id", "day", "currency", "status", *KEYS[view]]
        amounts = (*SUMS, *SUMS_OF[view])
        added = ", ".join(f"coalesce(sum({amount}), 0) AS {amount}" for amount in amounts)
        something = " OR ".join(f"coalesce(sum({amount}), 0) <> 0" for amount in amounts)
        group = ", ".join(f"{key}::text" for key in keys)
        asked = f"SELECT {group}, {added} FROM {name} GROUP BY {', '.join(keys)} HAVING {something} ORDER BY {group}"
        found[view] = connection.execute(asked.encode()).fetchall()
    return found


def point(connection: psycopg.Connection[Any]) -> int | None:
    row = connection.execute("SELECT position FROM forecast_fold WHERE part = 'months'").fetchone()
    return row[0] if row else None


def beyond(connection: psycopg.Connection[Any], part: str = "months") -> int:
    """How many entries readers add up themselves."""
    row = connection.execute(
        "SELECT count(*) FROM forecast_entries WHERE position > coalesce((SELECT position FROM forecast_fold WHERE part = %s), 0)",
        (part,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def create(company: Company, deals: int, batch: int) -> None:
    commands = [company.creation(amount=Decimal(n + 1), close_date=date(2026, 1, 1 + n % 28)) for n in range(deals)]
    for start in range(0, deals, batch):
        results = company.committer.run([company.envelope(command) for command in commands[start : start + batch]])
        assert not [result for result in results if isinstance(result, Exception)]


def test_events_fold_up_to_the_last_multiple_among_their_positions() -> None:
    assert fold_point([9], 10) is None
    assert fold_point([9, 10, 11], 10) == 10
    assert fold_point([10, 30, 31], 10) == 30
    assert fold_point([11, 29], 10) is None, "positions have gaps"
    assert fold_point([], 10) is None
    assert fold_point([4, 10, 14, 20], 10, 4) == 14


def test_no_two_parts_with_many_entries_are_folded_in_one_short_transaction() -> None:
    places = sorted(part.at for part, _ in FOLDS if part.every == EVERY)
    assert min(later - place for place, later in pairwise(places)) >= 128
    assert len(places) == len(FOLDS) - 2


def test_the_events_before_the_next_fold_are_known() -> None:
    assert [room(EVERY), room(1), room(127), room(128), room(129)] == [0, 127, 1, 0, 127]
    assert room(OFTEN) == 64, "the current balances, which are folded there, do not count"


def test_a_reader_adds_the_entries_of_few_positions(company: Company, connection: psycopg.Connection[Any]) -> None:
    create(company, 3, 1)
    assert point(connection) is None
    assert beyond(connection) == 3
    skip_to_a_fold(connection, 20)
    create(company, 2 * OFTEN, 7)
    row = connection.execute("SELECT max(notification_id) FROM opportunities_events").fetchone()
    assert row is not None
    assert point(connection) == row[0] - row[0] % EVERY > EVERY
    assert beyond(connection) == row[0] % EVERY
    assert beyond(connection, "current_months") == row[0] % OFTEN
    for part, which in (("months", "<"), ("current_months", "=")):
        folded = f"SELECT sum(n) FROM forecast_folded_balances WHERE period {which} 'infinity' AND grain = 'month'"
        assert connection.execute(folded.encode()).fetchone() == (2 * OFTEN + 3 - beyond(connection, part),)


def test_a_transaction_that_is_written_in_parts_folds_once_at_its_end(
    company: Company, connection: psycopg.Connection[Any]
) -> None:
    create(company, 1, 1)
    connection.execute(
        """
        CREATE TABLE moved (part text, position bigint);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO moved VALUES (NEW.part, NEW.position); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT OR UPDATE ON forecast_fold FOR EACH ROW EXECUTE FUNCTION note();
        """
    )
    units = [[company.envelope(company.creation(amount=Decimal(7), close_date=date(2026, 1, 1)))] for _ in range(4 * OFTEN)]
    company.committer.run_units(units)
    (last,) = connection.execute("SELECT max(notification_id) FROM opportunities_events").fetchone() or (0,)
    moved = connection.execute("SELECT position FROM moved WHERE part = 'current_months'").fetchall()
    assert moved == [(last - last % OFTEN,)]


def test_events_of_other_records_fold_too(company: Company, connection: psycopg.Connection[Any]) -> None:
    create(company, 1, 1)
    skip_to_a_fold(connection, 1)
    company.user("rep")
    assert beyond(connection) == 0


def test_a_reader_of_an_older_snapshot_sees_the_sums_of_that_snapshot(company: Company, database_url: str) -> None:
    create(company, 5, 5)
    with psycopg.connect(database_url) as reader, psycopg.connect(database_url, autocommit=True) as other:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        before = sums(reader)
        skip_to_a_fold(other, 2)
        create(company, 4, 1)
        assert point(other) is not None
        assert sums(reader) == before
        assert sums(other) != before


def test_what_is_folded_is_what_was_read_before(company: Company, connection: psycopg.Connection[Any]) -> None:
    create(company, 9, 3)
    deal = company.deal(amount=Decimal(70), close_date=date(2026, 3, 3))
    won = opportunity.ChangeStage(stage="won", actual_amount=Decimal(50), actual_close_date=date(2026, 2, 2))
    company.do(won, deal)
    company.do(opportunity.Update(owner_id=cast("UUID", company.user("rep").actor.user_id)), deal)
    before = sums(connection)
    assert sums(connection, TABLES[1:]) == {view: [] for view in VIEWS}
    for number, (part, _) in enumerate(FOLDS):
        skip_to_a_fold(connection, 1, part.at)
        company.user("rep", f"user{number}@acme.example")
        assert sums(connection) == before
    assert sums(connection, TABLES[1:]) == before


def test_a_transaction_that_fails_folds_nothing(company: Company, connection: psycopg.Connection[Any]) -> None:
    create(company, 3, 3)
    before = sums(connection)
    skip_to_a_fold(connection, 2)
    connection.execute("ALTER TABLE forecast_fold ADD CONSTRAINT nothing CHECK (position < 0)")
    with pytest.raises(psycopg.errors.CheckViolation):
        company.committer.run_as_one([company.envelope(company.creation()) for _ in range(3)])
    assert (sums(connection), point(connection)) == (before, None)


def test_a_rebuild_folds_as_far_as_the_log_says(company: Company, database_url: str) -> None:
    create(company, 9, 3)
    with psycopg.connect(database_url, autocommit=True) as connection:
        skip_to_a_fold(connection, 4)
        create(company, 20, 5)
        before, to = sums(connection), point(connection)
        assert to is not None
        assert verify(database_url) == []
        rebuild(database_url, ["forecast"])
        assert (sums(connection), point(connection)) == (before, to)
        skip_to_a_fold(connection, 4)
        create(company, 20, 5)
        assert point(connection) == to + 2 * EVERY
    assert verify(database_url) == []


def test_verify_finds_a_fold_point_that_the_log_does_not_say(company: Company, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        skip_to_a_fold(connection, 4)
        create(company, 9, 3)
        connection.execute("UPDATE forecast_fold SET position = position - 1 WHERE part = 'months'")
    assert [difference.table for difference in verify(database_url)] == ["forecast_fold"]
    rebuild(database_url, ["forecast"])
    assert verify(database_url) == []


def test_the_current_balances_are_those_of_all_periods(company: Company, connection: psycopg.Connection[Any]) -> None:
    keys = "org_id, grain, period::text, day::text, currency, status, unweighted, weighted, n"
    for deals in (5, OFTEN, 3):
        create(company, deals, 7)
        ours = connection.execute(f"SELECT {keys} FROM forecast_current ORDER BY {keys}".encode()).fetchall()
        asked = f"SELECT {keys} FROM forecast_balances WHERE period = 'infinity' ORDER BY {keys}"
        assert ours == connection.execute(asked.encode()).fetchall() != []


def test_tables_of_an_older_version_give_way_to_views_of_their_names(company: Company, database_url: str) -> None:
    create(company, 3, 3)
    with psycopg.connect(database_url, autocommit=True) as connection:
        before = sums(connection)
        for view in VIEWS:
            connection.execute(
                f"CREATE TABLE old AS SELECT * FROM {view}; DROP VIEW {view}; ALTER TABLE old RENAME TO {view}".encode()
            )
        connection.execute("UPDATE read_models SET version = 3 WHERE name = 'forecast'")
        assert migrate(database_url) == [f"rebuilt read model forecast version {ForecastLedger.version}"]
        assert sums(connection) == before
    assert verify(database_url) == []
