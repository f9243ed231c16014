"""What kills every worker that takes it up fails in the end, and says where, and so does what ends every session in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from app.importing.worker import MAX_TRIES
from app.process.children import wait_until
from app.process.failures import Unavailable
from tests.support.imports import PATH, Work, counts, working
from tests.support.proxy import proxied
from tests.support.scenarios import Json, Org, made
from tests.support.worker import Worker

LINES = b"Name,Account,External id\nA,Acme,E1\nB,Acme,E2\nPoison,Acme,E3\nC,Acme,E4\nD,Acme,E5\n"
LOCK = 20_261_130
LOSE = """pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND (pid = pg_backend_pid() OR application_name LIKE '%imports')"""
WAITING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"


def shown(org: Org, found: Json) -> Json:
    return made(org.admin.get(f"{PATH}{found['id']}/"), 200)


@contextmanager
def at_poison(url: str, statement: str) -> Iterator[psycopg.Connection]:
    """Meanwhile PostgreSQL does this for the deal of this name before it is written."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"""
            CREATE FUNCTION at_poison() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$ BEGIN IF NEW.name = 'Poison' THEN PERFORM {statement}; END IF; RETURN NEW; END $$
            """
        )
        connection.execute("CREATE TRIGGER p BEFORE INSERT ON opportunities FOR EACH ROW EXECUTE FUNCTION at_poison()")
        try:
            yield connection
        finally:
            connection.execute("DROP FUNCTION at_poison CASCADE")


@pytest.mark.slow
def test_an_import_that_kills_its_workers_fails_with_the_row_and_goes_on_once_it_is_started_again(
    org: Org, work: Work, shared_database_url: str
) -> None:
    found = work.uploaded(org.admin, LINES)
    made(org.admin.post(f"{PATH}{found['id']}/start/"), 202)
    work.importer.close()
    worker = Worker("imports", env={"DATABASE_URL": shared_database_url})
    kills = 0
    with at_poison(shared_database_url, f"pg_advisory_xact_lock({LOCK})") as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))

        def waits() -> list[tuple[int]]:
            return connection.execute(WAITING, (LOCK,)).fetchall()

        def ended() -> bool:
            return bool(waits()) or shown(org, found)["state"] != "running"

        while shown(org, found)["state"] == "running":
            worker.start()
            assert wait_until(ended, 60)
            if stuck := waits():
                worker.kill()
                kills += 1
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", stuck[0])
            else:
                assert worker.stop() == 0
    failed = shown(org, found)
    assert (failed["state"], counts(failed), failed["problem"]["line"]) == ("failed", (2, 0, 0, 0), 4)
    assert f"died {MAX_TRIES} times in a row, at the first row after line 3:" in failed["problem"]["message"]
    assert kills == MAX_TRIES + 2  # the first two of which died with rows before it in hand
    done = work.started(org.admin, failed)
    assert (done["state"], counts(done), org.listed("")["count"]) == ("done", (5, 0, 0, 0), 5)


@pytest.mark.parametrize("state", ["inspecting", "checking", "running", "undoing"])
def test_whatever_is_taken_up_in_vain_too_often_fails(org: Org, work: Work, state: str) -> None:
    found = work.uploaded(org.admin, LINES)
    with psycopg.connect(work.url) as connection:
        connection.execute(
            "UPDATE imports SET state = %s, tries = %s, tried_at = done WHERE id = %s", (state, MAX_TRIES, found["id"])
        )
    work.all()
    failed = shown(org, found)
    assert failed["state"] == "failed"
    assert f"The worker or its connection died {MAX_TRIES} times in a row" in failed["problem"]["message"]
    if state != "inspecting":
        assert work.started(org.admin, failed)["state"] == "done"


def test_rows_after_a_death_are_taken_up_one_by_one(org: Org, work: Work) -> None:
    found = work.uploaded(org.admin, LINES)
    made(org.admin.post(f"{PATH}{found['id']}/start/"), 202)
    with psycopg.connect(work.url) as connection:
        connection.execute("UPDATE imports SET tries = 1, tried_at = done WHERE id = %s", (found["id"],))
    seen = []
    while work.importer.step():
        seen.append(shown(org, found)["done"])
    assert seen[:5] == [1, 2, 3, 4, 5]


def test_connections_that_are_lost_in_different_places_do_not_add_up(org: Org, work: Work) -> None:
    found = work.uploaded(org.admin, LINES)
    made(org.admin.post(f"{PATH}{found['id']}/start/"), 202)
    with at_poison(work.url, LOSE):
        for _ in range(MAX_TRIES + 1):  # two of them with the rows before it in hand
            with pytest.raises((Unavailable, psycopg.OperationalError)):
                work.all()
    work.all()
    assert counts(shown(org, found)) == (5, 0, 0, 0)


def test_an_import_whose_row_ends_every_session_in_postgresql_fails_with_the_row(org: Org, shared_database_url: str) -> None:
    with proxied(shared_database_url, b"Poison") as proxy, working(proxy.url) as work:
        found = work.uploaded(org.admin, LINES)
        made(org.admin.post(f"{PATH}{found['id']}/start/"), 202)
        proxy.at_commit.extend(["cut before"] * 100)
        lost = 0
        while (failed := shown(org, found))["state"] == "running" and lost < 20:
            try:
                work.importer.step()
            except (Unavailable, psycopg.OperationalError):
                lost += 1
        assert (failed["state"], counts(failed), failed["problem"]["line"]) == ("failed", (2, 0, 0, 0), 4)
        assert f"died {MAX_TRIES} times in a row, at the first row after line 3:" in failed["problem"]["message"]
        proxy.at_commit.clear()
        done = work.started(org.admin, failed)
    assert (done["state"], counts(done), org.listed("")["count"]) == ("done", (5, 0, 0, 0), 5)
