"""``opportunities import`` and the worker ``opportunities imports``: the engine of imports from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from app.cli import import_work
from app.importing.options import Options
from app.process.failures import Failure
from tests.app.importing.reading import EXPORTS
from tests.support.imports import done_under_kills, send
from tests.support.processes import ROOT
from tests.support.scenarios import Json, Org, made

HUBSPOT = EXPORTS / "hubspot"


def run(url: str, *arguments: str) -> tuple[int, Json, str]:
    command = [sys.executable, "-m", "app.cli", "import", *arguments, "--database-url", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr


def test_a_file_is_imported_with_its_history_and_taken_back(org: Org, shared_database_url: str, tmp_path: Path) -> None:
    email = made(org.admin.get("/api/users/me/"), 200)["email"]
    here = ("--org", org.id, "--as", email)
    code, found, _ = run(shared_database_url, str(HUBSPOT / "companies.csv"), "--kind", "accounts", *here)
    assert (code, found["state"], found["created"]) == (0, "done", 10)
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps({"values": {"owner": dict.fromkeys(["Rita Lang", "Tom Okafor", "Zoë Brandt", "Li Wei"], email)}}))
    deals = [str(HUBSPOT / "deals.csv"), "--history", str(HUBSPOT / "deal-stage-history.csv"), "--mapping", str(mapping), *here]
    code, found, said = run(shared_database_url, *deals, "--dry-run")
    assert (code, found["state"], found["created"], said, org.listed("")["count"]) == (0, "ready", 60, "", 0)
    code, found, _ = run(shared_database_url, *deals)
    assert (code, found["created"], org.listed("")["count"]) == (0, 60, 60)
    code, undone, _ = run(shared_database_url, "--org", org.id, "--as", email, "--undo", found["id"])
    assert (code, undone["state"], org.listed("")["count"]) == (0, "undone", 0)


def test_what_is_wrong_is_said_by_line(org: Org, shared_database_url: str, tmp_path: Path) -> None:
    email = made(org.admin.get("/api/users/me/"), 200)["email"]
    file = tmp_path / "deals.csv"
    file.write_text("Name,Account,Amount\nA,Acme,lots\n")
    code, found, said = run(shared_database_url, str(file), "--org", org.id, "--as", email)
    assert (code, found["failed"]) == (3, 1)
    assert "line 2: Amount: lots: This is no number" in said
    file.write_text("")
    code, _, said = run(shared_database_url, str(file), "--org", org.id, "--as", email)
    assert (code, "The file is empty: send one with a header and rows." in said) == (1, True)
    assert run(shared_database_url, str(file), "--org", org.id, "--as", "nobody@example.com")[0] == 1


def test_the_files_of_an_import_have_a_bound_together(
    org: Org, shared_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_work, "MAX_BYTES", 10)
    files = [tmp_path / "deals.csv", tmp_path / "history.csv"]
    for file in files:
        file.write_bytes(b"Name\nA\n")
    with psycopg.connect(shared_database_url) as connection, pytest.raises(Failure, match="MB together: split them"):
        import_work.receive(connection, UUID(org.id), "opportunities", UUID(org.admin_id), files, Options())


@pytest.mark.long
def test_kill_9_of_the_worker_leaves_every_row_done_once(org: Org, shared_database_url: str) -> None:
    lines = "".join(f"Deal {number},Account {number % 7},E{number},100,2026-01-01,2026-02-01,won\n" for number in range(1_500))
    data = f"Name,Account,External id,Amount,Created,Closed at,Stage\n{lines}".encode()
    done = done_under_kills(org.admin, shared_database_url, made(send(org.admin, data)), 5)
    assert (done["state"], done["created"], done["failed"], done["done"]) == ("done", 1_500, 0, 1_500)
    assert org.listed("status=won")["count"] == org.listed("")["count"] == 1_500
    assert org.listed("", "/api/accounts/")["count"] == 7
