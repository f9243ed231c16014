"""The docs page: files that are exactly those of its package, and nothing from anywhere else."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files

from tests.support.scenarios import Org

FOLDER = files("app.schema.swagger_ui")
OURS = {"__init__.py", "index.html", "start.js", "VERSION", "SHA256SUMS"}


def test_the_vendored_files_are_those_of_the_package() -> None:
    """Or else somebody changed them, or a newer version came without its checksums."""
    lines = [line.split() for line in FOLDER.joinpath("SHA256SUMS").read_text().splitlines()]
    sums = {name: expected for expected, name in lines}
    names = {entry.name for entry in FOLDER.iterdir() if entry.is_file()} - OURS
    assert names == set(sums)
    for name, expected in sums.items():
        assert hashlib.sha256(FOLDER.joinpath(name).read_bytes()).hexdigest() == expected, name
    assert re.match(r"swagger-ui-dist \d+\.\d+\.\d+", FOLDER.joinpath("VERSION").read_text())
    assert "Apache License" in FOLDER.joinpath("LICENSE").read_text()


def test_the_pages_ask_no_other_host(org: Org) -> None:
    for path in ("/", "/schema/", "/schema/files/start.js"):
        page = org.admin.get(path).body.decode()
        found = [*re.findall(r'(?:src|href|url)\s*[=:]\s*"([^"]+)"', page), *re.findall(r"url\(([^)]+)\)", page)]
        assert found or path == "/schema/files/start.js"
        assert all(address.startswith("/") and not address.startswith("//") for address in found)
    sheet = org.admin.get("/schema/files/swagger-ui.css").body.decode()
    assert all(address.strip("\"'").startswith("data:") for address in re.findall(r"url\(([^)]+)\)", sheet))


def test_the_policies_allow_nothing_from_another_host(org: Org) -> None:
    for path in ("/", "/schema/"):
        policy = org.admin.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert not re.search(r"https?:|\*|unsafe-eval", policy)
        assert "script-src 'self'" in policy or "script-src" not in policy


def test_every_file_the_page_names_is_there(org: Org) -> None:
    page = org.admin.get("/schema/").body.decode()
    names = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert len(names) >= 5
    for name in names:
        assert org.admin.get(name).status == 200, name
    assert org.admin.get("/schema/files/LICENSE").status == 404
    assert org.admin.get("/schema/files/..%2f__init__.py").status == 404


def test_the_document_is_there_without_a_token_also_compressed(org: Org) -> None:
    with org.server.client("") as client:
        plain = client.get("/schema/openapi.json")
        packed = client.get("/schema/openapi.json", Accept_Encoding="gzip")
    assert json.loads(plain.body)["openapi"] == "3.1.0"
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 4
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
