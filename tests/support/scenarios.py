"""An org for one test behind the real API, and records created through that API; only the org itself is made by the operator."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPResponse
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest

from app.writing.committer import Committer
from app.writing.provisioning import Provisioned, create_org
from domain.permissions import Role
from tests.support.server import Client, Reply, Server, serving

OPPORTUNITIES = "/api/opportunities/"
_numbers = count(1)

Json = dict[str, Any]


def now() -> str:
    """This instant, as a parameter."""
    return quote(datetime.now(UTC).isoformat().replace("+00:00", "Z"))


def made(reply: Reply, status: int = 201) -> Json:
    """The record in an answer that must have this status."""
    assert reply.status == status, reply.body
    record: Json = reply.json()
    return record


def refused(reply: Reply, status: int = 400) -> Json:
    """The problem in an answer that must be one of this status, in the one shape there is."""
    assert reply.status == status, (reply.status, reply.body)
    assert reply.headers["content-type"] == "application/problem+json"
    problem: Json = reply.json()
    assert problem["status"] == status
    assert problem["type"].endswith(problem["code"])
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == reply.headers["x-request-id"]
    return problem


def errors(reply: Reply) -> dict[str, str]:
    """What a 400 says is wrong, one sentence by field."""
    problem = refused(reply)
    assert problem["code"] == "invalid", problem
    assert all(isinstance(text, str) and text for texts in problem["errors"].values() for text in texts)
    return {name: " ".join(texts) for name, texts in problem["errors"].items()}


class Org:
    """``admin`` is the client of the first admin; ``client`` gives one of another role."""

    def __init__(self, server: Server, provisioned: Provisioned) -> None:
        self.server = server
        self.id = str(provisioned.org_id)
        self.admin_id = str(provisioned.user_id)
        self.token = provisioned.token
        self._open = ExitStack()
        self.admin = self.with_token(provisioned.token)

    def close(self) -> None:
        self._open.close()

    def with_token(self, token: str | None) -> Client:
        return self._open.enter_context(Client(self.server.port, token))

    def user(self, role: Role = "rep", **fields: Any) -> Json:
        body = {"email": f"user{next(_numbers)}@yours.com", "name": "Some User", "role": role, **fields}
        return made(self.admin.post("/api/users/", body))

    def client(self, user: Json) -> Client:
        token = made(self.admin.post("/api/tokens/", {"name": "test", "user_id": user["id"]}))
        return self.with_token(token["token"])

    def account(self, name: str = "Acme Corp", **fields: Any) -> Json:
        return made(self.admin.post("/api/accounts/", {"name": name, **fields}))

    def contact(self, first_name: str = "Jane", last_name: str = "Doe", **fields: Any) -> Json:
        return made(self.admin.post("/api/contacts/", {"first_name": first_name, "last_name": last_name, **fields}))

    def custom_field(self, key: str, type_: str, **fields: Any) -> Json:
        return made(self.admin.post("/api/custom-fields/", {"key": key, "label": key.title(), "type": type_, **fields}))

    def opportunity(self, name: str = "Annual 2026", *, by: Client | None = None, **fields: Any) -> Json:
        """An open deal unless told otherwise, with an account of its own unless one is given."""
        if "account_id" not in fields:
            fields["account_id"] = self.account()["id"]
        return made((by or self.admin).post(OPPORTUNITIES, {"name": name, **fields}))

    def won(self, **fields: Any) -> Json:
        """A deal that was open and then won."""
        closing = {"stage": "won", "actual_amount": "900", "actual_close_date": "2026-05-05"}
        return self.moved(self.opportunity(**fields), **closing)

    def lost(self, **fields: Any) -> Json:
        return self.moved(self.opportunity(**fields), stage="lost", lost_reason="price")

    def moved(self, opportunity: Json, **body: Any) -> Json:
        return made(self.admin.post(f"{OPPORTUNITIES}{opportunity['id']}/transition/", body), 200)

    def read(self, opportunity: Json, query: str = "") -> Json:
        return made(self.admin.get(f"{OPPORTUNITIES}{opportunity['id']}/{query}"), 200)

    def listed(self, query: str = "", path: str = OPPORTUNITIES) -> Json:
        return made(self.admin.get(f"{path}?{query}"), 200)

    def names(self, query: str = "") -> list[str]:
        """The names on a list, in its order."""
        return [item["name"] for item in self.listed(query)["results"]]

    def history(self, opportunity: Json) -> list[Json]:
        entries: list[Json] = self.listed("limit=200", f"{OPPORTUNITIES}{opportunity['id']}/history/")["results"]
        return entries


def raw(port: int, sent: bytes) -> Reply:
    """The answer to bytes as they are, on a connection of their own."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        response = HTTPResponse(connection)
        response.begin()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@pytest.fixture(scope="session")
def server(shared_database_url: str) -> Iterator[Server]:
    """The API of a worker's tests, each of which keeps to orgs of its own."""
    with serving(shared_database_url) as server:
        yield server


@pytest.fixture(scope="session")
def committer(shared_database_url: str) -> Iterator[Committer]:
    """The operator's way in, for new orgs."""
    committer = Committer(shared_database_url)
    yield committer
    committer.close()


@pytest.fixture
def org(server: Server, committer: Committer) -> Iterator[Org]:
    """An empty org in US dollars."""
    org = Org(server, create_org(committer, "Yours", "USD", "admin@yours.com"))
    yield org
    org.close()


@pytest.fixture
def empty(server: Server, committer: Committer) -> Iterator[Org]:
    """Another org in US dollars, with the same admin, for what ``org`` exports."""
    org = Org(server, create_org(committer, "Theirs", "USD", "admin@yours.com"))
    yield org
    org.close()


@pytest.fixture
def other_org(server: Server, committer: Committer) -> Iterator[Org]:
    """Another org, in euros."""
    org = Org(server, create_org(committer, "Theirs", "EUR", "admin@theirs.com"))
    yield org
    org.close()
