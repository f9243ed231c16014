"""Logs: an event name and its fields per line, whoever writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.processes import ROOT

PROGRAM = """
import logging, structlog
from app import logs
logs.configure(LEVEL, FORM)
structlog.get_logger().info("deal.won", amount=1)
structlog.get_logger().warning("deal.lost")
logging.getLogger("library").warning("it happened %s", "twice")
logging.getLogger("library").info("of no interest")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("deal.failed")
"""


def written(level: str, form: str = "json") -> list[str]:
    program = PROGRAM.replace("LEVEL", repr(level)).replace("FORM", repr(form))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_every_line_is_a_json_object_with_event_level_and_time() -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in written("info")]
    assert [line["event"] for line in lines] == ["deal.won", "deal.lost", "it happened twice", "deal.failed"]
    assert [line["level"] for line in lines] == ["info", "warning", "warning", "error"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert (lines[0]["amount"], lines[2]["logger"]) == (1, "library")
    assert "ZeroDivisionError" in lines[3]["exception"]


@pytest.mark.parametrize(("level", "kept"), [("warning", 3), ("error", 1)])
def test_less_severe_lines_are_left_out(level: str, kept: int) -> None:
    assert len(written(level)) == kept


def test_a_person_reads_lines_without_json() -> None:
    first, *_ = written("info", "console")
    assert "deal.won" in first
    assert "amount=1" in first
    assert not first.startswith("{")
