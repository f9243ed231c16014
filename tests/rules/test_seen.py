"""The table of what was seen is written by runs alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import seen

TESTS = {"green": "def test_it() -> None: ...", "red": "def test_it() -> None:\n    assert False", "empty": ""}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "seen.md"
    path.write_text("# Seen\n\n" + seen.HEAD + "| Another 1 | `all` | 3 | 1 | 2026-01-02 |\n")
    return path


def run(kind: str, folder: Path, document: Path) -> list[str]:
    file = folder / f"test_{kind}.py"
    file.write_text(TESTS[kind])
    report = seen.Report({seen.SETTING: "yes"})
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", *report.options(), str(file)]
    subprocess.run(command, env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, stdout=subprocess.DEVNULL)
    report.write("A part 2", ["-n", "2", "-m", "some", "-s"], document)
    return document.read_text().splitlines()[4:]


def test_a_green_run_has_one_row_and_a_red_one_takes_it_away(tmp_path: Path, document: Path) -> None:
    document.write_text(document.read_text() + "| A part 2 | `-m some` | 3 | 0 | 2026-01-01 |\n")
    mine, other = run("green", tmp_path, document)
    assert mine.startswith("| A part 2 | `-m some` | 1 | 0 | 20")
    assert "2026-01-01" not in mine
    assert other == "| Another 1 | `all` | 3 | 1 | 2026-01-02 |"
    assert run("red", tmp_path, document) == [other]


def test_a_run_without_a_test_shows_nothing(tmp_path: Path, document: Path) -> None:
    assert len(run("empty", tmp_path, document)) == 1


def test_nothing_is_written_unless_it_is_wanted(document: Path) -> None:
    before = document.read_text()
    report = seen.Report({})
    report.write("A part 2", ["-m", "some"], document)
    assert (report.options(), document.read_text()) == ((), before)


def test_the_document_is_as_runs_write_it() -> None:
    before, lines = seen.DOCUMENT.read_text().split(seen.HEAD)
    assert before.startswith("# ")
    assert lines.splitlines() == sorted(lines.splitlines())
    assert all(line.startswith(("| PostgreSQL ", "| Apache Kafka ")) for line in lines.splitlines())
