"""The broker of docker-compose.yml: Apache Kafka of that version, set up from that environment by the class that its image runs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app.process import children, ports
from consumers.message import Record
from consumers.publisher import Publisher
from tests.support import apache_kafka_programs, kafka
from tests.support.apache_kafka import CLUSTER_ID, HEAP, LOG
from tests.support.processes import ROOT

pytestmark = [pytest.mark.apache, pytest.mark.timeout(400)]

SERVICE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["kafka"]
VERSION = SERVICE["image"].partition(":")[2]
SECONDS = 60


def environment(folder: Path) -> dict[str, str]:
    """The file's, with ports and a folder that are free here, and this machine's name for the one of its network."""
    told = {name: str(value) for name, value in SERVICE["environment"].items()}
    free = {port: str(ports.free_port()) for port in re.findall(r":(\d+)", told["KAFKA_LISTENERS"])}
    for name in ("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS"):
        told[name] = re.sub(r":(\d+)", lambda found: f":{free[found[1]]}", told[name]).replace("//kafka:", "//localhost:")
    return told | {"KAFKA_LOG_DIRS": str(folder / "data")}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Its environment, while it runs."""
    programs = apache_kafka_programs.find(VERSION)
    java = [apache_kafka_programs.java(), *HEAP, *LOG, "-cp", f"{programs}/*"]
    told = environment(tmp_path)
    folders = {name: tmp_path / name for name in ("default-configs", "mounted-configs", "final-configs")}
    for folder in folders.values():
        folder.mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (folders["default-configs"] / name).write_text("")
    wanted = [part for name, folder in folders.items() for part in (f"--{name}-dir", str(folder))]
    done = subprocess.run(
        [*java, "kafka.docker.KafkaDockerWrapper", "setup", *wanted],
        env=os.environ | told | {"CLUSTER_ID": CLUSTER_ID},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    properties = folders["final-configs"] / "server.properties"
    with (tmp_path / "broker.log").open("wb") as log:
        process = children.spawn([*java, "kafka.Kafka", str(properties)], output=log)
    try:
        yield told | {"properties": properties.read_text()}
    finally:
        children.stop(process, seconds=SECONDS)


def test_it_answers_inside_and_outside_and_has_every_setting(broker: dict[str, str]) -> None:
    ways = dict(re.findall(r"(\w+)://(\S+?)(?:,|$)", broker["KAFKA_ADVERTISED_LISTENERS"]))
    assert ways.keys() == {"PLAINTEXT", "HOST"}
    for servers in ways.values():
        assert children.wait_until(lambda servers=servers: kafka.answers(servers), SECONDS), broker["properties"]  # type: ignore[misc]
    properties = dict(line.split("=", 1) for line in broker["properties"].splitlines() if "=" in line)
    for name in SERVICE["environment"]:
        assert properties[name.removeprefix("KAFKA_").lower().replace("_", ".")] == broker[name]


TOOLS = {
    "kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
}
"""What the scripts of the image run."""


def tool(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = apache_kafka_programs.find(VERSION, tools=True)
    java = [apache_kafka_programs.java(), *HEAP, *LOG, "-cp", f"{programs}/*"]
    return subprocess.run([*java, TOOLS[script], *arguments], capture_output=True, text=True, timeout=SECONDS)


def test_its_health_check_succeeds_while_it_runs(broker: dict[str, str]) -> None:
    """And a consumer as compose.sh runs it has all there is, and calls that success."""
    inside = dict(re.findall(r"(\w+)://(\S+?)(?:,|$)", broker["KAFKA_ADVERTISED_LISTENERS"]))["PLAINTEXT"]
    assert children.wait_until(lambda: kafka.answers(inside), SECONDS), broker["properties"]
    _, script, option, _ = SERVICE["healthcheck"]["test"]
    assert tool(Path(script).name, option, inside).returncode == 0
    config = kafka.at(inside, "opportunities.events")
    with Publisher(config, config.topic) as publisher:
        publisher.settle(publisher.send(Record(n, b"%d" % n, b"record %d" % n, []) for n in range(20)))
    wanted = sorted(f"record {n}" for n in range(20))

    def has_all() -> bool:
        printed = tool("kafka-console-consumer.sh", *READING, option, inside)
        assert printed.returncode == 0, printed.stderr
        return sorted(printed.stdout.splitlines()) == wanted

    assert children.wait_until(has_all, SECONDS * 3), "nor once the broker had what it takes to keep a group"
    assert " ".join(READING) in (ROOT / "tests/deploy/compose.sh").read_text()


READING = ("--topic", "opportunities.events", "--from-beginning", "--timeout-ms", "10000")
"""As in tests/deploy/compose.sh."""
