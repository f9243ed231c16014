"""The network falls silent in the middle of a rebuild: it ends, says so, leaves nothing locked, and the next one is whole."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import closing
from time import monotonic

import psycopg
import pytest

from app.cli.explanations import explain
from app.process.children import wait_until
from app.writing.committer import Committer
from projections.rebuild import LOCK, rebuild, verify
from projections.registry import READ_MODELS
from tests.support.commands import Company
from tests.support.proxy import Proxy, ask_soon, proxied

NAMES = [model.name for model in READ_MODELS]
SECONDS = 12.0
"""How long it may take to be sure of the silence, and to end."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_soon(monkeypatch)
    with warnings.catch_warnings():  # what tests before have left is not this one's
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        for n in range(5):
            company.deal(f"Deal {n}")
        yield company


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with proxied(database_url) as proxy:
        yield proxy


def held(url: str, lock: int) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute("SELECT pg_try_advisory_lock(%s)", (lock,)).fetchone() == (False,)


@pytest.mark.parametrize(
    "point",
    [b"FETCH FORWARD", b"COPY ", b"CREATE INDEX", b"SET SCHEMA", b"COMMIT"],
    ids=["read", "write", "index", "swap", "commit"],
)
def test_a_rebuild_that_meets_silence_ends_and_the_next_is_whole(
    database_url: str, proxy: Proxy, company: Company, point: bytes
) -> None:
    proxy.point = point
    proxy.at_commit.append("silence")
    began = monotonic()
    with pytest.raises(psycopg.OperationalError) as failed:
        rebuild(proxy.url, NAMES)
    assert monotonic() - began < SECONDS
    assert explain(failed.value) == (
        "PostgreSQL cannot be used: it does not answer any more: check the network, then try again.",
        1,
    )
    del failed
    gc.collect()  # a cursor that was left open would say so here
    assert wait_until(lambda: not held(database_url, LOCK), 10)
    company.deal("Later")
    assert verify(database_url) == [], "what was there is whole, or what took its place"
    proxy.silent = False
    rebuild(proxy.url, NAMES)
    assert verify(proxy.url) == []


def test_a_verify_that_meets_silence_with_the_log_in_hand_lets_go_of_it(database_url: str, proxy: Proxy, company: Company) -> None:
    proxy.point = b"pg_advisory_unlock('public.opportunities_events'"
    proxy.at_commit.append("silence")
    began = monotonic()
    with pytest.raises(psycopg.OperationalError):
        verify(proxy.url)
    assert monotonic() - began < SECONDS
    company.deal("Later")
    proxy.silent = False
    assert verify(proxy.url) == []


@pytest.mark.long
def test_a_worker_that_meets_silence_ends_the_rebuild(database_url: str, proxy: Proxy, company: Company) -> None:
    """A process of its own doubts a silent server after half a minute, as they all do outside of tests; one that begins then
    cannot connect."""
    proxy.point = b"COPY "
    proxy.at_commit.append("silence")
    with pytest.raises(psycopg.OperationalError) as failed:
        rebuild(proxy.url, NAMES, workers=2)
    explained = explain(failed.value)
    assert explained is not None
    assert explained[0].startswith("PostgreSQL cannot be used: it does not answer")
    assert wait_until(lambda: not held(database_url, LOCK), 30)
    assert verify(database_url) == []
