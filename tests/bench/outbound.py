"""What leaves the product: the log to the topic, the topic to the queue, the queue to endpoints, and a close all the way.

Every process is a verb of the command line, with the settings that ``opportunities dev`` uses beside the embedded broker; the
receiver is ours. Only the broker keeps running while something else is measured. A run fails if the relay left anything out, or a
webhook did not arrive.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from decimal import Decimal
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from subprocess import Popen
from typing import Any, Literal, LiteralString, NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from app.dev.kafka import Broker
from app.dev.supervisor import EMBEDDED_KAFKA, OPEN_WEBHOOKS
from app.process import children
from app.writing.committer import Committer
from app.writing.envelope import Envelope
from consumers import kafka, topic
from consumers.event_reader import EventReader
from consumers.kafka_settings import Kafka
from consumers.webhooks import deal_event, deliveries
from domain.catalog import PUBLISHED
from domain.permissions import OPERATOR
from domain.webhook_endpoint import Create, EventType, WebhookFilters
from domain.webhook_url import rules
from tests.bench import accounting, databases, load, servers
from tests.bench.loader import loaded
from tests.bench.rig import Rig, Sample
from tests.bench.workload import ROOT
from tests.support import apache_kafka_programs
from tests.support.apache_kafka import Node
from tests.support.receiver import receiving

EARLY, LATE = 20_000, 100_000
"""Events of deals after which memory is looked at."""
CLOSES = 50
"""A second."""
CLOSE_SPANS = 7
"""How many times longer than other measures closes go on, to have enough of them for a p99."""
WARM_UP_SECONDS = 2
ENDPOINTS, DELIVERIES = 30, 6_000
FEW = WebhookFilters(amount__gte=Decimal(100_000))
"""One deal in six, so that deliveries keep up with a consumer that takes events much faster than anybody closes deals."""
PATIENCE = 300
Kind = Literal["embedded", "apache"]
"""Of the broker."""
SETTINGS: dict[Kind, dict[str, str]] = {
    "embedded": EMBEDDED_KAFKA,
    "apache": {"OPPORTUNITIES_KAFKA_RETENTION_HOURS": "0"},  # the events of a template may be months old
}


class Flat(NamedTuple):
    """What a process holds alone after few and after many events."""

    early: Sample
    late: Sample


class Relayed(NamedTuple):
    rate: Sample
    memory: Flat


class Outbound:
    """A broker, a receiver, a database of their own, and what has become of its log so far."""

    def __init__(self, rig: Rig, kind: Kind = "embedded") -> None:
        self._rig = rig
        self._kind = kind
        self._url = rig.outbound_urls[kind]
        self._broker = _broker(rig, kind)
        self._receiver = rig.stack.enter_context(receiving())
        self._connection = rig.stack.enter_context(databases.connect(self._url))
        self._org = loaded(self._connection)
        self._first = self._number("SELECT min(notification_id) FROM opportunities_events WHERE topic LIKE 'opportunity.%%'")
        self._queued = self._first - 1
        self._closed: Sample | None = None

    @cached_property
    def relayed(self) -> Relayed:
        """All of the log, by a relay that finds no topic; from its first checkpoint, right before its first chunk, to its last."""
        last = self._number("SELECT max(notification_id) FROM opportunities_events")
        kinds = "SELECT count(*) FROM opportunities_events WHERE split_part(topic, '.', 1) = ANY(%s)"
        published = self._number(kinds, list(PUBLISHED))
        with self._worker("relay") as relay:
            self._until(relay, lambda: self._position() >= 0)
            roots = self._roots(relay=relay)
            before, began = accounting.cpu(roots), time.perf_counter()
            memory = self._flat(relay, self._position, self._first, last)
            self._until(relay, lambda: self._position() >= last)
            took, cpu = time.perf_counter() - began, _each(roots, before, published)
        if (there := sum(self._ends.values())) != published:
            raise RuntimeError(f"{there} records are on the topic, for {published} events")
        return Relayed(Sample(published / took, "/s", cpu=cpu), memory)

    @cached_property
    def taken(self) -> Flat:
        """All of the topic, by a process that takes and sends, with a delivery for some of the events."""
        assert self.relayed
        (endpoint,) = self._endpoints(1, "/few", "opportunity.created", "opportunity.won", filters=FEW)
        # As if it had been there before the deals: of what was before it, an endpoint is told nothing.
        self._connection.execute("UPDATE directory SET position = 0 WHERE id = %s", (endpoint,))
        deals = "SELECT count(*) FROM opportunities_events WHERE notification_id >= %s"
        records = sum(self._ends.values())
        with self._worker("webhooks") as webhooks:
            memory = self._flat(webhooks, self._consumed, records - self._number(deals, self._first), records)
            self._until(webhooks, lambda: self._consumed() >= records and not self._pending())
        if not self._receiver.received:
            raise RuntimeError("the backlog had nothing to deliver")
        return memory

    def close(self) -> Sample:
        """How long after its time to be sent the request to close a deal has brought a webhook, with everything in between."""
        assert self.taken
        path = f"/closes-{uuid7().hex}"
        self._endpoints(1, path, "opportunity.won")
        with ExitStack() as stack:
            server = stack.enter_context(servers.ours(self._url, self._rig.logs, "outbound"))
            relay, webhooks = (stack.enter_context(self._worker(verb)) for verb in ("relay", "webhooks"))
            self._close(server.port, f"{path}/0", WARM_UP_SECONDS)
            roots = {"server": server.pid} | self._roots(relay=relay, webhooks=webhooks)
            before = accounting.cpu(roots)
            took = self._close(server.port, f"{path}/0", CLOSE_SPANS * self._rig.seconds)
            cpu = _each(roots, before, len(took))
        found = load.Load(CLOSE_SPANS * self._rig.seconds, len(took), tuple(sorted(took)))
        self._closed = Sample(found.p50 * 1e3, "ms", found.p50 * 1e3, found.p99 * 1e3, cpu)
        return self._closed

    def close_late(self) -> Sample:
        """The p99 of the closes measured last, or of new ones where that was told already."""
        last, self._closed = self._closed or self.close(), None
        assert last.p99 is not None
        return Sample(last.p99, "ms", last.p50, last.p99, last.cpu)

    def send(self) -> Sample:
        """Deliveries made and written down in a second, of a queue that appears all at once."""
        with self._worker("webhooks", "--only", "sender") as sender:
            self._queue(1)
            self._until(sender, lambda: not self._pending())
            self._receiver.clear()
            roots = {"sender": sender.pid, "PostgreSQL": self._rig.running["PostgreSQL"]}
            before = accounting.cpu(roots)
            number = self._queue(DELIVERIES // ENDPOINTS)
            began = time.perf_counter()
            self._until(sender, lambda: not self._pending())
            took, cpu = time.perf_counter() - began, _each(roots, before, number)
        if (received := len({(one.path, one.id) for one in self._receiver.received})) != number:
            raise RuntimeError(f"{received} of {number} deliveries were received")
        return Sample(number / took, "/s", cpu=cpu)

    def _close(self, port: int, path: str, seconds: float) -> list[float]:
        """Seconds from each request's time to its webhook. It is sent at its time, however many are still under way."""
        self._receiver.clear()
        headers = {"authorization": f"Bearer {self._org.token}"}
        body = {"stage": "won", "actual_amount": "1000.00", "actual_close_date": self._org.loaded_at.date()}
        due: dict[str, float] = {}
        with ThreadPoolExecutor(max_workers=CLOSES) as pool:
            began, answers = time.time() + 0.1, []
            for number, id_ in enumerate(islice(self._open, round(CLOSES * seconds))):
                data = load.request("POST", f"{ROOT}{id_}/transition/", headers, body)
                due[str(id_)] = began + number / CLOSES
                time.sleep(max(0, due[str(id_)] - time.time()))
                answers.append(pool.submit(load.fetch, port, data))
        if failed := [answer.result() for answer in answers if answer.result()[0] != 200]:
            raise ValueError(f"{len(failed)} of {len(due)} closes failed: {failed[0]}")
        arrived: dict[str, float] = {}
        for one in self._receiver.wait(len(due), path):
            arrived.setdefault(one.json()["data"]["opportunity"]["id"], one.at)
        return [arrived[id_] - at for id_, at in due.items()]

    @cached_property
    def _open(self) -> Iterator[UUID]:
        """Deals to be closed, in no order of theirs."""
        live = "valid_to = 'infinity' AND NOT deleted AND status = 'open'"
        rows = self._connection.execute(f"SELECT id FROM opportunities WHERE {live} ORDER BY md5(id::text)").fetchall()
        return iter([id_ for (id_,) in rows])

    def _queue(self, number: int) -> int:
        """Queue deliveries of the next so many events for each of the idle endpoints; how many deliveries."""
        events: list[deal_event.DealEvent] = []
        with self._connection.cursor() as cursor:
            while len(events) < number:
                chunk = EventReader().read(cursor, self._queued, number - len(events))
                assert chunk is not None, "the log has too few events"
                events += [event for record in chunk.records if (event := deal_event.parse(record.value))]
                self._queued = chunk.position
            return deliveries.queue(cursor, [deal_event.row(id_, event) for event in events for id_ in self._idle])

    @cached_property
    def _idle(self) -> list[UUID]:
        """Endpoints of which nothing that happens here is told, so that all they get is what we queue."""
        return self._endpoints(ENDPOINTS, "/idle", "opportunity.deleted")

    def _endpoints(self, number: int, path: str, *types: EventType, **fields: Any) -> list[UUID]:
        """New endpoints, each with a path of its own below ``path``; their ids."""
        given = {"events": types, "rules": rules(True, "any", "127.0.0.0/8"), **fields}
        creates = {uuid7(): Create(url=self._receiver.url(f"{path}/{n}"), **given) for n in range(number)}
        org = self._org.org_id
        with closing(Committer(self._url)) as committer:
            committer.run_as_one([Envelope("webhook_endpoint", id_, one, org, OPERATOR) for id_, one in creates.items()])
        return list(creates)

    def _worker(self, *arguments: str) -> Any:
        return servers.worker(
            self._rig.logs,
            OPEN_WEBHOOKS
            | SETTINGS[self._kind]
            | {
                "DATABASE_URL": self._url,
                "KAFKA_BOOTSTRAP_SERVERS": self._broker.bootstrap_servers,
                # The events of a template may be months old, and are to be told nevertheless.
                "OPPORTUNITIES_WEBHOOK_KEEP_DAYS": "3650",
            },
            *arguments,
        )

    def _roots(self, **workers: Popen[bytes]) -> dict[str, int]:
        running = {name: self._rig.running[name] for name in (self._kind, "PostgreSQL")}
        return {name: worker.pid for name, worker in workers.items()} | running

    def _flat(self, process: Popen[bytes], progress: Callable[[], int], first: int, last: int) -> Flat:
        """The memory of a process while it goes from ``first`` to ``last``; of a small log after a fifth and all of it."""
        most = min(LATE, last - first)
        samples = []
        for number in (most * EARLY // LATE, most):
            self._until(process, lambda goal=first + number: progress() >= goal)  # type: ignore[misc]
            samples.append(Sample(sum(one.private for one in accounting.memory(process.pid)), "MiB"))
        return Flat(*samples)

    def _until(self, process: Popen[bytes], condition: Callable[[], bool]) -> None:
        if not children.wait_until(lambda: process.poll() is not None or condition(), PATIENCE) or process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended, or did not come to its end in {PATIENCE} s; see its log")

    def _number(self, query: LiteralString, *params: Any) -> int:
        """The number that a query answers with, -1 for none."""
        row = self._connection.execute(query, params).fetchone()
        return -1 if row is None else int(row[0])

    def _position(self) -> int:
        """Of the relay; -1 before it begins."""
        return self._number("SELECT position FROM checkpoints WHERE name = 'relay'")

    def _pending(self) -> bool:
        return bool(self._number("SELECT EXISTS (SELECT FROM webhook_deliveries WHERE status = 'pending')::int"))

    def _consumed(self) -> int:
        """Records taken from the topic as it was after the relay."""
        rows = self._connection.execute("SELECT name, (detail->>'lag')::int FROM checkpoints WHERE name LIKE 'webhooks/%'")
        return sum(self._ends[int(name.partition("/")[2])] - lag for name, lag in rows)

    @cached_property
    def _ends(self) -> Mapping[int, int]:
        """How many records each partition has after the relay."""
        config = Kafka(bootstrap_servers=self._broker.bootstrap_servers)
        with closing(kafka.admin(config)) as admin, closing(kafka.consumer(config)) as consumer:
            found = topic.find(admin, config.topic)
            assert found is not None
            return {partition: end.highwater for partition, end in topic.ends(consumer, found).items()}


@cache
def of(rig: Rig, kind: Kind = "embedded") -> Outbound:
    return Outbound(rig, kind)


def _broker(rig: Rig, kind: Kind) -> Broker | Node:
    """One broker, which keeps running; a folder of its own in the run's."""
    if kind == "embedded":
        broker: Broker | Node = Broker.start(rig.logs)
    else:
        folder = Path(rig.stack.enter_context(tempfile.TemporaryDirectory(prefix="apache-kafka-", dir=rig.logs)))
        broker = Node.start(folder, apache_kafka_programs.versions()["newest"])
    rig.stack.callback(broker.stop)
    assert broker.process is not None
    rig.running[kind] = broker.process.pid
    return broker


def _each(roots: Mapping[str, int], before: Mapping[str, float], number: int) -> dict[str, float]:
    """Microseconds of each process tree since ``before``, by the number of things done."""
    return {name: (now - before[name]) / number * 1e6 for name, now in accounting.cpu(roots).items()}
