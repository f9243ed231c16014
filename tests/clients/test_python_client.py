"""openapi-python-client makes of the document a client that type-checks and works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.documents import openapi_document
from tests.support.scenarios import Org

HERE = Path(__file__).parent
USAGE = HERE / "python_usage.py"
CONFIG = {"post_hooks": [], "package_name_override": "opportunities_client"}


def run(*command: str, cwd: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the generated package."""
    folder = tmp_path_factory.mktemp("python-client")
    (folder / "openapi.json").write_text(json.dumps(openapi_document()))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    options = ("--path", "openapi.json", "--config", "config.json", "--meta", "none", "--output-path", "opportunities_client")
    run("openapi_python_client", "generate", *options, "--fail-on-warning", cwd=folder)
    return folder


@pytest.mark.slow
def test_the_generated_client_and_a_program_on_it_type_check(client: Path) -> None:
    (client / USAGE.name).write_text(USAGE.read_text())
    run("mypy", "--strict", "--config-file=", f"--cache-dir={client / 'cache'}", "opportunities_client", USAGE.name, cwd=client)


def test_a_program_on_the_generated_client_works(client: Path, org: Org) -> None:
    (client / USAGE.name).write_text(USAGE.read_text())
    run("python_usage", f"http://127.0.0.1:{org.server.port}", org.token, cwd=client, PYTHONPATH=str(client))
