"""The forms of ``DATABASE_URL``, seen to work and seen to fail in a line: TLS, passwords, several hosts, a socket, a password file.

There are three servers of one cluster's data: a primary that asks for TLS, its standby, and a read-only one whose certificate has
expired. They need a PostgreSQL built with TLS, which the packaged one is not.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from app.cli import main
from app.dev import postgres_binaries
from app.dev.postgres import Postgres
from app.process import ports
from tests.support import postgres
from tests.support.certificates import Authority, Pair
from tests.support.processes import opportunities
from tests.support.server import serving

PASSWORD = "s3 cr@t:/?#[]%20&+=é"
WORDS = quote(PASSWORD, safe="")
CURRENT = "The schema is up to date.\n"
TLS = {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
TLS_ONLY = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n"


class Servers(NamedTuple):
    primary: Postgres
    standby: Postgres
    read_only: Postgres
    socket: Path
    ours: Authority
    others: Authority

    def url(self, *places: str, password: str = WORDS, **parameters: str) -> str:
        """The product's database at these places, by default at the primary."""
        hosts = ",".join(places or [f"localhost:{self.primary.port}"])
        asked = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
        return f"postgresql://app{':' if password else ''}{password}@{hosts}/product?{asked}"

    def verified(self, *places: str, **more: str) -> str:
        return self.url(*places, **{"sslmode": "verify-full", "sslrootcert": str(self.ours.certificate), **more})


Run = Callable[..., tuple[int, str, str]]
Check = Callable[[str], tuple[int, str, str]]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    ours, others = Authority(folder / "ours"), Authority(folder / "others", "Others")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PG_BIN_DIR", str(programs_with_tls()))
        socket = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opportunities-")))

        def start(name: str, **options: str) -> Postgres:
            server = Postgres.start(folder / name, durable=False, options=TLS | options)
            stack.callback(server.stop)
            return server

        with psycopg.connect((new := Postgres.start(folder / "primary", durable=False)).url, autocommit=True) as connection:
            set_up(connection)
        new.stop()
        if new.user is not None:
            os.chown(socket, new.user, -1)
        write(new, "pg_hba.conf", TLS_ONLY)
        certify(new, ours.issue("primary", ["DNS:localhost"]))
        copies = {name: copy(new, folder / name) for name in ("standby", "read_only")}
        write(new, "standby.signal", "", at=copies["standby"])
        certify(new, ours.issue("old", ["DNS:localhost"], expired=True), at=copies["read_only"])
        yield Servers(
            start("primary", unix_socket_directories=str(socket)),
            start("standby"),
            start("read_only", default_transaction_read_only="on"),
            socket,
            ours,
            others,
        )


def programs_with_tls() -> Path:
    for folder in postgres_binaries.candidates():
        asked = folder / "pg_config"
        if asked.exists() and "ssl" in subprocess.run([asked, "--configure"], capture_output=True, text=True, check=False).stdout:
            return folder
    pytest.skip("no PostgreSQL here is built with TLS: install one (Debian: apt-get install postgresql)")


def set_up(connection: psycopg.Connection) -> None:
    """The product's user and database, migrated by a process that reads a password of special characters."""
    connection.execute(sql.SQL("CREATE ROLE app LOGIN CREATEROLE PASSWORD {}").format(sql.Literal(PASSWORD)))
    connection.execute("CREATE DATABASE product OWNER app")
    url = f"postgresql://app:{WORDS}@127.0.0.1:{connection.info.port}/product"
    done = opportunities("migrate", env={"DATABASE_URL": url})
    assert (done.returncode, done.stderr) == (0, "")


def copy(server: Postgres, folder: Path) -> Path:
    subprocess.run(["cp", "-Rp", str(server.data_dir), str(folder)], check=True)
    return folder / server.cluster.name


def write(server: Postgres, name: str, text: str, at: Path | None = None) -> None:
    """A file of the cluster, which the server can read and nobody else."""
    file = (at or server.cluster) / name
    file.write_text(text)
    file.chmod(0o600)
    if server.user is not None:
        os.chown(file, server.user, -1)


def certify(server: Postgres, pair: Pair, at: Path | None = None) -> None:
    write(server, "server.crt", pair.certificate.read_text(), at)
    write(server, "server.key", pair.key.read_text(), at)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A verb: exit code, stdout, stderr, none of which has the password."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(arguments)
        out, err = capfd.readouterr()
        assert not [part for part in ("s3 ", "s3%20", "cr@t", "cr%40t") if part in out + err]
        return code, out, err

    return call


@pytest.fixture
def check(run: Run) -> Check:
    """``opportunities migrate --check`` with a URL."""
    return lambda url: run("migrate", "--check", "--database-url", url)


def refusal(answer: tuple[int, str, str]) -> str:
    """The one line of a failure."""
    code, out, err = answer
    assert (code, out, err.count("\n")) == (1, "", 1), answer
    return err.removeprefix("opportunities: PostgreSQL cannot be used: ")


def test_a_verified_server_is_used(servers: Servers, check: Check) -> None:
    assert check(servers.verified()) == (0, CURRENT, "")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sslrootcert": "others"}, "sslrootcert in DATABASE_URL is not the authority that signed it"),
        ({"sslrootcert": "/nowhere/ca.pem"}, "name it as sslrootcert in DATABASE_URL"),
        ({"sslrootcert": ""}, "name it as sslrootcert in DATABASE_URL"),
        ({"host": "127.0.0.1"}, "use a name of the certificate as the host in DATABASE_URL"),
        ({"host": "expired"}, "its certificate has expired"),
        ({"sslmode": "disable"}, "only with TLS, if at all: check sslmode in DATABASE_URL"),
        ({"sslmode": "verify-ful"}, 'invalid sslmode value: "verify-ful"'),
        ({"password": "s3wrong"}, "it refuses the user or password: check both in DATABASE_URL"),
        ({"password": ""}, "put it into DATABASE_URL, or into the file of PGPASSFILE"),
    ],
)
def test_what_is_wrong_with_one_server_is_told_in_a_line(servers: Servers, check: Check, change: dict[str, str], told: str) -> None:
    places = {"127.0.0.1": f"127.0.0.1:{servers.primary.port}", "expired": f"localhost:{servers.read_only.port}"}
    more = {name: value for name, value in change.items() if name != "host"}
    if more.get("sslrootcert") == "others":
        more["sslrootcert"] = str(servers.others.certificate)
    at = [places[change["host"]]] if "host" in change else []
    assert told in refusal(check(servers.verified(*at, **more)))


@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="the server given may have TLS")
def test_a_server_without_tls_is_refused_where_tls_is_asked_for(servers: Servers, check: Check) -> None:
    url = f"{postgres.server_url()}?sslmode=verify-full&sslrootcert={servers.ours.certificate}"
    assert "it has no TLS: set ssl = on there, or check sslmode" in refusal(check(url))


def test_a_socket_is_used_in_either_form(servers: Servers, check: Check) -> None:
    folder, port = str(servers.socket), servers.primary.port
    assert check(servers.url(f"{quote(folder, safe='')}:{port}")) == (0, CURRENT, "")
    assert check(servers.url("", host=folder, port=str(port))) == (0, CURRENT, "")
    assert "there is no such socket: check the host in DATABASE_URL" in refusal(check(servers.url("", host=folder, port="1")))


def test_a_password_file_is_used(servers: Servers, check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = password_file(tmp_path, PASSWORD)
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert check(servers.url(password="")) == (0, CURRENT, "")
    assert check(servers.url(password="", sslmode="require")) == (0, CURRENT, "")
    password_file(tmp_path, "s3wrong")
    assert "which comes from a password file (PGPASSFILE)" in refusal(check(servers.url(password="")))


def password_file(folder: Path, password: str) -> Path:
    file = folder / "passwords"
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"*:*:product:app:{escaped}\n")
    file.chmod(0o600)
    return file


def test_of_several_hosts_the_one_that_takes_writes_is_used(servers: Servers, run: Run, check: Check) -> None:
    down, standby, read_only, primary = places(servers)
    for first in (down, standby, read_only):
        url = servers.url(first, primary, target_session_attrs="read-write")
        code, out, err = run("org", "create", "--name", "Acme", "--admin-email", "a@a.example", "--database-url", url)
        assert (code, sorted(json.loads(out)), err) == (0, ["org_id", "token", "user_id"], "")
    told = refusal(check(servers.url(down, standby, read_only, target_session_attrs="read-write")))
    assert f"at {down} nothing listens there: start it" in told
    for place in (standby, read_only):
        assert f"at {place} it is read-only, and target_session_attrs in DATABASE_URL asks for one that takes writes" in told


def places(servers: Servers) -> list[str]:
    """A port where nothing listens, and the servers."""
    numbers = [ports.free_port(), servers.standby.port, servers.read_only.port, servers.primary.port]
    return [f"localhost:{number}" for number in numbers]


@pytest.mark.parametrize("name", ["standby", "read_only"])
@pytest.mark.parametrize(
    "verb", [["org", "create", "--name", "A", "--admin-email", "a@a.example"], ["migrate"], ["relay"], ["serve"]]
)
def test_a_read_only_server_is_told_in_a_line_before_a_write(servers: Servers, run: Run, name: str, verb: list[str]) -> None:
    told = refusal(run(*verb, "--database-url", servers.url(f"localhost:{getattr(servers, name).port}")))
    assert told.startswith("it is read-only, as a standby is: name the primary in DATABASE_URL")


def test_the_api_serves_over_several_hosts_with_verified_tls_and_a_password_file(servers: Servers, tmp_path: Path) -> None:
    down, standby, _, primary = places(servers)
    url = servers.verified(down, standby, primary, password="", target_session_attrs="read-write")
    env = {"PGPASSFILE": str(password_file(tmp_path, PASSWORD)), "DATABASE_URL": url}
    made = json.loads(opportunities("org", "create", "--name", "Acme", "--admin-email", "a@a.example", env=env).stdout)
    with serving(url, PGPASSFILE=env["PGPASSFILE"]) as server, server.client(made["token"]) as client:
        created = client.post("/api/accounts/", {"name": "Acme Corp"})
        assert created.status == 201
        assert client.get(f"/api/accounts/{created.json()['id']}/").status == 200


def test_the_doctor_tells_what_is_wrong_and_no_password(servers: Servers) -> None:
    url = servers.verified(f"127.0.0.1:{servers.primary.port}")
    done = opportunities("doctor", env={"DATABASE_URL": url, "OPPORTUNITIES_PORT": str(ports.free_port())})
    assert done.returncode == 1
    assert "problem  PostgreSQL cannot be used: its certificate is for another host" in done.stdout
    assert f"the database is postgresql://app:***@127.0.0.1:{servers.primary.port}/product?sslmode=verify-full" in done.stdout
    assert "s3" not in done.stdout + done.stderr
