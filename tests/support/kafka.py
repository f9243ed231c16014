"""The Kafka of a test run, with topics for each test, and brokers that a test may kill.

The run's is that of ``KAFKA_BOOTSTRAP_SERVERS``, else Apache Kafka in a container if an engine answers, else the embedded broker.
With ``TEST_APACHE_KAFKA``, a version, it is Apache Kafka of that version, and so are the brokers of tests: see ``make test-kafka``.
Only topics that the run has created are touched.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import msgspec
import pytest

from app.dev import kafka as embedded
from app.dev import kafka_retention
from app.process import children, ports
from consumers import kafka, message, topic
from consumers.kafka import Fetched, TopicPartition
from consumers.kafka_settings import Kafka
from consumers.message import Message
from tests.support import apache_kafka_programs
from tests.support.apache_kafka import FOR_TESTS, Node
from tests.support.apache_kafka_programs import Absent
from tests.support.commands import log
from tests.support.postgres import engine_answers

SERVERS = "TEST_RUN_KAFKA"
VERSION = "TEST_APACHE_KAFKA"
CONTAINED = "4.1.0"
"""As docker-compose.yml has it."""
PORT = 9092
START_SECONDS = 60
READ_SECONDS = 60


class Broker(Protocol):
    """A broker that a test may kill, embedded or Apache Kafka."""

    port: int
    advertised: str
    process: Any

    @property
    def bootstrap_servers(self) -> str: ...

    def run(self) -> object: ...

    def kill(self) -> None: ...

    def restart(self) -> None: ...

    def stop(self) -> None: ...


def start() -> tuple[str, Callable[[], None]]:
    """Find or start the run's Kafka and put it into the environment. What it is, and how to end it."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        os.environ[SERVERS] = given
        return "the one of KAFKA_BOOTSTRAP_SERVERS", lambda: None
    chosen = os.environ.get(VERSION)
    if chosen is not None and is_here(chosen):
        return started(Path(tempfile.mkdtemp(prefix="opportunities-test-kafka-")), f"Apache Kafka {chosen}")
    if engine_answers() and (container := in_container(chosen or CONTAINED)):
        return container
    if chosen is not None:
        apache_kafka_programs.find(chosen)  # raises with what to do
    return started(Path(tempfile.mkdtemp(prefix="opportunities-test-kafka-")), "an embedded broker")


def started(folder: Path, described: str) -> tuple[str, Callable[[], None]]:
    broker = running(folder)
    os.environ[SERVERS] = broker.bootstrap_servers

    def stop() -> None:
        broker.stop()
        shutil.rmtree(folder)

    return described, stop


def is_here(version: str) -> bool:
    """Whether Apache Kafka of that version runs without a container; it is fetched if need be."""
    try:
        apache_kafka_programs.find(version)
    except Absent:
        return False
    return True


def prepared(folder: Path) -> Broker:
    """A broker of the run's kind with a port, that does not run yet."""
    if version := os.environ.get(VERSION):
        return Node(folder, apache_kafka_programs.find(version))
    broker = embedded.Broker(folder)
    broker.port = ports.free_port()
    return broker


def running(folder: Path) -> Broker:
    if version := os.environ.get(VERSION):
        return Node.start(folder, version)
    return embedded.Broker.start(folder)


def in_container(version: str) -> tuple[str, Callable[[], None]] | None:
    """Apache Kafka in a container, or None where the image is not to be had."""
    from docker.errors import DockerException
    from testcontainers.core.container import DockerContainer

    image, port = f"apache/kafka:{version}", ports.free_port()
    environ = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{PORT},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://localhost:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        **{f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in FOR_TESTS.items()},
    }
    try:
        container = DockerContainer(image).with_bind_ports(PORT, port)
        for name, value in environ.items():
            container.with_env(name, value)
        container.start()
    except DockerException:
        return None
    os.environ[SERVERS] = f"localhost:{port}"
    if not children.wait_until(lambda: answers(os.environ[SERVERS]), START_SECONDS):
        container.stop()
        raise TimeoutError(f"{image} did not answer in {START_SECONDS} s")
    return f"{image} in a container", container.stop


def answers(servers: str) -> bool:
    try:
        kafka.admin(at(servers, "")).close()
    except kafka.KafkaError:
        return False
    return True


def at(servers: str, name: str) -> Kafka:
    """A topic of some brokers, with the times that tests have."""
    return Kafka(bootstrap_servers=servers, topic=name, session_timeout_ms=2_000, fetch_wait_ms=50)


def settings(config: Kafka) -> dict[str, str]:
    """The same for a process."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": config.bootstrap_servers,
        "OPPORTUNITIES_KAFKA_TOPIC": config.topic,
        "OPPORTUNITIES_KAFKA_SESSION_TIMEOUT_MS": str(config.session_timeout_ms),
        "OPPORTUNITIES_KAFKA_FETCH_WAIT_MS": str(config.fetch_wait_ms),
    }


@pytest.fixture(name="kafka")
def topic_of_a_test() -> Iterator[Kafka]:
    """A topic of this test's own, not made yet, on the run's Kafka."""
    config = at(os.environ[SERVERS], f"test-{uuid4().hex}")
    yield config
    delete(config)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = running(folder)
    yield broker
    broker.stop()


@pytest.fixture
def embedded_broker(tmp_path: Path) -> Iterator[embedded.Broker]:
    """The embedded broker, whatever the run's Kafka is."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = embedded.Broker.start(folder)
    yield broker
    broker.stop()


def delete(config: Kafka) -> None:
    admin = kafka.admin(config)
    try:
        if topic.find(admin, config.topic):
            admin.delete_topics([config.topic])
    finally:
        admin.close()


def emptied(config: Kafka) -> None:
    """All records are gone and their offsets are not given again, as after retention."""
    admin: Any = kafka.admin(config)
    try:
        found = topic.find(admin, config.topic)
        assert found is not None
        if VERSION in os.environ:
            partitions = [TopicPartition(config.topic, number) for number in range(found.partitions)]
            with reading(config) as consumer:
                admin.delete_records(consumer.end_offsets(partitions))
        else:
            kafka_retention.empty(admin, found)
    finally:
        admin.close()


@contextmanager
def reading(config: Kafka) -> Iterator[kafka.Consumer]:
    consumer = kafka.consumer(config)
    try:
        yield consumer
    finally:
        consumer.close()


def records(config: Kafka) -> list[Fetched]:
    """Every record of the topic, each partition's in order; none where there is no topic."""
    admin = kafka.admin(config)
    try:
        found = topic.find(admin, config.topic)
    finally:
        admin.close()
    if found is None:
        return []
    with reading(config) as consumer:
        partitions = [TopicPartition(config.topic, number) for number in range(found.partitions)]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        begin, named = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        taken: list[Fetched] = []

        def done() -> bool:
            polled = consumer.poll(timeout_ms=100)
            for some in polled.values():
                taken.extend(some)
            ends = {partition: consumer.highwater(partition) for partition in partitions}
            return all(
                end is not None and (consumer.position(partition) >= end or (not polled and begin[partition] == named[partition]))
                for partition, end in ends.items()
            )

        assert children.wait_until(done, READ_SECONDS)
    return taken


def messages(config: Kafka) -> list[Message]:
    return [message.decode(record.value or b"") for record in records(config)]


def by_key(config: Kafka) -> dict[bytes, list[Message]]:
    """What is on the topic, by key, in order."""
    found: defaultdict[bytes, list[Message]] = defaultdict(list)
    for record in records(config):
        found[record.key or b""].append(message.decode(record.value or b""))
    return found


def firsts(told: list[Message]) -> list[int]:
    """The positions in the order in which they were seen for the first time, as for somebody who ignores what he knows."""
    return list(dict.fromkeys(one.position for one in told))


def published(url: str) -> list[int]:
    """The positions of the events of a log that belong on the topic."""
    return [recorded.position for recorded in log(url) if message.is_published(recorded)]


def whole(url: str, config: Kafka) -> None:
    """Everything that belongs there is on the topic, in order for each key, as a reader sees it who ignores what he knows."""
    positions = {key: firsts(told) for key, told in by_key(config).items()}
    assert all(found == sorted(found) for found in positions.values()), "out of order"
    assert sorted(position for found in positions.values() for position in found) == published(url), "lost, or never there"


def has_the_last(url: str, config: Kafka) -> bool:
    """Whether the topic has the last event: a checkpoint that is there says nothing of a topic that was lost after it."""
    last = max(published(url))
    return any(told.position == last for told in messages(config))


def shown(told: Message) -> dict[str, object]:
    """The record in a message."""
    (data,) = told.data.values()
    decoded: dict[str, object] = msgspec.json.decode(data)
    return decoded
