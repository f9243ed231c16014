"""The API, relay, consumer and sender in real processes under a real load, killed again and again, and what they depend on too.

Whatever is killed, in the end everything is on the topic, and has arrived at those who subscribed to it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import product
from pathlib import Path

import psycopg
import pytest

from app.dev.postgres import Postgres
from app.migrations import migrate
from app.process.children import wait_until
from app.writing.committer import Committer
from app.writing.provisioning import Provisioned, create_org
from consumers import checkpoints
from consumers.kafka_settings import Kafka
from tests.support.commands import log
from tests.support.kafka import Broker, at, has_the_last, prepared, settings, whole
from tests.support.proxy import AtCommit, Proxy, proxied
from tests.support.server import serving
from tests.support.webhooks import System, complete, system
from tests.support.worker import WON, Load, Worker

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

CAUGHT_UP_SECONDS = 90


def organization(url: str) -> Provisioned:
    with closing(Committer(url)) as committer:
        return create_org(committer, "Crash Ltd", "USD", "admin@crash.example")


def relayed(url: str) -> int:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        return checkpoints.load(cursor, checkpoints.RELAY)[0]


def wait_for(url: str, events: int) -> None:
    """Until the relay has come that far beyond where it is now."""
    goal = relayed(url) + events
    assert wait_until(lambda: relayed(url) >= goal, CAUGHT_UP_SECONDS)


def caught_up(url: str) -> None:
    last = log(url)[-1].position
    assert wait_until(lambda: relayed(url) >= last, CAUGHT_UP_SECONDS), (relayed(url), last)


@contextmanager
def running(url: str, config: Kafka) -> Iterator[tuple[Worker, Load]]:
    """A relay under a load, and in the end, unless the test has failed already, all that was written relayed."""
    relay = Worker("relay", env={"DATABASE_URL": url, **settings(config)})
    relay.start()
    try:
        with serving(url) as server, Load(server, organization(url), writers=3) as load:
            yield relay, load
        caught_up(url)
    finally:
        ended = relay.stop()
    assert ended == 0


def test_kill_9_of_the_relay(database_url: str, kafka: Kafka) -> None:
    chance = random.Random(8)
    with running(database_url, kafka) as (relay, _):
        for _ in range(5):
            wait_for(database_url, chance.randrange(5, 60))
            relay.kill()
            relay.start()
    whole(database_url, kafka)


def test_kill_9_of_the_broker_and_its_memory(database_url: str, broker: Broker) -> None:
    config = at(broker.bootstrap_servers, "opportunities.events")
    with running(database_url, config):
        for _ in range(3):
            wait_for(database_url, 30)
            broker.kill()
            broker.restart()
    assert wait_until(lambda: has_the_last(database_url, config), CAUGHT_UP_SECONDS)
    whole(database_url, config)


@pytest.mark.slow
def test_kill_9_of_postgresql(tmp_path: Path, kafka: Kafka) -> None:
    with postgres(tmp_path / "data") as server:
        migrate(server.url)
        with running(server.url, kafka):
            for _ in range(2):
                wait_for(server.url, 30)
                kill_postgres(server)
                server.restart()
        whole(server.url, kafka)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    server = Postgres.start(folder)
    try:
        yield server
    finally:
        server.stop()


def kill_postgres(server: Postgres) -> None:
    """kill -9, on a folder that stays ours."""
    assert server.process is not None
    server.process.kill()


def test_a_broker_that_is_silent_slows_nobody_down(database_url: str, broker: Broker) -> None:
    config = at(broker.bootstrap_servers, "opportunities.events")
    assert broker.process is not None
    with running(database_url, config) as (_, load):
        wait_for(database_url, 30)
        load.label = "with it"
        wait_for(database_url, 60)
        os.kill(broker.process.pid, signal.SIGSTOP)
        load.label = "without it"
        before = relayed(database_url)
        grown = growth(database_url, 60)
        os.kill(broker.process.pid, signal.SIGCONT)
    assert relayed(database_url) > before
    assert grown
    whole(database_url, config)
    assert middle(load.took["without it"]) < middle(load.took["with it"]) * 2 + 0.05


def growth(url: str, events: int) -> bool:
    """Whether the log grows by that much, for so long that a client of Kafka would notice that nobody answers."""
    began, start = time.monotonic(), log(url)[-1].position
    return wait_until(lambda: time.monotonic() - began > 4 and log(url)[-1].position >= start + events, 60)


def middle(took: list[float]) -> float:
    return sorted(took)[len(took) // 2]


def test_of_two_relays_one_works_and_the_other_takes_over(database_url: str, kafka: Kafka) -> None:
    second = Worker("relay", env={"DATABASE_URL": database_url, **settings(kafka)})
    with running(database_url, kafka) as (first, _):
        second.start()
        wait_for(database_url, 30)
        first.kill()
        wait_for(database_url, 30)
        first.start()
        second.kill()
        wait_for(database_url, 30)
    whole(database_url, kafka)


PARTS = {"relay": ("relay",), "consumer": ("webhooks", "--only", "consumer"), "sender": ("webhooks", "--only", "sender")}
POINTS = {"relay": b"UPDATE checkpoints", "consumer": b"COMMIT", "sender": b"COMMIT"}
"""Where each part has done what others see, and has yet to write it down."""


class Everything:
    """A broker, PostgreSQL, an API with an endpoint, and the parts in between, each with a way of its own to the database."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        (folder / "broker").mkdir()
        self.broker = prepared(folder / "broker")
        self.broker.run()
        stack.callback(self.broker.stop)
        self.postgres = stack.enter_context(postgres(folder / "data"))
        migrate(self.postgres.url)
        self.config = at(self.broker.bootstrap_servers, "opportunities.events")
        self.system: System = stack.enter_context(system(self.postgres.url, self.config, relay=False))
        self.system.endpoint("/hooks", "opportunity.won")
        self.proxies: dict[str, Proxy] = {}
        self.workers: dict[str, Worker] = {}
        for part, verb in PARTS.items():
            self.proxies[part] = proxy = stack.enter_context(proxied(self.postgres.url, POINTS[part]))
            env = {**self.system.env, "DATABASE_URL": proxy.url}
            self.workers[part] = Worker(*verb, env=env, log=folder / f"{part}.log")
            stack.callback(self.end, part)
        self.revive()

    def end(self, victim: str) -> None:
        """kill -9."""
        match victim:
            case "broker":
                self.broker.kill()
            case "postgres":
                kill_postgres(self.postgres)
            case "API":
                self.system.server.kill()
            case _:
                self.workers[victim].kill()

    def back(self, victim: str) -> None:
        match victim:
            case "broker":
                self.broker.restart()
            case "postgres":
                self.postgres.restart()
            case "API":
                self.system.server.start()
            case _:
                self.workers[victim].start()

    def revive(self) -> None:
        """As a supervisor would: who begins while the database is away ends at once, and is started again."""
        for worker in self.workers.values():
            if not worker.runs():
                worker.start()

    def at_work(self, load: Load) -> None:
        """Until a deal that is closed now has come through all of the parts."""
        account = load.insist("POST", "/api/accounts/", {"name": "Acme"})
        deal = load.insist("POST", "/api/opportunities/", {"name": "Annual", "account_id": account["id"], **WON})
        seen = 0

        def came() -> bool:
            nonlocal seen
            self.revive()
            received = self.system.receiver.received[seen:]
            seen += len(received)
            return any(deal["id"].encode() in one.body for one in received)

        assert wait_until(came, CAUGHT_UP_SECONDS)

    def settle(self) -> None:
        """Whatever has happened, in the end everything is everywhere."""
        self.revive()
        complete(self.system, "/hooks", "opportunity.won")
        caught_up(self.postgres.url)
        assert wait_until(lambda: has_the_last(self.postgres.url, self.config), CAUGHT_UP_SECONDS)
        whole(self.postgres.url, self.config)
        for worker in self.workers.values():
            assert worker.stop() == 0


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[Everything]:
    with ExitStack() as stack:
        yield Everything(tmp_path, stack)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_dozen_kills_of_each_at_any_moment(everything: Everything) -> None:
    chance = random.Random(7)
    victims = [*PARTS, "API", "broker", "postgres"] * 24
    chance.shuffle(victims)
    with Load(everything.system.server, everything.system.org):
        for victim in victims:
            time.sleep(chance.uniform(0.2, 3))
            everything.revive()
            everything.end(victim)
            everything.back(victim)
    everything.settle()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_dozen_kills_of_each_while_a_part_has_yet_to_write_down_what_it_did(everything: Everything) -> None:
    """Each part hangs before its note arrives, or after it did and before the part knows; then it dies, or what it works with."""
    moments: tuple[AtCommit, ...] = ("hang", "hang after")
    rounds = [
        (part, moment, victim) for part, moment in product(PARTS, moments) for victim in [part] * 12 + ["broker", "postgres"] * 4
    ]
    random.Random(11).shuffle(rounds)
    with Load(everything.system.server, everything.system.org) as load:
        for part, moment, victim in rounds:
            everything.at_work(load)
            proxy = everything.proxies[part]
            proxy.hanging.clear()
            proxy.at_commit.append(moment)
            proxy.cut()
            assert proxy.hanging.wait(30), (part, moment, victim)
            everything.end(victim)
            proxy.cut()
            everything.back(victim)
    everything.settle()
