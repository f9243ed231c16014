"""A running sender on a database, endpoints of an org, and deliveries queued for them without a topic; and the whole path from the
API on, in processes, with what must have arrived in the end. The requests and the receivers are real."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from app.cli.endpoint_disabling import disabling
from app.process import children
from app.writing.committer import Committer
from app.writing.provisioning import Provisioned, create_org
from consumers import database, message
from consumers.kafka_settings import Kafka
from consumers.webhooks import deliveries, signing
from consumers.webhooks.deliveries import Row
from consumers.webhooks.sender import Sender
from consumers.webhooks.transport import Transport
from domain.webhook_endpoint import EVENT_TYPES, Create
from domain.webhook_url import rules
from projections.history import public_type
from tests.support.commands import Company, log
from tests.support.kafka import settings
from tests.support.receiver import Receiver, receiving
from tests.support.scenarios import Json, made
from tests.support.server import Server
from tests.support.worker import WON, at_work

ARRIVAL_SECONDS = 60
LOCAL = rules(True, "any", "127.0.0.0/8")
SETTINGS = {
    "OPPORTUNITIES_WEBHOOK_ALLOW_HTTP": "true",
    "OPPORTUNITIES_WEBHOOK_PORTS": "any",
    "OPPORTUNITIES_WEBHOOK_NETWORKS": "127.0.0.0/8",
}
"""The same for a process."""


class State(NamedTuple):
    """How a delivery stands. ``due`` is in how many seconds."""

    id: UUID
    event_id: str
    status: str
    attempts: int
    outcomes: list[str]
    due: float


def endpoint(company: Company, url: str, **fields: Any) -> UUID:
    return company.do(Create(**{"url": url, "events": EVENT_TYPES, "rules": LOCAL, **fields})).stream_id


def queue(url: str, company: Company, endpoint_id: UUID, number: int = 1, body: str = '{"some":"body"}') -> list[UUID]:
    """Deliveries of so many events; their ids."""
    rows = [Row(uuid7(), company.id, endpoint_id, f"evt_{uuid7().hex}", "opportunity.won", uuid7(), n, body) for n in range(number)]
    with database.connect(url, "test") as connection, connection.cursor() as cursor:
        assert deliveries.queue(cursor, rows) == number
    return [row.id for row in rows]


def leading_to(*places: str) -> Callable[..., Any]:
    """A resolver for which every name leads to these addresses, one after the other."""
    left = list(places)

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        place = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in place else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (place, port))]

    return lookup


def execute(url: str, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(statement, params or None)
        return done.fetchall() if done.description else []


def states(url: str, endpoint_id: UUID) -> list[State]:
    """How an endpoint's deliveries stand, in the order of their queuing."""
    rows = execute(
        url,
        """
        SELECT d.id, d.event_id, d.status, d.attempts,
               ARRAY(SELECT a.outcome FROM webhook_attempts a WHERE a.delivery_id = d.id ORDER BY a.number),
               extract(epoch FROM d.due_at - clock_timestamp())::float
        FROM webhook_deliveries d WHERE d.endpoint_id = %s ORDER BY d.id
        """,
        endpoint_id,
    )
    return [State(*row) for row in rows]


def until_attempted(url: str, endpoint_id: UUID, times: int = 1, seconds: float = 20) -> list[State]:
    """Until each delivery of an endpoint was attempted so often and that was written down."""

    def done() -> bool:
        return all(state.attempts >= times for state in states(url, endpoint_id))

    assert children.wait_until(done, seconds), states(url, endpoint_id)
    return states(url, endpoint_id)


def secret(url: str, endpoint_id: UUID, generation: int = 1) -> str:
    with database.connect(url, "test") as connection, connection.cursor() as cursor:
        return signing.shown(signing.secret(deliveries.key(cursor), endpoint_id, generation))


@contextmanager
def sending(
    url: str, *, seconds: float = 2.0, grace: float = 5.0, commands_url: str | None = None, **options: Any
) -> Iterator[Sender]:
    """A sender at work, in a thread of its own. It disables endpoints by way of ``commands_url``, the same address if there is
    none. ``options`` are further ones of ``Sender``."""
    stop = threading.Event()
    started = threading.Event()
    made: list[Sender] = []
    faults: list[BaseException] = []

    async def work() -> None:
        transport = Transport(LOCAL, seconds=seconds)
        committer = Committer(commands_url or url)
        usual: dict[str, Any] = {"keep": timedelta(days=30), "seconds": seconds, "chance": lambda: 0.5}
        made.append(Sender(url, transport, disabling(committer), **{**usual, **options}))
        started.set()
        try:
            await made[0].run(stop, grace)
        finally:
            await transport.close()
            committer.close()

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as fault:
            faults.append(fault)
            raise

    thread = threading.Thread(target=run, name="sender", daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield made[0]
    finally:
        stop.set()
        thread.join(grace + 20)
    assert not faults
    assert not thread.is_alive()


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

    def get(self, path: str) -> Json:
        with self.server.client(self.org.token) as client:
            return made(client.get(path), 200)

    def patch(self, path: str, body: Json) -> Json:
        with self.server.client(self.org.token) as client:
            return made(client.patch(path, body), 200)

    def endpoint(self, path: str = "/hooks", *types: str, **fields: Any) -> Json:
        body = {"url": self.receiver.url(path), "events": types or EVENT_TYPES, **fields}
        return self.post("/api/webhooks/", body)

    def deal(self, **fields: Any) -> Json:
        return self.post("/api/opportunities/", {"name": "Annual", "account_id": self.account["id"], **fields})

    def won(self) -> Json:
        return self.post(f"/api/opportunities/{self.deal(amount='100')['id']}/transition/", WON, 200)

    def subscribed(self, *types: str) -> set[str]:
        """The ids of the events of these types that were ever recorded."""
        return {message.event_id(one) for one in log(self.url) if public_type(one) in types}

    def expire(self) -> None:
        """What a killed sender had leased may be taken by another from now on; no other sender may be at work.

        The server ends the statement that a killed client sent, a claim for instance, so its session must be gone first.
        """
        sessions = "SELECT FROM pg_stat_activity WHERE application_name = 'opportunities sender' AND datname = current_database()"
        assert children.wait_until(lambda: not execute(self.url, sessions), 30)
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


def complete(system: System, path: str, *types: str) -> None:
    """Wait until everything subscribed to has arrived and was written down; then see how."""
    wanted = system.subscribed(*types)

    def arrived() -> bool:
        return {one.id for one in system.receiver.at(path)} >= wanted

    assert children.wait_until(arrived, ARRIVAL_SECONDS), missing(system, wanted - {one.id for one in system.receiver.at(path)})
    settled = "SELECT count(*) FROM webhook_deliveries WHERE status <> 'delivered'"
    assert children.wait_until(lambda: execute(system.url, settled) == [(0,)], ARRIVAL_SECONDS)
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
