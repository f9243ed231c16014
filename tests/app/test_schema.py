"""schemathesis over the whole schema, every check on: what it makes up is answered as the document says, never by a 500."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scenarios import Org

CONFIG = Path(__file__).with_name("schemathesis.toml")
SHORT = 4
RUNS = [
    pytest.param("examples,fuzzing", SHORT, id="short"),
    pytest.param("coverage", SHORT, marks=pytest.mark.long, id="coverage"),
    pytest.param("examples,coverage,fuzzing", 60, marks=pytest.mark.long, id="long"),
]
"""What it makes up, and of how many examples. The coverage of every bound of every parameter takes it a minute or more."""
OWN_ACCESS = r"/api/(users|tokens)/\{id\}/"
"""Operations by which it would end its own access; they come last."""


def schemathesis(org: Org, *options: str) -> None:
    command = [
        *(str(Path(sys.executable).with_name("st")), "--config-file", str(CONFIG), "run"),
        f"http://127.0.0.1:{org.server.port}/schema/openapi.json",
        *("--header", f"Authorization: Bearer {org.token}"),
        *("--checks", "all"),
        *("--suppress-health-check", "all", "--generation-database", "none"),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, cwd=CONFIG.parent)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("phases", "examples"), RUNS)
def test_every_operation_answers_as_the_document_says(org: Org, phases: str, examples: int) -> None:
    """The short run makes up the same each time. A long one may find what the document cannot say: a text that is too long as it is
    sent is taken if it is not without the space around it, in NFC."""
    org.opportunity(custom_fields={"competitor": "x"}, stakeholder_ids=[org.contact()["id"]], amount="100")
    chosen = ("--phases", phases, "--max-examples", str(examples), *(() if examples > SHORT else ("--seed", "1")))
    schemathesis(org, *chosen, "--exclude-path-regex", OWN_ACCESS)
    schemathesis(org, *chosen, "--include-path-regex", OWN_ACCESS)
