"""The table in ``docs/seen.md``: with which parts, of which versions, which tests were green on which day.

A run that fetches its parts writes its row if ``SEEN`` is set: ``make test-kafka SEEN=yes``. What failed, or ran no test, writes
none, and takes the row of the same parts and tests away.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tests.support.processes import ROOT

DOCUMENT = ROOT / "docs" / "seen.md"
HEAD = "| Part | Tests | Passed | Left out | Day |\n|---|---|---|---|---|\n"
SETTING = "SEEN"
TELLING = {"-q", "-s", "-v", "-x"}


class Row(NamedTuple):
    part: str
    tests: str
    passed: int
    left_out: int
    day: date

    def line(self) -> str:
        return f"| {self.part} | `{self.tests}` | {self.passed} | {self.left_out} | {self.day.isoformat()} |\n"


class Report:
    """Of one run of pytest: its options, and afterwards its row."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._wanted = bool(environ.get(SETTING))
        self._file = Path(tempfile.mkdtemp(prefix="opportunities-seen-")) / "tests.xml" if self._wanted else None

    def options(self) -> Sequence[str]:
        return (f"--junitxml={self._file}",) if self._file else ()

    def write(self, part: str, tests: Sequence[str], document: Path = DOCUMENT) -> None:
        """What the run has shown of a part, with these options of pytest."""
        if self._file is None:
            return
        named = shlex.join(choice(tests)) or "all by default"
        row = read(self._file, part, named) if self._file.exists() else None
        record(document, part, named, row)


def choice(options: Sequence[str]) -> list[str]:
    """The options of pytest that choose tests; not how many run at once, or how it tells of them."""
    chosen, given = [], iter(options)
    for option in given:
        if option == "-n":
            next(given, None)
        elif option not in TELLING:
            chosen.append(option)
    return chosen


def read(file: Path, part: str, tests: str) -> Row | None:
    """The row of a report in JUnit's form; None if something failed or no test ran."""
    suites = list(ElementTree.parse(file).iter("testsuite"))  # noqa: S314  pytest's own

    def sum_of(name: str) -> int:
        return sum(int(suite.get(name, 0)) for suite in suites)

    passed = sum_of("tests") - sum_of("skipped")
    if sum_of("failures") or sum_of("errors") or not passed:
        return None
    return Row(part, tests, passed, sum_of("skipped"), datetime.now(UTC).date())


def record(document: Path, part: str, tests: str, row: Row | None) -> None:
    """Put a row in its place among the others, instead of that of the same part and tests."""
    before, lines = document.read_text().split(HEAD)
    same = f"| {part} | `{tests}` |"
    kept = [line for line in lines.splitlines(keepends=True) if not line.startswith(same)]
    document.write_text(before + HEAD + "".join(sorted([*kept, *([row.line()] if row else [])])))
