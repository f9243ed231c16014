"""``opportunities export``: lists as files from the command line, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from tests.support.processes import ROOT
from tests.support.scenarios import Org

INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("app.cli", run_name="__main__")
"""
"""What is started in the background of a shell ignores the signal, unless it says otherwise."""


def command(url: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "app.cli", "export", "--database-url", url, *arguments]


def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(url, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_a_file_is_what_the_api_gives(org: Org, shared_database_url: str, tmp_path: Path) -> None:
    org.opportunity("a", tags=["x"])
    org.won(name="b")
    file = tmp_path / "won.csv"
    done = run(shared_database_url, str(file), "--org", org.id, "--query", "status=won&fields=name,status")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"file": str(file), "records": 1}), done.stderr
    assert file.read_text() == "name,status\nb,won\n"
    assert [one.name for one in tmp_path.iterdir()] == ["won.csv"]
    piped = run(shared_database_url, "-", "--org", org.id, "--format", "ndjson", "--kind", "accounts")
    assert [json.loads(line) for line in piped.stdout.splitlines()] == org.listed("", "/api/accounts/")["results"]


def test_what_is_wrong_is_one_line_and_leaves_no_file(org: Org, shared_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "deals.csv"
    done = run(shared_database_url, str(file), "--org", org.id, "--query", "stagee=won")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "stagee: Unknown parameter. Did you mean stage?" in done.stderr
    assert run(shared_database_url, str(tmp_path / "deals"), "--org", org.id).returncode == 2
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_no_half_file(org: Org, shared_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "deals.csv"
    file.write_text("the last one")
    with psycopg.connect(shared_database_url) as connection:
        connection.execute("LOCK TABLE opportunities IN ACCESS EXCLUSIVE MODE")
        arguments = command(shared_database_url, str(file), "--org", org.id, "--query", "fields=id")[3:]
        process = subprocess.Popen([sys.executable, "-c", INTERRUPTIBLE, *arguments], cwd=ROOT)
        waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'opportunities'::regclass AND NOT granted"
        while connection.execute(waiting).fetchone() == (0,):
            assert process.poll() is None
            connection.execute("SELECT pg_sleep(0.02)")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("deals.csv", "the last one")]
