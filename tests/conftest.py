"""What every test can ask for: a database. The run's server starts before the first worker and ends after the last."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from app import logs
from tests.support import kafka, postgres
from tests.support.commands import company, elsewhere
from tests.support.imports import work
from tests.support.kafka import broker, embedded_broker, topic_of_a_test
from tests.support.scenarios import committer, empty, org, other_org, server

__all__ = [
    "broker",
    "committer",
    "company",
    "elsewhere",
    "embedded_broker",
    "empty",
    "org",
    "other_org",
    "server",
    "topic_of_a_test",
    "work",
]

BROKERS = {"kafka", "broker"}
"""Fixtures that are of a broker of the run's kind; what starts one otherwise has the mark ``kafka`` itself."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs against a broker, before ``-m`` chooses."""
    for item in items:
        if BROKERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Half as many again as there are processors: tests that wait for a timeout or for a process of theirs leave these idle."""
    found = yield
    return found + found // 2


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process that a test starts compiles all our modules
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for name, start in (("PostgreSQL", postgres.start), ("Kafka", kafka.start)):
        described, stop = start()
        config.add_cleanup(stop)
        if reporter is not None:
            reporter.write_line(f"{name}: {described}")


@pytest.fixture(scope="session", autouse=True)
def logs_stay_as_they_are() -> Iterator[None]:
    """A verb that a test runs in its own process would bind all loggers to this test's stderr, which is closed after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "configure", lambda level="info", form="json": None)
        yield


@pytest.fixture(scope="session")
def template_database() -> str:
    """The name of a migrated, empty database to copy."""
    return postgres.template()


@pytest.fixture
def database_url(template_database: str) -> Iterator[str]:
    """A migrated, empty database for this test alone."""
    with postgres.database(template_database) as url:
        yield url


@pytest.fixture(scope="session")
def shared_database_url(template_database: str) -> Iterator[str]:
    """A migrated database for all tests of a worker that keep to orgs of their own."""
    with postgres.database(template_database) as url:
        yield url


@pytest.fixture
def empty_database_url() -> Iterator[str]:
    """A database without our schema."""
    with postgres.database() as url:
        yield url
