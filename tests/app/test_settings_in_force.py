"""Settings of ``serve`` that nothing else shows, seen from outside to do what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any, NamedTuple

import psycopg
import pytest

from app.process import ports
from app.process.children import wait_until
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support import postgres
from tests.support.worker import at_work

HOST, SECRET = "127.0.0.2", "m" * 32
SETTINGS = {
    "OPPORTUNITIES_HOST": HOST,
    "OPPORTUNITIES_PUBLIC_URL": "https://crm.example.com",
    "OPPORTUNITIES_MAX_BODY_BYTES": "1024",
    "OPPORTUNITIES_READ_CONNECTIONS": "2",
    "OPPORTUNITIES_DEAR_CONNECTIONS": "1",
    "OPPORTUNITIES_METRICS_TOKEN": SECRET,
}


class Api(NamedTuple):
    port: int
    token: str
    url: str

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None, host: str = HOST) -> tuple[int, bytes]:
        connection = HTTPConnection(host, self.port, timeout=30)
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ready(self) -> bool:
        try:
            return self.ask("GET", "/health/ready")[0] == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def api(template_database: str) -> Iterator[Api]:
    with postgres.database(template_database) as url:
        committer = Committer(url)
        org = create_org(committer, "Yours", "USD", "admin@yours.com")
        committer.close()
        port = ports.free_port()
        with at_work("serve", env={**SETTINGS, "DATABASE_URL": url, "OPPORTUNITIES_PORT": str(port)}):
            made = Api(port, org.token, url)
            assert wait_until(made.ready, 60)
            yield made


def test_it_listens_at_its_address_and_port_only(api: Api) -> None:
    with pytest.raises(ConnectionRefusedError):
        api.ask("GET", "/health/live", host="127.0.0.1")


def test_links_begin_with_the_public_url(api: Api) -> None:
    for name in ("One", "Two"):
        assert api.ask("POST", "/api/accounts/", {"name": name})[0] == 201
    _, body = api.ask("GET", "/api/accounts/?page_size=1")
    assert json.loads(body)["next"].startswith("https://crm.example.com/api/accounts/?")


def test_a_body_may_be_so_large_and_no_larger(api: Api) -> None:
    assert api.ask("POST", "/api/accounts/", {"name": "A", "website": "https://a.example/" + "a" * 800})[0] in (201, 400)
    assert api.ask("POST", "/api/accounts/", {"name": "A", "website": "https://a.example/" + "a" * 1100})[0] == 413


def test_metrics_are_for_who_has_their_token(api: Api) -> None:
    assert api.ask("GET", "/metrics")[0] == 401
    assert api.ask("GET", "/metrics", token=SECRET)[0] == 200


def test_a_process_reads_by_so_many_connections(api: Api) -> None:
    paths = ["/api/opportunities/", "/api/opportunities/?search=acme&ordering=-amount", "/api/users/me/"] * 12
    with ThreadPoolExecutor(12) as pool:
        assert {status for status, _ in pool.map(lambda path: api.ask("GET", path), paths)} <= {200, 429}
    with psycopg.connect(api.url) as connection:
        readers = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'opportunities reader' AND datname = current_database()"
        ).fetchone()
    assert readers in [(2,), (3,)]  # one for the dear ones, and at most two for the others
