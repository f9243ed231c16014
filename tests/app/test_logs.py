"""Logs: an event name and its fields per line, whoever writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.processes import ROOT

PROGRAM = """
import asyncio, logging, structlog, uuid
from app import logs
logs.configure(LEVEL, FORM)
structlog.get_logger().info("deal.won", amount=1)
structlog.get_logger().warning("deal.lost")
logging.getLogger("library").warning("it happened %s", "twice")
logging.getLogger("library").info("of no interest")
who = {"org_id": uuid.UUID(int=1), "user_id": None, "token_id": None}
async def answer():
    logs.request(logs.Request(method="GET", path="/api/me/", route="/api/me", status=200, ms=0.25, request_id="7", **who))
asyncio.run(answer())
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
    assert [line["event"] for line in lines] == ["deal.won", "deal.lost", "it happened twice", "http.request", "deal.failed"]
    assert [line["level"] for line in lines] == ["info", "warning", "warning", "info", "error"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert (lines[0]["amount"], lines[2]["logger"]) == (1, "library")
    assert "ZeroDivisionError" in lines[4]["exception"]
    request = {name: value for name, value in lines[3].items() if name not in ("event", "level", "timestamp")}
    assert request == {
        "method": "GET",
        "path": "/api/me/",
        "route": "/api/me",
        "status": 200,
        "ms": 0.25,
        "request_id": "7",
        "org_id": "00000000-0000-0000-0000-000000000001",
        "user_id": None,
        "token_id": None,
    }


@pytest.mark.parametrize(("level", "kept"), [("warning", 3), ("error", 1)])
def test_less_severe_lines_are_left_out(level: str, kept: int) -> None:
    assert len(written(level)) == kept


def test_a_person_reads_lines_without_json() -> None:
    first, *others = written("info", "console")
    assert "deal.won" in first
    assert "amount=1" in first
    assert not first.startswith("{")
    (request,) = [line for line in others if "http.request" in line]
    assert "path=/api/me/" in request
