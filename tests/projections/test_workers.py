"""Several processes fill the tables of a rebuild: the same rows as one, in the same form, and nothing is half done whoever ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from app.cli.explanations import explain
from app.cli.main import complain
from app.dev import demo
from app.process.children import wait_until
from app.writing.committer import Committer
from domain import event_store
from domain.event_store import Span
from projections import workers
from projections.filling import Share
from projections.rebuild import rebuild, verify
from projections.registry import READ_MODELS
from projections.shadow_schema import SCHEMA, RebuildError
from tests.projections.forecast.test_kept_sums import creation, later, past
from tests.support import postgres
from tests.support.commands import Company
from tests.support.processes import ROOT

NAMES = [model.name for model in READ_MODELS]
TABLES = [table for model in READ_MODELS for table in model.tables]


@pytest.fixture(scope="module")
def demo_url(template_database: str) -> Iterator[str]:
    """A database with the demo org, for tests that leave it as the log says."""
    with postgres.database(template_database) as url:
        demo.create(url)
        yield url


def content(url: str) -> dict[str, list[str]]:
    """All rows of the read models as text, but for those that mean nothing."""
    nothing = {table: zero for model in READ_MODELS for table, zero in model.zero_rows.items()}
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        return {
            table: [
                text
                for (text,) in connection.execute(
                    f"SELECT t::text FROM {table} t WHERE NOT ({nothing.get(table, 'false')}) ORDER BY 1".encode()
                )
            ]
            for table in TABLES
        }


@pytest.mark.parametrize("seed", range(3))
def test_many_workers_fill_what_one_fills_and_what_was_kept_all_along(database_url: str, seed: int) -> None:
    random = Random(seed)
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        owners = [id_ for one in (company.admin, company.user("rep")) if (id_ := one.actor.user_id)]
        deals: list[UUID] = []
        for _ in range(100):
            fresh = not deals or random.random() < 0.3
            deals += [uuid7()] if fresh else []
            deal = deals[-1] if fresh else random.choice(deals)
            command = creation(company, random) if fresh else later(random, owners)
            committer.run([company.envelope(command, deal, occurred_at=past(random))])
    assert verify(database_url, workers=3) == []
    rebuild(database_url, NAMES, workers=1)
    alone = content(database_url)
    rebuild(database_url, NAMES, workers=3)
    assert {table: len(rows) for table, rows in content(database_url).items()} == {
        table: len(rows) for table, rows in alone.items()
    }
    assert verify(database_url, workers=1) == []


@pytest.mark.slow
def test_many_workers_fill_the_demo(demo_url: str) -> None:
    seen: list[tuple[int, int]] = []
    assert verify(demo_url, workers=4) == []
    events = rebuild(demo_url, NAMES, lambda done, total: seen.append((done, total)), workers=4)
    assert seen[-1] == (events, events)
    assert len(seen) >= 2 * workers.LEAST_SPANS
    assert verify(demo_url, workers=1) == []


def test_a_short_log_is_for_one_worker_and_a_long_one_for_as_many_as_there_are_cores() -> None:
    assert workers.number(workers.WORTHWHILE - 1) == 1
    assert 1 <= workers.number(10**9) <= min(os.cpu_count() or 1, workers.MOST)


def test_spans_are_all_streams_each_once_and_about_as_long(demo_url: str) -> None:
    with psycopg.connect(demo_url) as connection, connection.cursor() as cursor:
        head = event_store.head(cursor)
        (total,) = cursor.execute("SELECT count(*) FROM opportunities_events").fetchone() or (0,)
        parts = event_store.spans(cursor, 8, total)
        read = [[one for chunk in event_store.by_stream(connection, head, 100, part) for one in chunk] for part in parts]
    assert len(parts) == 8
    assert (parts[0].after, parts[-1].until) == (None, None)
    assert sorted(one.position for part in read for one in part) == sorted({one.position for part in read for one in part})
    assert sum(map(len, read)) == total
    assert max(map(len, read)) < total / 4
    for one, other in pairwise(read):
        assert one[-1].stream_id < other[0].stream_id


def test_an_empty_log_is_one_span(database_url: str) -> None:
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        assert event_store.spans(cursor, 8, 0) == [Span()]
    assert verify(database_url, workers=2) == []


def form(url: str, schema: str) -> list[tuple[str, ...]]:
    """Columns, indexes and keys of the read models' tables in a schema."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            """
            SELECT c.relname, 'column', a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
                || a.attstorage::text
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relnamespace = %(schema)s::text::regnamespace AND c.relname = ANY(%(tables)s)
            UNION ALL SELECT tablename, 'index', replace(indexdef, %(schema)s::text || '.', '') FROM pg_indexes
            WHERE schemaname = %(schema)s::text AND tablename = ANY(%(tables)s)
            UNION ALL SELECT c.relname, 'options', coalesce(c.reloptions::text, '') FROM pg_class c
            WHERE c.relnamespace = %(schema)s::text::regnamespace AND c.relname = ANY(%(tables)s)
            UNION ALL SELECT c.relname, 'key', k.conname || pg_get_constraintdef(k.oid)
            FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
            WHERE k.connamespace = %(schema)s::text::regnamespace AND k.contype IN ('p', 'u', 'c') AND c.relname = ANY(%(tables)s)
            ORDER BY 1, 2, 3
            """,
            {"schema": schema, "tables": TABLES},
        )
        return found.fetchall()


def test_tables_that_are_filled_first_have_the_form_of_those_that_are_not(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA plain")
        connection.execute("SET search_path = plain, public")
        for model in READ_MODELS:
            connection.execute(model.ddl.encode())
    rebuild(database_url, NAMES)
    assert form(database_url, "public") == form(database_url, "plain")


class Seen(workers.Worker):
    """A worker whose process can be told."""

    pids: list[int] = []  # noqa: RUF012  of all of them

    def __init__(self, share: Share) -> None:
        super().__init__(share)
        self.pids.append(self._process.pid)


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(workers, "Worker", Seen)
    monkeypatch.setattr(Seen, "pids", [])
    return Seen.pids


def relations(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        found = [connection.execute("SELECT %s::regclass::oid::bigint", (table,)).fetchone() for table in TABLES]
    return [row[0] for row in found if row]


def left(url: str) -> list[str]:
    """What there is of a rebuild: its schema, and its sessions."""
    with psycopg.connect(url) as connection:
        return [
            text
            for (text,) in connection.execute(
                "SELECT nspname::text FROM pg_namespace WHERE nspname = %s UNION ALL SELECT application_name FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'opportunities rebuild'",
                (SCHEMA,),
            )
        ]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("which", [slice(None), slice(1), slice(1, 2)], ids=["all", "one", "the other"])
def test_a_worker_that_is_killed_ends_the_rebuild_with_a_line_that_says_so(demo_url: str, pids: list[int], which: slice) -> None:
    """Whether it is given a part or its answer is waited for."""
    before = relations(demo_url)

    def kill(done: int, total: int) -> None:
        for pid in pids[which]:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    with pytest.raises(RebuildError, match="Nothing was changed: a worker of the rebuild was ended \\(SIGKILL\\)"):
        rebuild(demo_url, NAMES, kill, workers=2)
    assert len(pids) == 2
    assert relations(demo_url) == before
    assert wait_until(lambda: left(demo_url) == [], 10)
    assert not any(map(alive, pids))
    assert verify(demo_url) == []


def test_a_rebuild_that_is_broken_off_ends_its_workers(demo_url: str, pids: list[int]) -> None:
    def break_off(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(demo_url, NAMES, break_off, workers=2)
    assert len(pids) == 2
    assert not any(map(alive, pids))
    assert wait_until(lambda: left(demo_url) == [], 10)
    assert verify(demo_url) == []


def sessions(url: str) -> int:
    return left(url).count("opportunities rebuild")


@pytest.mark.parametrize("moment", [1, 2, 3], ids=["at the beginning", "as a worker begins", "as all work"])
def test_a_rebuild_that_is_killed_leaves_no_worker_and_the_next_is_whole(demo_url: str, moment: int) -> None:
    before = relations(demo_url)
    command = [sys.executable, "-m", "app.cli", "rebuild", "--all", "--workers", "2", "--database-url", demo_url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: sessions(demo_url) >= moment or process.poll() is not None, 60)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        pids = list(map(int, children.read_text().split())) if children.exists() else []
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, "it was done before it was killed"
    assert wait_until(lambda: sessions(demo_url) == 0 and not any(map(alive, pids)), 20)
    assert relations(demo_url) == before
    rebuild(demo_url, NAMES, workers=2)
    assert left(demo_url) == []
    assert verify(demo_url) == []


def test_what_a_worker_cannot_read_is_raised_with_where_it_was(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO opportunities_events (originator_id, originator_version, topic, state, org_id)"
            " VALUES (gen_random_uuid(), 1, 'opportunity.unheard.v1', '{}', gen_random_uuid())"
        )
    with pytest.raises(KeyError) as failed:
        rebuild(database_url, NAMES, workers=2)
    assert "in serve" in failed.value.__notes__[0], "it says where in the worker"
    assert str(failed.value) == "'opportunity.unheard.v1'"
    assert left(database_url) == []


def test_a_worker_whose_connection_is_ended_says_so_in_one_line(demo_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    def end(done: int, total: int) -> None:
        with psycopg.connect(demo_url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'opportunities rebuild' AND state = 'idle in transaction'"
            )

    with pytest.raises(psycopg.OperationalError) as failed:
        rebuild(demo_url, NAMES, end, workers=2)
    explained = explain(failed.value)
    assert explained is not None
    assert complain(*explained) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert verify(demo_url) == []
