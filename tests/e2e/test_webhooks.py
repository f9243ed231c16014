"""Real processes, a real broker, real receivers, real kills: every close subscribed to arrives, with one id and the same bytes."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

import pytest

from app.broker import Broker
from app.committer import Committer
from app.embedded import Postgres
from app.migrations import migrate
from app.processes import until
from app.provision import Provisioned, create_org
from consumers import message
from consumers.connection import Kafka
from domain.webhook_endpoint import EVENT_TYPES
from projections.history import public_type
from tests.support.commands import log
from tests.support.dev import Dev, ask
from tests.support.kafka import at, settings
from tests.support.processes import opportunities
from tests.support.proxy import proxied
from tests.support.receiver import BEHAVIOURS, Receiver, Writer, receiving, reply
from tests.support.scenarios import made
from tests.support.server import Server
from tests.support.webhooks import SETTINGS, execute
from tests.support.worker import Worker, at_work

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
WON: Json = {"stage": "won", "actual_amount": "90", "actual_close_date": "2026-05-05"}
SECONDS = 120


class System(NamedTuple):
    """Everything but the webhooks' own processes."""

    url: str
    env: dict[str, str]
    server: Server
    org: Provisioned
    receiver: Receiver
    account: Json

    def post(self, path: str, body: Json, status: int = 201) -> Json:
        with self.server.client(self.org.token) as client:
            return made(client.post(path, body), status)

    def endpoint(self, path: str = "/hooks", *types: str) -> Json:
        return self.post("/api/webhooks/", {"url": self.receiver.url(path), "events": types or list(EVENT_TYPES)})

    def deal(self, **fields: Any) -> Json:
        return self.post("/api/opportunities/", {"name": "Annual", "account_id": self.account["id"], **fields})

    def won(self) -> Json:
        return self.post(f"/api/opportunities/{self.deal(amount='100')['id']}/transition/", WON, 200)

    def subscribed(self, *types: str) -> set[str]:
        """The ids of the events of these types that were ever recorded."""
        return {message.event_id(one) for one in log(self.url) if public_type(one) in types}

    def expire(self) -> None:
        """What a killed sender had leased may be taken by another from now on."""
        execute(self.url, "UPDATE webhook_deliveries SET leased_until = clock_timestamp() WHERE leased_until IS NOT NULL")


@contextmanager
def system(url: str, config: Kafka, *, relay: bool = True) -> Iterator[System]:
    with closing(Committer(url)) as committer:
        org = create_org(committer, "Yours", "USD", "admin@yours.com")
    env = {"DATABASE_URL": url, **settings(config), **SETTINGS}
    server = Server(url, environ=SETTINGS)
    with receiving() as receiver, ExitStack() as stack:
        server.start()
        stack.callback(server.stop)
        if relay:
            stack.enter_context(at_work("relay", env=env))
        with server.client(org.token) as client:
            account = made(client.post("/api/accounts/", {"name": "Acme"}))
        yield System(url, env, server, org, receiver, account)


class Load:
    """Writers who make deals and close them, as long as it lasts."""

    def __init__(self, system: System, writers: int = 2) -> None:
        self._system = system
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(writers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        account = self._system.account["id"]
        while not self._stop.is_set():
            deal = self._insist("/api/opportunities/", {"name": uuid4().hex, "account_id": account, "amount": "5"})
            if deal:
                self._insist(f"/api/opportunities/{deal['id']}/transition/", WON)
            self._stop.wait(0.02)

    def _insist(self, path: str, body: Json) -> Json:
        while not self._stop.is_set():
            try:
                with self._system.server.client(self._system.org.token) as client:
                    reply = client.post(path, body, Idempotency_Key=uuid4().hex)
            except (OSError, HTTPException):
                self._stop.wait(0.05)
                continue
            if reply.status < 300:
                answer: Json = reply.json()
                return answer
            assert reply.status == 503, reply.body
            self._stop.wait(0.05)
        return {}


def complete(system: System, path: str, *types: str) -> None:
    """Wait until everything subscribed to has arrived and was written down; then see how."""
    wanted = system.subscribed(*types)

    def arrived() -> bool:
        return {one.id for one in system.receiver.at(path)} >= wanted

    assert until(arrived, SECONDS), missing(system, wanted - {one.id for one in system.receiver.at(path)})
    settled = "SELECT count(*) FROM webhook_deliveries WHERE status <> 'delivered'"
    assert until(lambda: execute(system.url, settled) == [(0,)], SECONDS)
    received = system.receiver.at(path)
    assert {one.id for one in received} == wanted, "something was sent that nobody subscribed to"
    assert len({(one.id, one.body) for one in received}) == len(wanted), "the bytes differ"
    twice = "SELECT endpoint_id, event_id FROM webhook_deliveries GROUP BY 1, 2 HAVING count(*) > 1"
    assert execute(system.url, twice) == []


def missing(system: System, ids: set[str]) -> str:
    """Where those are that did not arrive."""
    queued = execute(system.url, "SELECT status, count(*) FROM webhook_deliveries WHERE event_id = ANY(%s) GROUP BY 1", list(ids))
    followers = execute(system.url, "SELECT name, position, detail FROM checkpoints")
    return f"{len(ids)} are missing; queued of these: {queued}; {followers}"


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
        assert (checked.returncode, checked.stdout.startswith("Webhooks are at work: 0 records behind")) == (0, True), checked


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
        assert checked.stderr.startswith(f"opportunities: No webhook {part} has been at work ever")
    without = opportunities("webhooks", env={"DATABASE_URL": database_url})
    assert (without.returncode, without.stderr.count("\n")) == (2, 1), without.stderr


def test_kill_9_of_consumer_and_sender_under_load(database_url: str, kafka: Kafka) -> None:
    chance = random.Random(5)
    with system(database_url, kafka) as it:
        it.endpoint("/hooks", "opportunity.won")
        consumer, sender = (Worker("webhooks", "--only", part, env=it.env) for part in ("consumer", "sender"))
        for worker in (consumer, sender):
            worker.start()
        with Load(it):
            for worker in (consumer, sender) * 2:
                it.receiver.wait(len(it.receiver.received) + chance.randrange(1, 15), seconds=SECONDS)
                worker.kill()
                worker.start()
                it.expire()
        complete(it, "/hooks", "opportunity.won")
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
            until(lambda: sender.process is not None and sender.process.poll() is not None, 1)
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
        assert until(lambda: execute(it.url, gone) == [(False,)], 10)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_dozens_of_kills_of_everything(tmp_path: Path) -> None:
    chance = random.Random(7)
    (tmp_path / "broker").mkdir()
    broker = Broker.start(tmp_path / "broker")
    postgres = Postgres.start(tmp_path / "data")
    try:
        migrate(postgres.url)
        with system(postgres.url, at(broker.bootstrap_servers, "opportunities.events"), relay=False) as it:
            it.endpoint("/hooks", "opportunity.won")
            relay, consumer, sender = (
                Worker(*verb, env=it.env)
                for verb in (("relay",), ("webhooks", "--only", "consumer"), ("webhooks", "--only", "sender"))
            )

            workers = (relay, consumer, sender)

            def again(worker: Worker) -> Callable[[], None]:
                def end() -> None:
                    worker.kill()
                    worker.start()

                return end

            def look() -> None:
                """As a supervisor would: who begins while the database is away ends at once, and is started again."""
                for worker in workers:
                    if worker.process is None or worker.process.poll() is not None:
                        worker.start()

            def end_broker() -> None:
                broker.kill()
                broker.restart()

            def end_postgres() -> None:
                assert postgres.process is not None
                postgres.process.kill()
                postgres.restart()

            ends = [again(consumer), again(sender), again(relay), end_broker, end_postgres]
            with Load(it):
                for _ in range(40):
                    look()
                    time.sleep(chance.uniform(0.2, 3))
                    chance.choice(ends)()
            look()
            complete(it, "/hooks", "opportunity.won")
            for worker in workers:
                assert worker.stop() == 0
    finally:
        postgres.stop()
        broker.stop()
