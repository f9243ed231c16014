"""The command line: what an operator does with it, and that every failure is a line that says what to do."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import click
import psycopg
import pytest
import structlog

from app.cli import explanations, main
from app.cli.database_errors import FULL
from app.process import ports
from tests.support import postgres

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a verb in a clean environment: exit code, stdout, stderr."""
    for name in os.environ:
        if name.startswith("OPPORTUNITIES_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)

    def call(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        code = main.run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    handlers = logging.getLogger().handlers[:]
    yield call
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def elsewhere(**changed: str) -> str:
    """The URL of the run's server with another database or password."""
    parts = urlsplit(postgres.server_url())
    user, _, place = parts.netloc.rpartition("@")
    if "password" in changed:
        user = f"{user.partition(':')[0]}:{changed['password']}"
    return urlunsplit(parts._replace(netloc=f"{user}@{place}", path=changed.get("path", parts.path)))


def test_an_org_and_its_tokens_are_made_and_ended(run: Run, database_url: str) -> None:
    code, out, _ = run("org", "create", "--name", "Acme", "--admin-email", "ada@acme.example", "--database-url", database_url)
    made = json.loads(out)
    assert (code, sorted(made)) == (0, ["org_id", "token", "user_id"])
    code, out, _ = run("token", "create", "--email", "ADA@acme.example", DATABASE_URL=database_url)
    second = json.loads(out)
    assert (code, second["org_id"], second["user_id"]) == (0, made["org_id"], made["user_id"])
    assert run("token", "revoke", second["token_id"])[0] == 0
    assert run("token", "revoke", made["token"])[0] == 0
    code, out, _ = run("audit", "--org", made["org_id"])
    types = [json.loads(line)["type"] for line in out.splitlines()]
    assert (code, types.count("token.issued"), types.count("token.revoked")) == (0, 2, 2)
    assert made["token"] not in out


def test_the_history_of_one_record_is_told(run: Run, database_url: str) -> None:
    made = json.loads(run("org", "create", "--name", "A", "--admin-email", "a@a.example", DATABASE_URL=database_url)[1])
    code, out, _ = run("audit", "--record", made["user_id"])
    (created,) = (json.loads(line) for line in out.splitlines())
    assert (code, created["id"], created["changes"]["email"]) == (0, made["user_id"], [None, "a@a.example"])
    assert run("audit", "--record", str(uuid4())) == (1, "", "opportunities: There is no such record.\n")


def test_read_models_are_rebuilt_and_verified(run: Run, database_url: str) -> None:
    run("org", "create", "--name", "Acme", "--admin-email", "ada@acme.example", DATABASE_URL=database_url)
    code, out, _ = run("rebuild", "--all")
    assert (code, out.startswith("Rebuilt directory, ")) == (0, True)
    assert run("verify") == (0, "The read models equal the log.\n", "")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE directory SET name = 'Changed by hand' WHERE kind = 'organization'")
    code, out, err = run("verify")
    assert (code, out.count("directory: only in the ")) == (1, 2)
    assert err == "opportunities: The read models differ from the log in directory: run `opportunities rebuild --all`.\n"


def test_a_schema_is_made_and_checked(run: Run, empty_database_url: str) -> None:
    url = empty_database_url
    told = "opportunities: The database has no schema yet: run `opportunities migrate`.\n"
    for verb in (["migrate", "--check"], ["serve"], ["verify"], ["audit", "--org", str(uuid4())]):
        assert run(*verb, DATABASE_URL=url) == (1, "", told)
    assert run("migrate")[0] == 0
    assert run("migrate") == (0, "the schema was up to date\n", "")
    assert run("migrate", "--check") == (0, "The schema is up to date.\n", "")


def test_an_older_schema_is_refused_in_a_line(run: Run, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE read_models SET version = 0 WHERE name = 'directory'")
    code, out, err = run("serve", DATABASE_URL=database_url)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.endswith("run `opportunities migrate`.\n")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://nobody@127.0.0.1:1/x", "nothing listens there: start it, or check host and port"),
        ("postgresql://nobody@no.such.host.invalid/x", "there is no such host: check DATABASE_URL"),
        ("postgresql://127.0.0.1/x?colour=red", 'DATABASE_URL cannot be read: invalid URI query parameter: "colour"'),
    ],
)
def test_a_server_that_is_not_there_is_told_in_a_line(run: Run, url: str, told: str) -> None:
    code, out, err = run("migrate", DATABASE_URL=url)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert told in err


def test_a_wrong_database_is_told_in_a_line(run: Run) -> None:
    code, _, err = run("migrate", DATABASE_URL=elsewhere(path="/no_such_database"))
    assert (code, err.count("\n")) == (1, 1)
    assert "there is no such database or user on it" in err


@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="the server given may ask for no password")
def test_a_wrong_password_is_told_in_a_line_that_does_not_repeat_it(run: Run) -> None:
    code, _, err = run("migrate", DATABASE_URL=elsewhere(password="mistaken"))
    told = "PostgreSQL cannot be used: it refuses the user or password: check both in DATABASE_URL."
    assert (code, err) == (1, f"opportunities: {told}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serv"], "No such command 'serv'. Did you mean 'serve'?"),
        (["serve", "--workers", "none"], "'none' is not a valid integer range"),
        (["serve", "--port", "0"], "0 is not in the range 1<=x<=65535"),
        (["audit", "--org", "acme"], "'acme' is not a valid UUID"),
        (["audit"], "Give --record ID or --org ID."),
        (["rebuild"], "Name the read models to rebuild (directory, "),
        (["org", "create", "--name", "Acme"], "Missing option '--admin-email'"),
        (["migrate"], "DATABASE_URL is not set"),
        (["migrate", "--database-url", "mysql://localhost/x"], "DATABASE_URL must start with postgresql://"),
    ],
)
def test_a_wrong_call_is_told_in_a_line(run: Run, arguments: list[str], told: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["org", "create", "--name", "A", "--admin-email", "a@a.example", "--currency", "GOLD"], "currency: 'GOLD' is not"),
        (["org", "create", "--name", "A", "--admin-email", "nonsense"], "email: "),
        (["token", "create", "--email", "nobody@acme.example"], "There is no active user nobody@acme.example."),
        (["token", "revoke", "mine"], "'mine' is neither a token nor a token's id."),
        (["token", "revoke", str(uuid4())], "There is no such token."),
        (["rebuild", "directories"], "There is no read model 'directories'; there are directory, "),
    ],
)
def test_a_refusal_is_told_in_a_line(run: Run, shared_database_url: str, arguments: list[str], told: str) -> None:
    code, out, err = run(*arguments, DATABASE_URL=shared_database_url)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert told in err


def test_a_taken_port_is_told_in_a_line(run: Run, shared_database_url: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        code, _, err = run("serve", "--port", port, DATABASE_URL=shared_database_url)
    assert code == 1
    assert (
        err == f"opportunities: Port {port} is in use by another program: stop that program, or choose another port with --port.\n"
    )


def test_a_full_disk_is_told_in_a_line() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert explanations.explain(full) == explanations.explain(psycopg.errors.DiskFull("no space")) == (FULL, 1)


def test_a_fault_of_ours_is_called_that_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.fail(KeyError("stage")) == 1
    told = "Internal error, please report it: KeyError: 'stage'. OPPORTUNITIES_LOG_LEVEL=debug shows where."
    assert capsys.readouterr().err == f"opportunities: {told}\n"


def test_the_settings_in_force_are_shown_without_secrets(run: Run) -> None:
    code, out, _ = run("config", DATABASE_URL="postgresql://u:secret@h/d", OPPORTUNITIES_METRICS_TOKEN="secret")
    assert code == 0
    assert "DATABASE_URL=postgresql://u:***@h/d\n" in out
    assert "secret" not in out


def test_the_doctor_finds_nothing_wrong_here(run: Run, database_url: str) -> None:
    code, out, _ = run("doctor", DATABASE_URL=database_url, OPPORTUNITIES_PORT=str(ports.free_port()))
    assert code == 0, out
    assert "the schema is this version's" in out


def test_the_doctor_names_what_is_wrong(run: Run) -> None:
    code, out, _ = run("doctor", DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")
    assert code == 1
    assert "problem  PostgreSQL cannot be used: nothing listens there" in out


def test_every_verb_is_in_the_help_with_a_summary_and_has_a_page_of_its_own(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name, summary in main.SUMMARIES.items():
        assert f"  {name} " in out
        assert summary.split(";")[0][:40] in out
        assert main.verb(name).name == name
        assert main.verb(name).help
    files = {path.stem for path in Path(main.__file__).parent.glob("[a-z]*.py")}
    found = [getattr(import_module(f"app.cli.{name}"), name, None) for name in files]
    verbs = {one.name for one in found if isinstance(one, click.Command)}
    assert verbs == set(main.SUMMARIES)
