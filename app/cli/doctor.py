"""``opportunities doctor``: checks this machine and the database, one line per finding. It changes nothing."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import click
import psycopg

from app import migrations, settings
from app.cli import explanations
from app.cli.options import database_url
from app.dev import postgres_binaries
from app.migrations import pooling, prerequisites
from app.process import ports
from projections import clock, connections

PACKAGES = ("litestar", "eventsourcing", "psycopg", "psycopg-binary", "msgspec", "uvicorn", "uvloop", "httptools")
LITTLE_SPACE = 1 << 30


class Finding(NamedTuple):
    good: bool
    text: str


def run(database_url: str | None, say: Callable[[str], object]) -> bool:
    """Report every finding. True if all are good."""
    findings = [*machine(), *database(database_url)]
    for finding in findings:
        say(f"{'ok      ' if finding.good else 'problem '} {finding.text}")
    return all(finding.good for finding in findings)


def machine() -> Iterator[Finding]:
    yield Finding(sys.version_info >= (3, 11), f"Python {platform.python_version()} on {platform.platform(terse=True)}")
    for package in PACKAGES:
        try:
            yield Finding(True, f"{package} {version(package)}")
        except PackageNotFoundError:
            yield Finding(False, f"{package} is missing: install the product again (make setup)")
    yield embedded_postgresql()
    free = shutil.disk_usage(".").free
    yield Finding(free > LITTLE_SPACE, f"{free >> 20} MiB of disk space left here")


def embedded_postgresql() -> Finding:
    for folder in postgres_binaries.candidates():
        if (version := postgres_binaries.version(folder, None) or 0) >= prerequisites.OLDEST:
            return Finding(True, f"PostgreSQL {version} for `opportunities dev` in {folder}")
    return Finding(False, postgres_binaries.MISSING)


def database(database_url: str | None) -> Iterator[Finding]:
    try:
        config = settings.load(database_url=database_url)
    except settings.SettingsError as error:
        yield from (Finding(False, problem) for problem in error.problems)
        return
    yield Finding(True, f"settings; the database is {config.redacted()['DATABASE_URL']}")
    problem = ports.bind_problem(config.host, config.port)
    yield Finding(problem is None, problem or f"{config.host} port {config.port} is free")
    try:
        pooling.check(config.database_url)
        with connections.connect(config.database_url, "doctor", statement_timeout_ms=migrations.CHECK_MS) as connection:
            number = connection.info.server_version
            problem = prerequisites.too_old(number)
            yield Finding(problem is None, problem or f"PostgreSQL {number // 10000}.{number % 10000}")
            prerequisites.check_writable(connection)
            prerequisites.check_owner(connection)
            prerequisites.check(connection)
            off = clock.asked(connection.cursor()).warning()
            yield Finding(off is None, off or "the clock of this machine agrees with the database's")
        yield Finding(True, f"the database user may work as {' and '.join(prerequisites.ROLES)}")
        migrations.check(config.database_url)
        yield Finding(True, "the schema is this version's")
        yield index_of_words(config.database_url)
    except (psycopg.Error, migrations.SchemaError, prerequisites.Unmet) as error:
        explained = explanations.explain(error)
        yield Finding(False, explained[0] if explained else str(error))


def index_of_words(database_url: str) -> Finding:
    with connections.connect(database_url, "doctor", statement_timeout_ms=migrations.CHECK_MS) as connection:
        problem = prerequisites.without_index_of_words(connection)
    return Finding(problem is None, problem or "searches for parts of words use an index")


@click.command()
@database_url
def doctor(database_url: str | None) -> None:
    """Check this machine and the database, and report what to fix."""
    if not run(database_url, click.echo):
        raise click.exceptions.Exit(1)
