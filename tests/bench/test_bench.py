"""The benchmark runs from an empty folder, compares the answers of both sides and leaves no process behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import databases

ARGUMENTS = (
    "--deals 300 --rounds 1 --seconds 1 --only list --only create --only transition --only list-limit --only stack --only live"
)


@pytest.mark.bench
@pytest.mark.timeout(240)
def test_a_run_reports_every_measure_and_leaves_nothing_running(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.bench.run", *ARGUMENTS.split(), "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(
        [*command, "--json", str(report)], cwd=databases.ROOT, capture_output=True, text=True, start_new_session=True
    )
    assert done.returncode in (0, 1), done.stderr  # on so few deals a bar may be missed
    found = {one["name"]: one for one in json.loads(report.read_text())["measures"]}
    assert set(found) == {"list", "create", "transition", "list-limit", "stack", "live"}
    assert [one["failure"] for one in found.values() if one["failure"]] == []
    assert all(one["figure"] > 0 and one["ours"][0]["cpu"] for one in found.values())
    assert not [entry for entry in os.listdir("/proc") if entry.isdigit() and _mentions(entry, str(tmp_path))]
    assert "page of 50 by stage and close dates" in done.stdout


def _mentions(pid: str, text: str) -> bool:
    try:
        return text.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and int(pid) != os.getpid()
    except OSError:
        return False
