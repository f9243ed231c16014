"""A PgBouncer in front of a PostgreSQL, where there is one on this machine (Debian: apt-get install pgbouncer)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from app.process import children, ports

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
SECONDS = 30


class PgBouncer:
    """Its databases are named for the way in which they hand out sessions: ``session``, ``transaction``, ``statement``."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._settings = folder / "pgbouncer.ini"
        self._log = folder / "log"
        self.process = self._started()

    def url(self, mode: str) -> str:
        return f"postgresql://anybody@127.0.0.1:{self.port}/{mode}"

    def restart(self) -> None:
        """All connections through it end."""
        children.stop(self.process, signal.SIGTERM)
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        assert PROGRAM is not None
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses root
        ids = (None, None) if user is None else (user.pw_uid, user.pw_gid)
        for path in (self._settings.parent, self._settings):
            os.chown(path, *(-1 if id_ is None else id_ for id_ in ids))
        with self._log.open("ab") as log:
            process = children.spawn([PROGRAM, self._settings], cwd="/", output=log, user=ids[0], group=ids[1])
        if not children.wait_until(lambda: _answers(self.port), SECONDS):
            children.stop(process)
            raise TimeoutError(self._log.read_text())
        return process


@contextmanager
def pooling(url: str, options: Mapping[str, str] = {}) -> Iterator[PgBouncer]:
    """One in front of a database; skips the test where there is none."""
    if PROGRAM is None:
        pytest.skip("there is no PgBouncer on this machine (Debian: apt-get install pgbouncer)")
    port = ports.free_port()
    with tempfile.TemporaryDirectory(prefix="opportunities-pgbouncer-") as made:
        (Path(made) / "pgbouncer.ini").write_text(_settings(url, port, options))
        pooler = PgBouncer(Path(made), port)
        try:
            yield pooler
        finally:
            children.stop(pooler.process)


def _settings(url: str, port: int, options: Mapping[str, str]) -> str:
    given = conninfo_to_dict(url)
    names = {"host": "host", "port": "port", "dbname": "dbname", "user": "user", "password": "password"}
    target = " ".join(f"{name}={given[known]}" for known, name in names.items() if given.get(known))
    databases = [f"{mode} = {target} pool_mode={mode}" for mode in ("session", "transaction", "statement")]
    chosen = {"listen_addr": "127.0.0.1", "listen_port": str(port), "auth_type": "any", "unix_socket_dir": ""} | dict(options)
    return "\n".join(["[databases]", *databases, "[pgbouncer]", *(f"{name} = {value}" for name, value in chosen.items()), ""])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
