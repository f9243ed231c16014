"""Real processes, a real broker and real receivers: everything subscribed to arrives, with one id and the same bytes."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import time
from datetime import datetime
from pathlib import Path

import pytest
from standardwebhooks import WebhookVerificationError

from app.process.children import wait_until
from consumers.kafka_settings import Kafka
from domain.webhook_endpoint import EVENT_TYPES
from tests.support.dev import Dev, ask
from tests.support.kafka import Broker, at, has_the_last, settings, whole
from tests.support.processes import ROOT, opportunities
from tests.support.proxy import proxied
from tests.support.receiver import BEHAVIOURS, Received, Writer, receiving, reply
from tests.support.webhooks import System, complete, execute, system
from tests.support.worker import WON, Load, Worker, at_work

pytestmark = pytest.mark.e2e

SECONDS = 120


def test_a_deal_closed_over_the_api_arrives_signed_and_only_what_was_subscribed_to(database_url: str, kafka: Kafka) -> None:
    with system(database_url, kafka) as it, at_work("webhooks", env=it.env):
        hooks = it.endpoint("/hooks", "opportunity.won", "opportunity.lost")
        everything = it.endpoint("/everything")
        won = it.won()
        born = it.deal(**WON)
        complete(it, "/everything", *EVENT_TYPES)
        complete(it, "/hooks", "opportunity.won", "opportunity.lost")
        told = [one.verify(hooks["secret"]) for one in it.receiver.at("/hooks")]
        assert [(one["type"], one["data"]["opportunity"]["id"]) for one in told] == [
            ("opportunity.won", won["id"]),
            ("opportunity.won", born["id"]),
        ]
        heard = [one.verify(everything["secret"])["type"] for one in it.receiver.at("/everything")]
        assert sorted(heard) == ["opportunity.created", "opportunity.created", "opportunity.won", "opportunity.won"]
        checked = opportunities("webhooks", "--check", env=it.env)
        assert (checked.returncode, checked.stdout.startswith("Webhooks are running: 0 records behind")) == (0, True), checked


def test_each_endpoint_hears_what_its_filters_let_pass_once_under_its_own_name(database_url: str, kafka: Kafka) -> None:
    with system(database_url, kafka) as it, at_work("webhooks", env=it.env):
        me = it.get("/api/users/me/")["id"]
        it.endpoint("/everything")
        for path, filters in {
            "/proposals": {"stage": ["proposal"]},
            "/large": {"amount__gte": "1000"},
            "/mine": {"owner": [me]},
            "/emea": {"custom_fields": {"region": "EMEA"}},
        }.items():
            it.endpoint(path, filters=filters)
        paused = it.endpoint("/paused", active=False)
        it.deal(name="Small", amount="10", owner_id=it.post("/api/users/", COLLEAGUE)["id"])
        deal = it.deal(name="Large", amount="2000", custom_fields={"region": "EMEA"})
        it.patch(f"/api/opportunities/{deal['id']}/", {"stage": "proposal", "name": "Renamed", "amount": "500"})
        it.patch(f"/api/opportunities/{deal['id']}/", {"name": "Renamed"})
        it.patch(f"/api/webhooks/{paused['id']}/", {"active": True})
        rotated = it.post(f"/api/webhooks/{paused['id']}/rotate-secret/", {}, 200)
        it.post(f"/api/opportunities/{deal['id']}/transition/", WON, 200)
        complete(it, "/everything", *EVENT_TYPES)
        small, large, moved, won = "Small created", "Large created", "Renamed stage_changed", "Renamed won"
        assert heard(it, "/everything") == sorted([small, large, moved, won])
        assert heard(it, "/proposals") == [moved]
        assert heard(it, "/large") == [large]
        assert heard(it, "/mine") == heard(it, "/emea") == sorted([large, moved, won])
        assert heard(it, "/paused") == [won]
        (one,) = it.receiver.at("/paused")
        for secret in (paused["secret"], rotated["secret"]):
            one.verify(secret)
        with pytest.raises(WebhookVerificationError):
            one.verify(it.post(f"/api/webhooks/{paused['id']}/rotate-secret/", {}, 200)["secret"])
        exposed = metrics(it)
        assert alerts()
        assert {name for name in alerts() if not any(line.startswith(name) for line in exposed)} == set()


COLLEAGUE = {"email": "colleague@yours.com", "name": "Colleague", "role": "rep"}


def heard(it: System, path: str) -> list[str]:
    """What an endpoint was told, in whatever order."""
    told = [one.json() for one in it.receiver.at(path)]
    return sorted(f"{one['data']['opportunity']['name']} {one['type'].removeprefix('opportunity.')}" for one in told)


def metrics(it: System) -> list[str]:
    with it.server.client(it.org.token) as client:
        return client.get("/metrics").body.decode().splitlines()


def alerts() -> set[str]:
    """The metrics that the README names."""
    return set(re.findall(r"\b(?:http|read|relay|webhook)(?:_[a-z]+){2,}\b", (ROOT / "README.md").read_text()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_in_dev_a_deal_closed_arrives_on_this_machine_and_a_killed_sender_is_brought_back(tmp_path: Path) -> None:
    dev = Dev(tmp_path / "data", "--no-demo")
    try:
        with receiving() as receiver:
            ready = dev.start()
            hooks = ask(ready, "POST", "/api/webhooks/", {"url": receiver.url("/hooks"), "events": ["opportunity.won"]})
            account = ask(ready, "POST", "/api/accounts/", {"name": "Acme"})
            deal = {"name": "Annual", "account_id": account["id"], **WON}
            won = ask(ready, "POST", "/api/opportunities/", deal)
            (received,) = receiver.wait(1)
            assert received.verify(hooks["secret"])["data"]["opportunity"]["id"] == won["id"]
            for pid in children(dev, "webhooks"):
                os.kill(pid, signal.SIGKILL)
            ask(ready, "POST", "/api/opportunities/", deal)
            receiver.wait(2)
            assert dev.stop() == 0
            assert dev.left() == []
    finally:
        dev.end()


def children(dev: Dev, verb: str) -> list[int]:
    """The processes of a verb that it runs."""
    assert dev.process is not None
    pids = Path(f"/proc/{dev.process.pid}/task/{dev.process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").endswith(verb.encode())]


def test_nobody_at_work_is_told_in_a_line(database_url: str, kafka: Kafka) -> None:
    env = {"DATABASE_URL": database_url, **settings(kafka)}
    for part in ("consumer", "sender"):
        checked = opportunities("webhooks", "--check", "--only", part, env=env)
        assert checked.returncode == 1
        assert checked.stderr.startswith(f"opportunities: No webhook {part} has run ever")
    without = opportunities("webhooks", env={"DATABASE_URL": database_url})
    assert (without.returncode, without.stderr.count("\n")) == (2, 1), without.stderr


@pytest.mark.slow
def test_kill_9_of_consumer_and_sender_under_load(database_url: str, kafka: Kafka, tmp_path: Path) -> None:
    chance = random.Random(5)
    with system(database_url, kafka) as it:
        it.endpoint("/hooks", "opportunity.won")
        log = tmp_path / "consumer.log"
        consumer = Worker("webhooks", "--only", "consumer", env=it.env, log=log)
        sender = Worker("webhooks", "--only", "sender", env=it.env)
        for worker in (consumer, sender):
            worker.start()
        with Load(it.server, it.org):
            for worker in (consumer, sender) * 2:
                it.receiver.wait(len(it.receiver.received) + chance.randrange(1, 15), seconds=SECONDS)
                worker.kill()
                if worker is sender:
                    it.expire()
                worker.start()
        try:
            complete(it, "/hooks", "opportunity.won")
        finally:
            print(log.read_text())
        for worker in (consumer, sender):
            assert worker.stop() == 0


def test_a_sender_killed_between_a_request_and_its_settling_sends_it_again(database_url: str, kafka: Kafka) -> None:
    with system(database_url, kafka) as it, at_work("webhooks", "--only", "consumer", env=it.env):
        sender = Worker("webhooks", "--only", "sender", env=it.env)
        kills = iter([True, True, False])

        async def fatal(writer: Writer, _: str) -> None:
            if next(kills):
                sender.kill()
            writer.write(reply(200))

        it.receiver.behaviours["fatal"] = fatal
        it.endpoint("/fatal", "opportunity.created")
        it.deal()
        for number in (1, 2, 3):
            sender.start()
            it.receiver.wait(number, "/fatal", 30)
            wait_until(lambda: sender.process is not None and sender.process.poll() is not None, 1)
            it.expire()
        complete(it, "/fatal", "opportunity.created")
        assert len(it.receiver.at("/fatal")) == 3
        assert sender.stop() == 0


@pytest.mark.long
def test_a_consumer_killed_in_the_middle_of_its_commit_takes_it_again(database_url: str, kafka: Kafka) -> None:
    with system(database_url, kafka) as it, proxied(database_url) as proxy:
        it.endpoint("/hooks", "opportunity.created")
        consumer = Worker("webhooks", "--only", "consumer", env={**it.env, "DATABASE_URL": proxy.url})
        consumer.start()
        with at_work("webhooks", "--only", "sender", env=it.env):
            it.deal()
            it.receiver.wait(1)
            proxy.at_commit.append("hang")
            it.deal()
            assert proxy.hanging.wait(30)
            consumer.kill()
            proxy.cut()
            consumer.start()
            it.receiver.wait(2)
            it.deal()
            complete(it, "/hooks", "opportunity.created")
        assert consumer.stop() == 0


@pytest.mark.long
def test_a_stop_in_the_middle_of_a_request_loses_nothing(database_url: str, kafka: Kafka) -> None:
    with system(database_url, kafka) as it:
        hooks = it.endpoint("/slow/1", "opportunity.created")
        with at_work("webhooks", env=it.env):
            it.deal()
            it.receiver.wait(1)
        (delivery,) = execute(it.url, "SELECT status, attempts, leased_until FROM webhook_deliveries")
        assert delivery == ("delivered", 1, None)
        with it.server.client(it.org.token) as client:
            listed = client.get(f"/api/webhooks/{hooks['id']}/deliveries/").json()["results"]
        assert [attempt["outcome"] for attempt in listed[0]["attempts"]] == ["delivered"]


@pytest.mark.long
def test_receivers_that_do_their_worst_keep_nobody_waiting(database_url: str, kafka: Kafka) -> None:
    with system(database_url, kafka) as it, at_work("webhooks", env=it.env):
        for name in BEHAVIOURS:
            argument = {"slow": "3", "status": "500", "later": "60", "redirect": "hooks"}.get(name, "")
            it.endpoint(f"/{name}/{argument}", "opportunity.created")
        it.endpoint("/status/410", "opportunity.created")
        it.endpoint("/hooks", "opportunity.created")
        it.deal()
        it.receiver.wait(len(BEHAVIOURS) + 2)
        began = time.monotonic()
        for _ in range(10):
            it.deal()
        it.receiver.wait(11, "/hooks")
        assert time.monotonic() - began < 5
        gone = "SELECT active FROM directory WHERE kind = 'webhook_endpoint' AND valid_to = 'infinity' AND name LIKE '%%/410'"
        assert wait_until(lambda: execute(it.url, gone) == [(False,)], 10)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("silent", [True, False])
def test_a_broker_away_for_a_minute_slows_nobody_down_and_nothing_is_sent_twice(
    database_url: str, broker: Broker, *, silent: bool
) -> None:
    """A silent one answers nobody and comes back as it was; an embedded one that is gone comes back empty."""
    config = at(broker.bootstrap_servers, "opportunities.events")
    assert broker.process is not None
    with system(database_url, config) as it, at_work("webhooks", env=it.env):
        it.endpoint("/hooks", "opportunity.won")
        with Load(it.server, it.org) as load:
            it.receiver.wait(20, seconds=SECONDS)
            load.label = "with it"
            time.sleep(AWAY_SECONDS / 2)
            load.label = "without it"
            os.kill(broker.process.pid, signal.SIGSTOP if silent else signal.SIGKILL)
            time.sleep(AWAY_SECONDS)
            load.label = ""
            if silent:
                os.kill(broker.process.pid, signal.SIGCONT)
            else:
                broker.restart()
        complete(it, "/hooks", "opportunity.won")
        assert wait_until(lambda: has_the_last(database_url, config), SECONDS)
        whole(database_url, config)
        assert len(it.receiver.received) == len({one.id for one in it.receiver.received}), "sent again"
    usual, without = (load.took[label] for label in ("with it", "without it"))
    for part in (0.5, 0.99):
        print(f"{part:.0%} of a write and a read within {rank(usual, part):.4f} s with it, {rank(without, part):.4f} s without")
        assert rank(without, part) < rank(usual, part) * 1.5 + 0.01, part
    assert len(without) > len(usual) * 2 * 0.75


AWAY_SECONDS = 60


def rank(values: list[float], part: float) -> float:
    """Of the values, the one that such a part of them is below."""
    return sorted(values)[int(len(values) * part)]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_fifty_dead_endpoints_of_a_thousand_keep_none_of_the_others_waiting(database_url: str, kafka: Kafka) -> None:
    """Every close is for a hundred endpoints of the thousand, of which five are dead: half of these refuse, half say nothing."""
    with system(database_url, kafka) as it, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        for number in range(1_000):
            region = {"custom_fields": {"region": number % REGIONS}}
            dead = number % 20 == number // 20 % 20
            url = it.receiver.url(f"/well/{number}") if not dead else refusing if number % 40 < 20 else it.receiver.url("/never")
            it.post("/api/webhooks/", {"url": url, "events": ["opportunity.won"], "filters": region})
        with at_work("webhooks", env=it.env):
            it.deal(**WON, custom_fields={"region": 0})
            assert wait_until(lambda: len(well(it)) == WELL, SECONDS), "the processes are at work"
            began = time.monotonic()
            for number in range(CLOSES):
                time.sleep(max(0.0, began + number / CLOSES_A_SECOND - time.monotonic()))
                it.deal(**WON, custom_fields={"region": number % REGIONS})
            assert wait_until(lambda: len(well(it)) == WELL * (1 + CLOSES), SECONDS)
        took = [one.at - created(one) for one in well(it)[WELL:]]
        print(f"p50 {rank(took, 0.5):.3f} s, p99 {rank(took, 0.99):.3f} s, last {max(took):.3f} s of {len(took)}")
        assert rank(took, 0.99) < 1


def well(it: System) -> list[Received]:
    return [one for one in it.receiver.received if one.path.startswith("/well")]


WELL = 95
REGIONS = 10
CLOSES = 120
CLOSES_A_SECOND = 2


def created(one: Received) -> float:
    """When the event of a request occurred."""
    return datetime.fromisoformat(one.json()["created_at"]).timestamp()
