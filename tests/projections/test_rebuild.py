"""A rebuild makes the read models again from the log while people work, and ``verify`` finds where they differ from the log."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

import psycopg
import pytest
from msgspec import structs

from app.dev import demo
from app.migrations import SchemaError, check, migrate
from app.process.failures import Unavailable
from app.reading.read_pool import ReadPool
from app.writing.committer import Committer
from domain import account, opportunity, pipeline, user, webhook_endpoint
from projections import swap
from projections.rebuild import LOCK, rebuild, verify
from projections.registry import READ_MODELS
from projections.shadow_schema import SCHEMA, RebuildError
from tests.support import postgres
from tests.support.commands import Company
from tests.support.inprocess import InProcess, running

# What users name keys of, in an order that is not the alphabet's.
MOVES = {stage.key: tuple(other.key for other in pipeline.DEFAULT.stages) for stage in reversed(pipeline.DEFAULT.stages)}
CHOSEN = webhook_endpoint.WebhookFilters(custom_fields={"z": 1, "a": 2})
NAMES = [model.name for model in READ_MODELS]
TABLES = [table for model in READ_MODELS for table in model.tables]


@pytest.fixture(scope="module")
def demo_url(template_database: str) -> Iterator[str]:
    """A database with the demo org, for tests that leave it as the log says."""
    with postgres.database(template_database) as url:
        demo.create(url)
        yield url


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with filled(database_url) as company:
        yield company


@pytest.fixture(scope="module")
def tampered_url(template_database: str) -> Iterator[str]:
    """A database for tests that put right what they did to it."""
    with postgres.database(template_database) as url, filled(url):
        yield url


@contextmanager
def filled(url: str) -> Iterator[Company]:
    """A small org of every kind of change."""
    with closing(Committer(url)) as committer:
        company = Company(committer)
        deals = [company.deal(f"Deal {n}", amount=Decimal(n), tags=("a",)) for n in range(6)]
        company.do(opportunity.ChangeStage(stage="proposal"), deals[0])
        company.do(opportunity.ChangeStage(stage="lost", lost_reason="price"), deals[1])
        company.do(opportunity.Delete(), deals[2])
        company.do(opportunity.Delete(), deals[3])
        company.do(opportunity.Restore(), deals[3])
        company.do(opportunity.Update(amount=None), deals[4])
        first = company.user("rep", "first@acme.example")
        company.user("rep", "second@acme.example")
        company.do(user.Update(name="Renamed"), first.actor.user_id)  # an older stream changes after a younger one
        company.do(account.Update(name="Renamed", custom_fields={"z": 1, "a": {"y": 2, "b": 3}}), company.account_id)
        company.do(opportunity.Update(custom_fields={"z": 1, "a": {"y": 2, "b": 3}}), deals[5])
        company.do(structs.replace(pipeline.DEFAULT, transitions=MOVES), pipeline.stream_id(company.id))
        company.do(webhook_endpoint.Create(url="https://a.example/", events=("opportunity.won",), filters=CHOSEN))
        yield company


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def relations(url: str) -> dict[str, int]:
    """The tables of the read models as the database knows them, whatever their names."""
    with psycopg.connect(url) as connection:
        return {
            table: row[0]
            for table in TABLES
            if (row := connection.execute("SELECT %s::regclass::oid::bigint", (table,)).fetchone())
        }


def test_a_rebuild_of_everything_is_what_was_kept_all_along(demo_url: str) -> None:
    assert verify(demo_url) == []
    before = relations(demo_url)
    seen: list[tuple[int, int]] = []
    events = rebuild(demo_url, NAMES, lambda done, total: seen.append((done, total)))
    assert verify(demo_url) == []
    assert seen[-1] == (events, events)
    after = relations(demo_url)
    assert all(after[table] != before[table] for table in TABLES), "these are the old tables"
    with psycopg.connect(demo_url) as connection:
        asked = "SELECT relname FROM pg_stat_user_tables WHERE relid = ANY(%s) AND (last_vacuum IS NULL OR last_analyze IS NULL)"
        assert connection.execute(asked, (list(after.values()),)).fetchall() == [], "their indexes alone answer nothing"
        row = connection.execute("SELECT count(*) FROM opportunities_events").fetchone()
        assert row == (events,)
        counted = connection.execute("SELECT count(*), count(*) FILTER (WHERE valid_to < 'infinity') FROM opportunities")
        versions, past = counted.fetchone() or (0, 0)
    assert versions > past > 200, "past versions are rebuilt too"


def test_a_read_model_is_rebuilt_alone(company: Company, database_url: str) -> None:
    for model in READ_MODELS:
        before = relations(database_url)
        rebuild(database_url, [model.name])
        after = relations(database_url)
        assert {table for table in TABLES if before[table] != after[table]} == set(model.tables)
    assert verify(database_url) == []


def test_what_is_written_after_a_rebuild_goes_on_from_there(company: Company, database_url: str) -> None:
    rebuild(database_url, NAMES)
    deal = company.deal("Later")
    company.do(opportunity.ChangeStage(stage="negotiation"), deal)
    with running(database_url) as process:
        listed = process.request("GET", "/api/opportunities/?stage=negotiation", token=company.admin.token).json()
    assert [item["name"] for item in listed["results"]] == ["Later"]
    assert verify(database_url) == []


class Load:
    """People who write and read through the API until told to stop. ``faults`` are the answers nobody should get."""

    def __init__(self, process: InProcess, company: Company) -> None:
        self._process = process
        self._company = company
        self._stop = threading.Event()
        self._counted = threading.Condition()
        self.answers = 0
        self.faults: list[str] = []
        work = [self._write] * 2 + [self._read] * 3
        self._threads = [threading.Thread(target=self._run, args=(one, n)) for n, one in enumerate(work)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, number: int) -> None:
        """Wait until so many more requests were answered."""
        with self._counted:
            goal = self.answers + number
            assert self._counted.wait_for(lambda: self.answers >= goal, 60), self.faults

    def _run(self, work: Callable[[int], None], number: int) -> None:
        while not self._stop.is_set():
            work(number)

    def _ask(self, expected: int, method: str, path: str, body: Any = None) -> Any:
        reply = self._process.request(method, path, body, token=self._company.admin.token)
        if reply.status != expected:
            self.faults.append(f"{method} {path}: {reply.status} {reply.body!r}")
        with self._counted:
            self.answers += 1
            self._counted.notify_all()
        return reply.json() if reply.body else None

    def _write(self, number: int) -> None:
        path = "/api/opportunities/"
        body = {"name": f"Deal of {number}", "account_id": str(self._company.account_id), "amount": "10"}
        deal = f"{path}{self._ask(201, 'POST', path, body)['id']}/"
        self._ask(200, "PATCH", deal, {"close_date": "2026-09-01"})
        self._ask(200, "POST", f"{deal}transition/", {"stage": "proposal"})
        self._ask(200, "PATCH", f"/api/accounts/{self._company.account_id}/", {"name": f"Acme {self.answers}"})
        self._ask(204, "DELETE", deal)

    def _read(self, number: int) -> None:
        path = "/api/opportunities/"
        listed = self._ask(200, "GET", f"{path}?stage=discovery,proposal&search=a")
        for item in listed["results"][:2]:
            reply = self._process.request("GET", f"{path}{item['id']}/", token=self._company.admin.token)
            if reply.status not in (200, 404):
                self.faults.append(f"detail: {reply.status} {reply.body!r}")
        self._ask(200, "GET", f"{path}forecast/?group_by=owner")
        self._ask(200, "GET", f"{path}?as_of=2027-01-01T00:00:00Z&cursor=")
        self._ask(200, "GET", "/api/events/?after=0")
        self._ask(200, "GET", "/api/users/me/")


def test_nobody_notices_a_rebuild(company: Company, database_url: str) -> None:
    with running(database_url) as process, Load(process, company) as load:
        for _ in range(4):
            load.more(40)
            rebuild(database_url, NAMES)
        load.more(40)
        assert verify(database_url) == [], "while people work"
    assert load.faults == []
    assert verify(database_url) == []


def test_a_reader_in_no_hurry_holds_up_the_swap_but_no_other_reader(company: Company, database_url: str) -> None:
    done = threading.Event()
    faults: list[BaseException] = []

    def work() -> None:
        try:
            rebuild(database_url, NAMES)
        except BaseException as fault:  # noqa: BLE001  told to the test below
            faults.append(fault)
        done.set()

    before = relations(database_url)
    rebuilding = threading.Thread(target=work)
    with running(database_url) as process, psycopg.connect(database_url) as slow:
        slow.execute("SELECT count(*) FROM forecast_entries")
        rebuilding.start()
        with Load(process, company) as load:
            load.more(100)
            assert not done.is_set()
        slow.rollback()
        rebuilding.join()
    assert (faults, load.faults) == ([], [])
    assert relations(database_url) != before
    assert verify(database_url) == []


class Readers:
    """Readers of the API that ask again and again for what takes a second, until told to stop."""

    def __init__(self, url: str, number: int) -> None:
        self._url, self._number = url, number
        self.answered = 0
        self.faults: list[Unavailable] = []

    def __enter__(self) -> Self:
        self._stop, begun = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(begun)))
        self._thread.start()
        assert begun.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self, begun: threading.Event) -> None:
        reads = ReadPool(self._url, connections=self._number)
        await asyncio.gather(*(self._read(reads, n / self._number, begun) for n in range(self._number)))
        await reads.close()

    async def _read(self, reads: ReadPool, late: float, begun: threading.Event) -> None:
        await asyncio.sleep(late)
        begun.set()
        while not self._stop.is_set():
            try:
                await reads.gauges("SELECT pg_sleep(1) FROM (SELECT count(*) FROM opportunities) o", {})
                self.answered += 1
            except Unavailable as fault:
                self.faults.append(fault)


class Waits:
    """For how long a rebuild that waited itself kept writers waiting in all, as the server sees it."""

    def __init__(self, url: str) -> None:
        self.seconds = 0.0
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            seen: datetime | None = None
            while not self._stop.is_set():
                now, waiting = connection.execute(
                    """
                    SELECT clock_timestamp(), EXISTS (
                        SELECT FROM pg_stat_activity w JOIN pg_stat_activity r ON r.pid = ANY(pg_blocking_pids(w.pid))
                        WHERE w.datname = current_database() AND w.wait_event_type = 'Lock' AND r.wait_event_type = 'Lock'
                          AND w.application_name = 'opportunities writer' AND r.application_name = 'opportunities rebuild')
                    """
                ).fetchone() or (None, False)
                if waiting and seen is not None:
                    self.seconds += (now - seen).total_seconds()
                seen = now if waiting else None


@pytest.fixture
def writing(company: Company) -> Iterator[Callable[[], int]]:
    """Somebody edits a deal without a pause; how often so far."""
    stop = threading.Event()
    deal = company.deal("Edited")
    edits = 0

    def edit() -> None:
        nonlocal edits
        while not stop.is_set():
            company.do(opportunity.Update(name=f"Edited {edits}"), deal)
            edits += 1

    thread = threading.Thread(target=edit)
    thread.start()
    yield lambda: edits
    stop.set()
    thread.join()


def test_a_swap_keeps_writers_waiting_for_no_more_than_a_moment_though_somebody_reads_all_the_time(
    writing: Callable[[], int], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "GENTLE_SECONDS", 1.5)
    before = relations(database_url)
    with Waits(database_url) as waits, Readers(database_url, 3) as readers:
        rebuild(database_url, NAMES)
    assert relations(database_url) != before
    assert writing() > 50
    assert waits.seconds <= 0.05
    assert readers.answered > 0
    assert readers.faults == [], "those who were interrupted asked again"
    assert verify(database_url) == []


def test_a_swap_that_may_keep_nobody_waiting_any_more_finds_its_moment_all_the_same(
    writing: Callable[[], int], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "LOG_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(swap, "GENTLE_SECONDS", 1.5)
    before = relations(database_url)
    with Waits(database_url) as waits, Readers(database_url, 3) as readers:
        rebuild(database_url, NAMES)
    assert relations(database_url) != before
    assert writing() > 50
    assert waits.seconds <= 0.005
    assert readers.faults == []
    assert verify(database_url) == []


def test_a_swap_that_finds_no_moment_says_who_is_in_its_way_and_keeps_nobody_waiting(
    writing: Callable[[], int], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "PATIENCE_SECONDS", 2)
    before = relations(database_url)
    with psycopg.connect(database_url, application_name="a report") as slow, Waits(database_url) as waits:
        slow.execute("SELECT count(*) FROM forecast_entries")
        with pytest.raises(RebuildError, match=r"Nothing was changed.*a report \(process \d+\)"):
            rebuild(database_url, NAMES)
    assert waits.seconds <= 0.05
    assert relations(database_url) == before
    assert verify(database_url) == []


TAMPERED = {
    "a value": ("opportunities", "UPDATE opportunities SET amount = amount + 1 WHERE name = 'Deal 1'"),
    "a text": (
        "opportunities",
        "UPDATE opportunities SET json_until_owner = replace(json_until_owner, '5', '6') WHERE name = 'Deal 5'",
    ),
    "the past": ("opportunities", "UPDATE opportunities SET valid_from = valid_from - interval '1 day' WHERE version = 2"),
    "a lost row": ("opportunities", "DELETE FROM opportunities WHERE name = 'Deal 0' AND version = 1"),
    "a count": ("opportunity_counts", "UPDATE opportunity_counts SET n = n + 1 WHERE stage = 'proposal'"),
    "a lost count": ("opportunity_counts", "DELETE FROM opportunity_counts WHERE stage = 'lost'"),
    "a role": ("directory", "UPDATE directory SET role = 'admin' WHERE lookup = 'second@acme.example'"),
    "a token": ("directory", "UPDATE directory SET lookup = repeat('0', 64) WHERE kind = 'token'"),
    "an epoch": ("identity_epochs", "UPDATE identity_epochs SET position = position - 1"),
    "a posting": ("forecast_entries", "DELETE FROM forecast_entries WHERE ctid = (SELECT min(ctid) FROM forecast_entries)"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_verify_finds_what_the_log_does_not_say_and_a_rebuild_heals_it(tampered_url: str, what: str) -> None:
    table, statement = TAMPERED[what]
    run(tampered_url, statement)
    (difference,) = verify(tampered_url)
    assert difference.table == table
    assert difference.live or difference.rebuilt
    rebuild(tampered_url, [model.name for model in READ_MODELS if table in model.tables])


def test_what_was_healed_is_whole(tampered_url: str) -> None:
    run(tampered_url, *(statement for _, statement in TAMPERED.values()))
    assert {difference.table for difference in verify(tampered_url)} == {table for table, _ in TAMPERED.values()}
    rebuild(tampered_url, NAMES)
    assert verify(tampered_url) == []


def test_a_comment_in_the_statements_of_a_read_model_may_say_what_it_likes(
    company: Company, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (forecast,) = (model for model in READ_MODELS if model.name == "forecast")
    monkeypatch.setattr(type(forecast), "ddl", f"-- A ledger; CREATE nothing else;\n{forecast.ddl}")
    company.deal()
    rebuild(database_url, ["forecast"])
    assert verify(database_url) == []


def test_a_counter_at_zero_means_the_same_as_none(company: Company, database_url: str) -> None:
    deal = company.deal(close_date=datetime.now(UTC).date() + timedelta(days=400))
    company.do(opportunity.Delete(), deal)
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM opportunity_counts WHERE n = 0").fetchone()
    assert row is not None
    assert row[0] > 0
    assert verify(database_url) == []


# One at a time, all or nothing


def test_a_second_rebuild_is_refused_while_one_runs(company: Company, database_url: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(done: int, total: int) -> None:
        begun.set()
        assert go_on.wait(60)

    first = threading.Thread(target=rebuild, args=(database_url, NAMES, wait))
    first.start()
    assert begun.wait(60)
    try:
        for second in (lambda: rebuild(database_url, ["directory"]), lambda: verify(database_url)):
            with pytest.raises(RebuildError, match="Another rebuild"):
                second()
        company.deal("Meanwhile")
    finally:
        go_on.set()
        first.join()
    assert verify(database_url) == []


def test_a_rebuild_that_is_broken_off_leaves_all_as_it_was(company: Company, database_url: str) -> None:
    before = relations(database_url)

    def break_off(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(database_url, NAMES, break_off)
    assert relations(database_url) == before
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regnamespace(%s)", (SCHEMA,)).fetchone() == (None,)
    assert verify(database_url) == []


def test_what_a_killed_rebuild_left_behind_is_cleared_away(company: Company, database_url: str) -> None:
    run(database_url, f"CREATE SCHEMA {SCHEMA}", f"CREATE TABLE {SCHEMA}.directory (id int)")
    assert verify(database_url) == []


def test_a_read_model_that_there_is_not_is_named_with_those_there_are(database_url: str) -> None:
    with pytest.raises(RebuildError, match=r"'deals'.*directory, opportunities"):
        rebuild(database_url, ["directory", "deals"])


# Read models of another version


def test_migrate_rebuilds_read_models_of_an_older_version(company: Company, database_url: str) -> None:
    for model in READ_MODELS:
        run(
            database_url,
            f"UPDATE read_models SET version = 0 WHERE name = '{model.name}'",
            f"DROP TABLE {model.tables[0]} CASCADE",
            f"CREATE TABLE {model.tables[0]} (of_another_form int)",
        )
        with pytest.raises(SchemaError, match=f"{model.name} is at version 0"):
            check(database_url)
        assert migrate(database_url) == [f"rebuilt read model {model.name} version {model.version}"]
        check(database_url)
    assert verify(database_url) == []
    assert migrate(database_url) == []


def test_migrate_gives_a_database_in_use_the_index_that_a_rebuilt_one_has(company: Company, database_url: str) -> None:
    index = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname = 'opportunities_stakeholders'"
    with psycopg.connect(database_url, autocommit=True) as connection:
        new = connection.execute(index).fetchall()
        run(
            database_url,
            "DROP INDEX opportunities_stakeholders",
            "DELETE FROM migrations WHERE name = '0005_stakeholders'",
        )
        assert migrate(database_url) == ["applied 0005_stakeholders"]
        assert connection.execute(index).fetchall() == new
        rebuild(database_url, ["opportunities"])
        assert connection.execute(index).fetchall() == new
    assert len(new) == 1


def test_migrate_fills_new_read_models_from_the_log(company: Company, database_url: str) -> None:
    for model in READ_MODELS:
        forget(database_url, model)
        migrate(database_url)
        check(database_url)
        company.deal("Later")
    assert verify(database_url) == []


def forget(url: str, model: Any) -> None:
    """As if the database were from before there was this read model."""
    run(
        url,
        f"DELETE FROM read_models WHERE name = '{model.name}'",
        *(f"DROP TABLE {table} CASCADE" for table in model.tables),
    )


def test_a_new_read_model_does_not_pass_for_filled_before_it_is(company: Company, database_url: str) -> None:
    forget(database_url, READ_MODELS[0])
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))  # a rebuild that is running keeps this one from it
        with suppress(RebuildError):
            migrate(database_url)
        with pytest.raises(SchemaError, match="opportunities migrate"):
            check(database_url)
    migrate(database_url)
    check(database_url)
    assert verify(database_url) == []
