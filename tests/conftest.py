"""What every test can ask for: a database. The run's server starts before the first worker and ends after the last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgres
from tests.support.scenarios import committer, org, other_org, server

__all__ = ["committer", "org", "other_org", "server"]

what = pytest.StashKey[str]()


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    described, stop = postgres.start()
    config.add_cleanup(stop)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"PostgreSQL: {described}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "long" not in config.option.markexpr:
        items[:] = [item for item in items if item.get_closest_marker("long") is None]


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
