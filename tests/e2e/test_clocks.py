"""Processes on hosts whose clocks are wrong: time in the product is the database's all the same, and operators are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest

from tests.support.commands import log
from tests.support.processes import opportunities
from tests.support.scenarios import OPPORTUNITIES, Org, made, now
from tests.support.server import Server, serving

pytestmark = pytest.mark.e2e

AHEAD = ("tests.support.other_clock", "86400")


@pytest.fixture(scope="module")
def wrong(shared_database_url: str) -> Iterator[Server]:
    with serving(shared_database_url, program=AHEAD) as server:
        yield server


def test_what_a_process_with_a_wrong_clock_writes_is_stamped_right_and_so_is_what_follows(
    shared_database_url: str, wrong: Server, org: Org
) -> None:
    began = datetime.now(UTC)
    account_id = org.account()["id"]
    with wrong.client(org.token) as client:
        deal = made(client.post(OPPORTUNITIES, {"name": "1", "account_id": account_id, "amount": "5", "close_date": "2027-05-05"}))
        path = f"{OPPORTUNITIES}{deal['id']}/"
        shown = [deal, made(client.patch(path, {"name": "2"}), 200)]
        shown += [made(org.admin.patch(path, {"name": name}), 200) for name in ("3", "4")]
        shown.append(made(client.patch(path, {"name": "5"}), 200))
        updated = [datetime.fromisoformat(one["updated_at"]) for one in shown]
        assert began < updated[0]
        assert all(earlier < later for earlier, later in pairwise(updated))
        assert updated[-1] < datetime.now(UTC)
        for each in (client, org.admin):
            assert [one["name"] for one in made(each.get(f"{OPPORTUNITIES}?as_of={now()}"), 200)["results"]] == ["5"]
            changes = made(each.get(f"{OPPORTUNITIES}forecast/changes/?from=2020-01-01T00:00:00Z"), 200)
            assert changes["total"]["unweighted"]["created"] == 5
    times = [recorded.meta.recorded_at for recorded in log(shared_database_url)]
    assert times == sorted(times)


def test_a_token_lasts_as_long_for_a_process_with_a_wrong_clock(wrong: Server, org: Org) -> None:
    hours = {"name": "short", "expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    with wrong.client(made(org.admin.post("/api/tokens/", hours))["token"]) as client:
        assert client.get(OPPORTUNITIES).status == 200
        assert client.post("/api/accounts/", {"name": "Acme"}).status == 201
    with wrong.client(org.token) as client:
        past = {"name": "over", "expires_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
        assert "expires_at" in client.post("/api/tokens/", past).json()["errors"]


def test_readiness_tells_of_a_wrong_clock_and_the_process_serves(wrong: Server, server: Server) -> None:
    with wrong.client("") as client:
        reply = client.get("/health/ready")
        (warning,) = reply.json()["warnings"]
        assert reply.status == 200
        assert re.fullmatch(r"The clock of this machine is 864\d\d s ahead of the database's, which counts: correct it\.", warning)
    with server.client("") as client:
        assert client.get("/health/ready").json() == {"status": "ok"}


def test_doctor_and_checks_tell_of_a_wrong_clock(database_url: str) -> None:
    env = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO checkpoints (name, position) VALUES ('relay', 0), ('webhooks/0', 0), ('webhooks.sender', 0)"
        )
    behind = ("tests.support.other_clock", "-3600")
    for verb in (("doctor",), ("relay", "--check"), ("webhooks", "--check")):
        told = opportunities(*verb, env=env, program=behind).stdout
        assert re.search(r"The clock of this machine is 36\d\d s behind the database's", told), told
    told = opportunities("doctor", env=env).stdout
    assert "ok       the clock of this machine agrees with the database's" in told
