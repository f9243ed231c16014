"""Many clients at once on several processes: what one has been told, every other sees, and nothing happens twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support.scenarios import OPPORTUNITIES, Json, Org, made
from tests.support.server import Client, Reply, serving

CLIENTS = 8


@pytest.fixture(scope="module")
def ours(shared_database_url: str, committer: Committer) -> Iterator[Org]:
    """An org whose API is two processes."""
    with serving(shared_database_url, workers=2) as server:
        org = Org(server, create_org(committer, "Yours", "USD", "admin@yours.com"))
        yield org
        org.close()


def at_once(org: Org, ask: Callable[[Client, int], Reply]) -> list[Reply]:
    """The answers to as many clients as there are, each on a connection of its own, who ask at the same time."""
    barrier = Barrier(CLIENTS)

    def one(number: int) -> Reply:
        with Client(org.server.port, org.token) as client:
            client.get("/health/live")
            barrier.wait()
            return ask(client, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(CLIENTS)))


def path_of(record: Json) -> str:
    return f"{OPPORTUNITIES}{record['id']}/"


def test_of_many_changes_of_one_version_one_is_made(ours: Org) -> None:
    record = ours.opportunity()
    replies = at_once(ours, lambda client, number: client.patch(path_of(record), {"amount": number + 1}, If_Match='"1"'))
    assert sorted(reply.status for reply in replies) == [200] + [412] * (CLIENTS - 1)
    assert ours.read(record)["version"] == 2


def test_without_a_precondition_every_change_is_made(ours: Org) -> None:
    record = ours.opportunity()
    replies = at_once(ours, lambda client, number: client.patch(path_of(record), {"custom_fields": {f"k{number}": number}}))
    assert {reply.status for reply in replies} == {200}
    after = ours.read(record)
    assert after["custom_fields"] == {f"k{number}": number for number in range(CLIENTS)}
    assert [entry["version"] for entry in ours.history(record)] == list(range(1, CLIENTS + 2))


def test_one_idempotency_key_makes_one_record(ours: Org) -> None:
    account = ours.account()["id"]
    before = ours.listed()["count"]
    body = {"name": "Once", "account_id": account}
    replies = at_once(ours, lambda client, _: client.post(OPPORTUNITIES, body, Idempotency_Key="once"))
    assert len({made(reply)["id"] for reply in replies}) == 1
    assert len({reply.body for reply in replies}) == 1
    assert [reply.headers.get("idempotent-replayed") for reply in replies].count(None) == 1
    assert ours.listed()["count"] == before + 1


def test_an_email_is_taken_by_one(ours: Org) -> None:
    body = {"email": "taken@yours.com", "name": "T", "role": "rep"}
    replies = at_once(ours, lambda client, _: client.post("/api/users/", body))
    assert sorted(reply.status for reply in replies) == [201] + [409] * (CLIENTS - 1)


def test_a_new_policy_counts_on_every_process(ours: Org) -> None:
    policy = made(ours.admin.get("/api/pipeline/"), 200)
    body = {name: policy[name] for name in ("stages", "lost_reasons", "allow_free_text")}
    for number in range(6):
        preset = ("no_skip", "permissive")[number % 2]
        made(ours.admin.put("/api/pipeline/", {**body, "transitions": preset}), 200)
        for _ in range(3):
            with Client(ours.server.port, ours.token) as client:
                record = made(client.post(OPPORTUNITIES, {"name": "P", "account_id": ours.account()["id"]}))
                reply = client.post(f"{path_of(record)}transition/", {"stage": "negotiation"})
                assert reply.status == (409 if preset == "no_skip" else 200)
