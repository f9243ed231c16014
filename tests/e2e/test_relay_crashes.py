"""Real processes, a real broker, real kills: every event reaches the topic, in order for each key, and nobody waits for it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Self
from uuid import uuid4

import psycopg
import pytest

from app.broker import Broker
from app.committer import Committer
from app.embedded import Postgres
from app.migrations import migrate
from app.processes import until
from app.provision import Provisioned, create_org
from consumers import checkpoints, message
from consumers.connection import Kafka
from tests.support.commands import log
from tests.support.kafka import at, by_key, firsts, settings
from tests.support.processes import ROOT, command, environment
from tests.support.server import Server, serving

pytestmark = [pytest.mark.e2e]

CAUGHT_UP_SECONDS = 90


class RelayProcess:
    """``opportunities relay``, to be killed and started again."""

    def __init__(self, url: str, config: Kafka) -> None:
        self._environ = environment({"DATABASE_URL": url, **settings(config)})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(command("relay"), cwd=ROOT, env=self._environ, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)


class Load:
    """Writers over the API; how long each answered write took, by second of the test's choosing."""

    def __init__(self, server: Server, org: Provisioned, writers: int = 3) -> None:
        self._server = server
        self._org = org
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(writers)]
        self.took: defaultdict[str, list[float]] = defaultdict(list)
        self.label = ""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        """Until told to stop, which shows in an answer without an id."""
        account = self._insist("POST", "/api/accounts/", {"name": uuid4().hex})
        while account:
            body = {"name": uuid4().hex, "account_id": account["id"], "amount": "5"}
            deal = self._insist("POST", "/api/opportunities/", body)
            for stage in ("qualification", "proposal", "negotiation"):
                if not deal or not self._insist("PATCH", f"/api/opportunities/{deal['id']}/", {"stage": stage}):
                    return

    def _insist(self, method: str, path: str, body: dict[str, str]) -> dict[str, str]:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                with self._server.client(self._org.token) as client:
                    reply = client.request(method, path, body)
                    read = client.get("/api/opportunities/?page_size=1")
            except (OSError, HTTPException):
                self._stop.wait(0.05)
                continue
            self.took[self.label].append(time.monotonic() - began)
            assert read.status in (200, 503), read.body
            if reply.status < 300:
                answer: dict[str, str] = reply.json()
                return answer
            assert reply.status == 503, reply.body
            self._stop.wait(0.05)
        return {}


def organization(url: str) -> Provisioned:
    with closing(Committer(url)) as committer:
        return create_org(committer, "Crash Ltd", "USD", "admin@crash.example")


def relayed(url: str) -> int:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        return checkpoints.load(cursor, checkpoints.RELAY)[0]


def wait_for(url: str, events: int) -> None:
    """Until the relay has come that far beyond where it is now."""
    goal = relayed(url) + events
    assert until(lambda: relayed(url) >= goal, CAUGHT_UP_SECONDS)


def caught_up(url: str) -> None:
    last = log(url)[-1].position
    assert until(lambda: relayed(url) >= last, CAUGHT_UP_SECONDS), (relayed(url), last)


def whole(url: str, config: Kafka) -> None:
    positions = {key: firsts(told) for key, told in by_key(config).items()}
    assert all(found == sorted(found) for found in positions.values()), "out of order"
    expected = [recorded.position for recorded in log(url) if message.is_published(recorded)]
    assert sorted(position for found in positions.values() for position in found) == expected, "lost, or never there"


@contextmanager
def running(url: str, config: Kafka) -> Iterator[tuple[RelayProcess, Load]]:
    relay = RelayProcess(url, config)
    relay.start()
    with serving(url) as server, Load(server, organization(url)) as load:
        yield relay, load
    caught_up(url)
    assert relay.stop() == 0


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
    assert until(lambda: complete(database_url, config), CAUGHT_UP_SECONDS)
    whole(database_url, config)


def complete(url: str, config: Kafka) -> bool:
    """Whether the topic has the last event: a checkpoint that is there says nothing of a topic that was lost after it."""
    last = max(recorded.position for recorded in log(url) if message.is_published(recorded))
    return any(told.position == last for found in by_key(config).values() for told in found)


def test_kill_9_of_postgresql(tmp_path: Path, kafka: Kafka) -> None:
    with postgres(tmp_path / "data") as server:
        migrate(server.url)
        with running(server.url, kafka):
            for _ in range(2):
                wait_for(server.url, 30)
                assert server.process is not None
                server.process.kill()
                server.restart()
        whole(server.url, kafka)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    server = Postgres.start(folder)
    try:
        yield server
    finally:
        server.stop()


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
    usual, silent = (sorted(load.took[label])[len(load.took[label]) // 2] for label in ("with it", "without it"))
    assert silent < usual * 2 + 0.05


def growth(url: str, events: int) -> bool:
    """Whether the log grows by that much, for so long that a client of Kafka would notice that nobody answers."""
    began, start = time.monotonic(), log(url)[-1].position
    return until(lambda: time.monotonic() - began > 4 and log(url)[-1].position >= start + events, 60)


def test_of_two_relays_one_works_and_the_other_takes_over(database_url: str, kafka: Kafka) -> None:
    second = RelayProcess(database_url, kafka)
    with running(database_url, kafka) as (first, _):
        second.start()
        wait_for(database_url, 30)
        first.kill()
        wait_for(database_url, 30)
        first.start()
        second.kill()
        wait_for(database_url, 30)
    whole(database_url, kafka)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_dozens_of_kills_of_everything(tmp_path: Path) -> None:
    chance = random.Random(3)
    (tmp_path / "broker").mkdir()
    broker = Broker.start(tmp_path / "broker")
    config = at(broker.bootstrap_servers, "opportunities.events")
    try:
        with postgres(tmp_path / "data") as server:
            url = server.url
            migrate(url)
            with running(url, config) as (relay, _):

                def end_relay() -> None:
                    relay.kill()
                    relay.start()

                def end_broker() -> None:
                    broker.kill()
                    broker.restart()

                def end_postgres() -> None:
                    assert server.process is not None
                    server.process.kill()
                    server.restart()

                def silence_broker() -> None:
                    assert broker.process is not None
                    os.kill(broker.process.pid, signal.SIGSTOP)
                    time.sleep(chance.uniform(0.5, 6))
                    os.kill(broker.process.pid, signal.SIGCONT)

                ways: list[Callable[[], None]] = [end_relay, end_relay, end_broker, end_postgres, silence_broker]
                for _ in range(36):
                    chance.choice(ways)()
                    time.sleep(chance.uniform(0.2, 4))
            assert until(lambda: complete(url, config), CAUGHT_UP_SECONDS)
            whole(url, config)
    finally:
        broker.stop()
