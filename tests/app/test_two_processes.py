"""What is done through one process is so for the other at once: tokens, roles, policy and records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from app.writing.committer import Committer
from tests.support.commands import Company
from tests.support.inprocess import InProcess, running
from tests.support.server import Reply

OPPORTUNITIES = "/api/opportunities/"


class Two:
    """An org on two processes: whoever asks has been known to both before."""

    def __init__(self, here: InProcess, there: InProcess, company: Company) -> None:
        self.here = here
        self.there = there
        self.admin = company.admin.token
        self.account_id = str(company.account_id)

    def user(self, role: str, email: str) -> tuple[str, str, str]:
        """(user id, token id, token)"""
        user = self.done("POST", "/api/users/", {"email": email, "name": role, "role": role})
        token = self.done("POST", "/api/tokens/", {"name": "theirs", "user_id": user["id"]})
        for process in (self.here, self.there):
            assert process.request("GET", "/api/users/me/", token=token["token"]).json()["id"] == user["id"]
        return user["id"], token["id"], token["token"]

    def deal(self, name: str = "Deal") -> Any:
        return self.done("POST", OPPORTUNITIES, {"name": name, "account_id": self.account_id})

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """By the admin, here."""
        reply = self.here.request(method, path, body, token=self.admin)
        assert reply.status < 300, reply.body
        return reply.json() if reply.body else None

    def tried(self, method: str, path: str, token: str, body: Any = None) -> Reply:
        return self.there.request(method, path, body, token=token)


@pytest.fixture(scope="module")
def two(shared_database_url: str) -> Iterator[Two]:
    with (
        closing(Committer(shared_database_url)) as committer,
        running(shared_database_url) as here,
        running(shared_database_url) as there,
    ):
        yield Two(here, there, Company(committer))


def test_a_revoked_token_neither_reads_nor_writes(two: Two) -> None:
    _, token_id, token = two.user("manager", "a@acme.example")
    deal = two.deal()
    two.done("DELETE", f"/api/tokens/{token_id}/")
    for method, path, body in (
        ("PATCH", f"{OPPORTUNITIES}{deal['id']}/", {"name": "Mine now"}),
        ("GET", OPPORTUNITIES, None),
        ("GET", f"{OPPORTUNITIES}{deal['id']}/", None),
        ("GET", f"{OPPORTUNITIES}forecast/", None),
        ("GET", "/api/events/", None),
    ):
        assert two.tried(method, path, token, body).status == 401, path


def test_a_user_who_left_neither_reads_nor_writes_until_they_are_back(two: Two) -> None:
    user_id, _, token = two.user("rep", "b@acme.example")
    two.done("PATCH", f"/api/users/{user_id}/", {"active": False})
    assert two.tried("GET", OPPORTUNITIES, token).status == 401
    assert two.tried("POST", OPPORTUNITIES, token, {"name": "x", "account_id": two.account_id}).status == 401
    two.done("PATCH", f"/api/users/{user_id}/", {"active": True})
    assert two.tried("GET", OPPORTUNITIES, token).status == 200


def test_a_changed_role_counts_for_writes_and_for_reads(two: Two) -> None:
    user_id, _, token = two.user("admin", "c@acme.example")
    deal = f"{OPPORTUNITIES}{two.deal()['id']}/"
    assert two.tried("PATCH", deal, token, {"name": "By an admin"}).status == 200
    assert two.tried("GET", "/api/tokens/", token).json()["count"] > 1
    two.done("PATCH", f"/api/users/{user_id}/", {"role": "rep"})
    assert two.tried("GET", "/api/tokens/", token).json()["count"] == 1, "a rep sees their own tokens only"
    assert two.tried("PATCH", deal, token, {"name": "By a rep"}).status == 403
    two.done("PATCH", f"/api/users/{user_id}/", {"role": "manager"})
    assert two.tried("PATCH", deal, token, {"name": "By a manager"}).status == 200
    two.done("PATCH", f"/api/users/{user_id}/", {"role": "read_only"})
    assert two.tried("PATCH", deal, token, {"name": "By a reader"}).status == 403
    assert two.tried("GET", deal, token).json()["name"] == "By a manager"


def test_a_record_is_what_the_other_process_made_of_it(two: Two) -> None:
    deal = two.deal("Here")
    path = f"{OPPORTUNITIES}{deal['id']}/"
    for version in range(2, 8):
        by, other = (two.here, two.there) if version % 2 else (two.there, two.here)
        reply = by.request("PATCH", path, {"name": f"Version {version}"}, token=two.admin, If_Match=f'"{version - 1}"')
        assert reply.status == 200
        assert other.request("GET", path, token=two.admin).body == reply.body
        stale = other.request("PATCH", path, {"name": "Stale"}, token=two.admin, If_Match=f'"{version - 1}"')
        assert stale.status == 412


def test_a_rename_shows_in_every_deal(two: Two) -> None:
    deal = two.deal()
    two.done("PATCH", f"/api/accounts/{two.account_id}/", {"name": "Acme Renamed"})
    listed = two.tried("GET", OPPORTUNITIES, two.admin).json()["results"]
    assert {item["account"]["name"] for item in listed} == {"Acme Renamed"}
    assert two.tried("GET", f"{OPPORTUNITIES}{deal['id']}/", two.admin).json()["account"]["name"] == "Acme Renamed"


def test_the_same_post_to_both_is_done_once(two: Two) -> None:
    body = {"name": "Once", "account_id": two.account_id}
    first, second = (
        process.request("POST", OPPORTUNITIES, body, token=two.admin, Idempotency_Key="once") for process in (two.here, two.there)
    )
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body
    assert second.headers["idempotent-replayed"] == "true"
