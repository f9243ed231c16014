"""The PostgreSQL server of a test run and its databases.

The server is that of ``DATABASE_URL``, else one in a container if an engine answers, else an embedded one; with ``PG_BIN_DIR`` an
embedded one of these programs. The process that starts the run starts it, before xdist starts its workers, which find it in the
environment. A database is migrated once, and cloned for each test that needs one. Only databases that the run has created are
touched.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from app.dev import postgres_binaries
from app.dev.postgres import Postgres
from app.migrations import prerequisites

SERVER = "TEST_RUN_POSTGRES"
RUN = "TEST_RUN_ID"
IMAGE = "postgres:18"
TEMPLATE_LOCK = 7_240_511_999


def start() -> tuple[str, Callable[[], None]]:
    """Find or start the run's server and put it into the environment. What it is, and how to end it."""
    os.environ[RUN] = run = uuid4().hex[:8]
    if given := os.environ.get("DATABASE_URL"):
        os.environ[SERVER] = given
        return "the one of DATABASE_URL", drop_all
    if "PG_BIN_DIR" not in os.environ and (container := in_container()):
        return container
    folder = Path(tempfile.mkdtemp(prefix=f"opportunities-test-{run}-"))
    server = Postgres.start(folder, durable=False)
    os.environ[SERVER] = server.url

    def stop() -> None:
        server.stop()
        shutil.rmtree(folder)

    with psycopg.connect(server.url) as connection:
        return f"an embedded {connection.info.server_version // 10_000}", stop


def older_programs() -> Path | None:
    """The folder of the oldest PostgreSQL here that is promised to work, unless that is the one the run uses."""
    found: dict[int, Path] = {}
    for folder in postgres_binaries.candidates():
        found.setdefault(postgres_binaries.version(folder, None) or 0, folder)
    used, *others = [version for version in found if version >= prerequisites.OLDEST] or [0]
    return found[min(others)] if others and min(others) < used else None


def in_container() -> tuple[str, Callable[[], None]] | None:
    """A server in a container, or None where no engine answers or the image is not to be had."""
    if not engine_answers():
        return None
    from docker.errors import DockerException
    from testcontainers.community.postgres import PostgresContainer

    try:
        container = PostgresContainer(IMAGE, driver=None).with_command(
            "postgres -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
        )
        container.start()
    except DockerException:
        return None
    os.environ[SERVER] = container.get_connection_url()
    return f"{IMAGE} in a container", container.stop


def engine_answers() -> bool:
    if "DOCKER_HOST" in os.environ:
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect("/var/run/docker.sock")
        except OSError:
            return False
    return True


def server_url() -> str:
    return os.environ[SERVER]


def at(database: str) -> str:
    """The URL of a database of the run's server."""
    return urlunsplit(urlsplit(server_url())._replace(path=f"/{database}"))


def template() -> str:
    """The name of a migrated, empty database; made by the first worker that asks."""
    from app.migrations import migrate

    name = f"test_{os.environ[RUN]}_template"
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (TEMPLATE_LOCK,))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            try:
                migrate(at(name))
            except BaseException:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
                raise
    return name


@contextmanager
def database(copied_from: str = "template0") -> Iterator[str]:
    """The URL of a database of one's own."""
    name = f"test_{os.environ[RUN]}_{uuid4().hex[:12]}"
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(name), sql.Identifier(copied_from))
        )
        try:
            yield at(name)
        finally:
            with suppress(psycopg.OperationalError):  # a test may have ended the server
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def drop_all() -> None:
    """Drop what the run has made on a server that stays."""
    with psycopg.connect(server_url(), autocommit=True) as connection:
        names = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", (f"test_{os.environ[RUN]}_%",)
        ).fetchall()
        for (name,) in names:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
