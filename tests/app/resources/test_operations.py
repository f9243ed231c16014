"""Health, metrics, the index and the page at the root."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from app.main import create_app
from app.process.children import wait_until
from app.settings import Settings
from tests.support.postgres import server_url
from tests.support.scenarios import Org, errors, made, refused
from tests.support.server import Client, Server, serving


@pytest.fixture
def nobody(server: Server) -> Iterator[Client]:
    with Client(server.port, None) as client:
        yield client


def test_a_process_that_can_serve_says_so(nobody: Client) -> None:
    for path in ("/health/live", "/health/ready"):
        reply = nobody.get(path)
        assert made(reply, 200) == {"status": "ok"}
        assert reply.headers["cache-control"] == "no-store"


def metric(client: Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_requests_are_counted_by_route_and_not_by_what_clients_invent(org: Org, nobody: Client) -> None:
    name = 'http_request_duration_seconds_count{method="GET",route="/api/accounts/{id}",status="200"}'
    before = metric(nobody, name)
    for _ in range(3):
        assert org.admin.get(f"/api/accounts/{org.account()['id']}/").status == 200
    assert metric(nobody, name) == before + 3
    org.admin.get("/api/some-invention/")
    text = nobody.get("/metrics").body.decode()
    assert "some-invention" not in text
    assert org.id not in text
    assert 'route="(none)"' in text
    assert nobody.get("/metrics").headers["content-type"].startswith("text/plain")


def test_a_schema_of_another_version_is_told_and_a_database_that_is_gone_tells_nothing(database_url: str) -> None:
    """Whatever was found is held to be true for some seconds."""
    with serving(database_url) as server, Client(server.port, None) as client:

        def told() -> list[str]:
            return re.findall(r"^schema_current (\S+)$", client.get("/metrics").body.decode(), re.MULTILINE)

        assert told() == ["1.0"]
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE read_models SET version = version + 1 WHERE name = 'forecast'")
        assert wait_until(lambda: told() == ["0.0"], 30)
        with psycopg.connect(server_url(), autocommit=True) as connection:
            name = sql.Identifier(urlsplit(database_url).path[1:])
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        assert wait_until(lambda: told() == [], 30)


@pytest.mark.parametrize(
    "header",
    [
        "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server",
        "X-Forwarded", "X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP", "CDN-Loop",
        "X-Original-Host", "X-Original-Forwarded-For", "X-Amzn-Trace-Id",
    ],
)  # fmt: skip
def test_metrics_are_for_this_machine_only_and_not_through_a_proxy(nobody: Client, header: str) -> None:
    assert nobody.get("/metrics").status == 200
    refused(nobody.get("/metrics", **{header: "1.1 edge"}), 403)


def test_the_index_names_resources_that_are_there(org: Org, nobody: Client) -> None:
    refused(nobody.get("/api/"), 401)
    index = made(org.admin.get("/api/"), 200)
    for name, path in index.items():
        reply = org.admin.get(path)
        # What asks for parameters says so.
        assert reply.status == 200 or (name.startswith("forecast_changes") and set(errors(reply)) == {"from"}), name
    described = made(nobody.get("/schema/openapi.json"), 200)["paths"]
    there = {path for path, verbs in described.items() if path.startswith("/api/") and "get" in verbs and "{" not in path}
    assert set(index.values()) == (there - {"/api/"}) | {"/schema/"}
    assert {"webhooks", "custom_fields", "forecast", "me"} <= index.keys()


def test_the_page_at_the_root_leads_to_the_documentation(nobody: Client) -> None:
    reply = nobody.get("/")
    assert reply.headers["content-type"].startswith("text/html")
    assert b'href="/schema/"' in reply.body


def test_an_application_is_made_without_its_database() -> None:
    """It opens its connections when it starts, so that a document or a route can be had without any."""
    app = create_app(Settings(database_url="postgresql://nowhere/none", rate_limit=5))
    assert app.shared.draining.is_set() is False
