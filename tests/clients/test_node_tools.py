"""What tools on Node.js say of the documents. They are fetched once, into a cache outside this tree: ``make test-clients``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.clients.documents import asyncapi_document, openapi_document

pytestmark = pytest.mark.node

HERE = Path(__file__).parent
PACKAGES = ("package.json", "package-lock.json")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def tools() -> Path:
    """The folder with the pinned packages, made where there is none."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Needs Node.js: install node 20 or newer with npm.")
    digest = sha256(b"".join((HERE / name).read_bytes() for name in PACKAGES)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opportunities" / f"clients-{digest}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in PACKAGES:
            shutil.copy(HERE / name, folder)
        run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="module")
def work(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the documents, from which the tools are found."""
    folder = tmp_path_factory.mktemp("node-tools")
    (folder / "node_modules").symlink_to(tools / "node_modules")
    (folder / "openapi.json").write_text(json.dumps(openapi_document()))
    (folder / "asyncapi.json").write_text(json.dumps(asyncapi_document()))
    for name in ("usage.ts", "redocly.yaml", "asyncapi.mjs"):
        shutil.copy(HERE / name, folder)
    return folder


def run(cwd: Path, *command: str) -> str:
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "NO_UPDATE_NOTIFIER": "1", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(list(command), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(400)
def test_the_openapi_linter_finds_nothing(work: Path) -> None:
    found = json.loads(
        run(work, "node_modules/.bin/redocly", "lint", "--config", "redocly.yaml", "--format", "json", "openapi.json")
    )
    assert found["problems"] == []


@pytest.mark.timeout(400)
def test_the_asyncapi_parser_finds_nothing(work: Path) -> None:
    assert json.loads(run(work, "node", "asyncapi.mjs", "asyncapi.json")) == []


@pytest.mark.timeout(400)
def test_a_program_on_the_generated_typescript_types_type_checks(work: Path) -> None:
    run(work, "node_modules/.bin/openapi-typescript", "openapi.json", "--output", "client.ts")
    run(
        work,
        "node_modules/.bin/tsc",
        "--strict",
        "--noEmit",
        "--target",
        "es2022",
        "--moduleResolution",
        "bundler",
        "--module",
        "esnext",
        "usage.ts",
    )
