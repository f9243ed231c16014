"""Subscribers as people have them read the topic with a group: everything, in order for each deal."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import confluent_kafka
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from app.dev.kafka import Broker
from consumers.kafka_settings import Kafka
from tests.apache.relaying import flowing
from tests.support import apache_kafka_programs
from tests.support.kafka import VERSION, at, published

pytestmark = [
    pytest.mark.apache,
    pytest.mark.skipif(VERSION not in os.environ, reason="the run's Kafka is another one: make test-kafka"),
]

EMBEDDED = {"max.poll.interval.ms": 6_000, "session.timeout.ms": 6_000}
"""What the README says to set on the embedded broker, which waits for half of the former for further members."""
NODE = Path(__file__).with_name("node")
SECONDS = 60


class Stream(NamedTuple):
    config: Kafka
    embedded: bool
    positions: list[int]
    """Of all that is on the topic."""


@pytest.fixture(params=["apache", "embedded"])
def stream(request: pytest.FixtureRequest, database_url: str) -> Stream:
    """A topic with the events of some deals."""
    config: Kafka = request.getfixturevalue("kafka")
    if request.param == "embedded":
        broker: Broker = request.getfixturevalue("embedded_broker")
        config = at(broker.bootstrap_servers, config.topic)
    with flowing(database_url, config) as flow:
        flow.write(10)
        flow.settle()
    return Stream(config, request.param == "embedded", published(database_url))


def complete(stream: Stream, told: list[tuple[str, int]]) -> None:
    """Every event, in order for each key."""
    by_key = defaultdict(list)
    for key, position in told:
        by_key[key].append(position)
    assert all(positions == sorted(positions) for positions in by_key.values())
    assert sorted(position for _, position in told) == stream.positions


def test_librdkafka_reads_it_as_cloudevents(stream: Stream) -> None:
    options: dict[str, Any] = {
        "bootstrap.servers": stream.config.bootstrap_servers,
        "group.id": "readers",
        "auto.offset.reset": "earliest",
        **(EMBEDDED if stream.embedded else {}),
    }
    consumer = confluent_kafka.Consumer(options)
    consumer.subscribe([stream.config.topic])
    told: list[tuple[str, int]] = []
    deadline = time.monotonic() + SECONDS
    while len(told) < len(stream.positions) and time.monotonic() < deadline:
        record = consumer.poll(0.5)
        if record is None or record.error():
            continue
        headers: dict[str, bytes] = dict(record.headers() or [])  # type: ignore[arg-type]  # a value may be missing
        event = from_binary_event(KafkaMessage(headers=headers, key=record.key(), value=record.value() or b""))
        told.append(((record.key() or b"").decode(), int(event.get_extension("sequence"))))
    consumer.close()
    complete(stream, told)


@pytest.mark.parametrize("stream", ["apache"], indirect=True)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_the_java_client_reads_it(stream: Stream, protocol: str) -> None:
    if shutil.which("javac") is None:
        pytest.skip("needs a JDK: apt-get install openjdk-17-jdk-headless")
    programs = apache_kafka_programs.find(os.environ[VERSION])
    arguments: tuple[str, ...] = (
        stream.config.bootstrap_servers,
        stream.config.topic,
        "java-readers",
        str(len(stream.positions)),
        protocol,
    )
    source = Path(__file__).with_name("Reader.java")
    command = [apache_kafka_programs.java(), "-Xmx200m", "-cp", f"{programs}/*", str(source), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    complete(stream, [(key, int(position)) for key, position in (line.split() for line in done.stdout.splitlines())])


@pytest.fixture(scope="module")
def reader_on_node() -> Path:
    """The program in a folder with its packages, which are fetched once."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs Node.js: install node 20 or newer with npm")
    names = ("package.json", "package-lock.json", "reader.js")
    digest = sha256(b"".join((NODE / name).read_bytes() for name in names)).hexdigest()[:16]
    folder = apache_kafka_programs.cache_folder() / f"node-reader-{digest}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy(NODE / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        if subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL).returncode:
            pytest.skip("npm cannot fetch kafkajs: check the network, or the registry in .npmrc")
        (folder / "complete").touch()
    return folder / "reader.js"


@pytest.mark.timeout(300)
def test_kafkajs_reads_it_as_cloudevents(stream: Stream, reader_on_node: Path) -> None:
    arguments = (stream.config.bootstrap_servers, stream.config.topic, str(len(stream.positions)))
    done = subprocess.run(["node", reader_on_node, *arguments], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line.split() for line in done.stdout.splitlines()]
    assert {"opportunity.created", "opportunity.updated"} <= {type_ for _, _, type_ in told}
    complete(stream, [(key, int(position)) for key, position, _ in told])
