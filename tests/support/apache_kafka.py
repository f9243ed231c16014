"""Apache Kafka itself for tests: nodes in KRaft mode on loopback, alone or as a cluster, that a test may kill or pause.

Its programs are those that ``apache_kafka_programs`` finds or fetches. A node keeps what it was told in its folder, so that one
that was killed comes back with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.process import children, ports
from tests.support import apache_kafka_programs

HEAP = ("-Xms64m", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
"""Small, and compiled once: a test's node lives for seconds."""
LOG = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
CLUSTER_ID = "b3Bwb3J0dW5pdGllcy10ZQ"
START_SECONDS = 60
STOP_SECONDS = 30
HOST = "127.0.0.1"

FOR_TESTS = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "3000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
    "controlled.shutdown.retry.backoff.ms": "500",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
}
"""What a production cluster takes minutes for takes seconds here; everything else is as Apache Kafka comes."""


class Node:
    """A broker that is a controller too. ``run`` starts it on its folder; ``start`` is for one alone."""

    def __init__(self, folder: Path, programs: Path, number: int = 1) -> None:
        self.folder = folder
        self.programs = programs
        self.number = number
        self.port, self.controller_port = ports.free_port(), ports.free_port()
        self.advertised = ""
        """The address that clients are given, if not the one it listens on."""
        self.voters: Sequence[Node] = (self,)
        self.more: Mapping[str, str] = {}
        """Further properties, which come before ours; a listener more is of its own protocol."""
        self.scram: Sequence[str] = ()
        """Credentials that the cluster is made with, as ``SCRAM-SHA-256=[name=…,password=…]``."""
        self.environ: Mapping[str, str] = {}
        """Further variables of its environment."""
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path, version: str, more: Mapping[str, str] | None = None, scram: Sequence[str] = ()) -> Node:
        """One alone, once it answers. Raises ``Absent``. Call it from the main thread."""
        node = cls(folder, apache_kafka_programs.find(version))
        node.more, node.scram = more or {}, scram
        node.run()
        return node

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    def properties(self) -> dict[str, str]:
        replicas = str(len(self.voters))
        ours = {
            "process.roles": "broker,controller",
            "node.id": str(self.number),
            "controller.quorum.voters": ",".join(f"{node.number}@{HOST}:{node.controller_port}" for node in self.voters),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": "1",
            "default.replication.factor": replicas,
        }
        listeners = {
            "listeners": f"CLIENT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"CLIENT://{self.advertised or self.bootstrap_servers}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        }
        also = {name: f"{value},{self.more[name]}" if name in self.more else value for name, value in listeners.items()}
        return FOR_TESTS | ours | dict(self.more) | also

    def run(self) -> None:
        """Start it and wait until it answers. Raises ``TimeoutError`` with what it said last."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        self.folder.mkdir(exist_ok=True, parents=True)
        written = self.folder / "server.properties"
        written.write_text("".join(f"{name}={value}\n" for name, value in self.properties().items()))
        if not (self.folder / "data").exists():
            credentials = [part for one in self.scram for part in ("--add-scram", one)]
            made = ("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(written), *credentials)
            done = subprocess.run(self.java(*made), capture_output=True, text=True, timeout=START_SECONDS)
            assert done.returncode == 0, done.stdout + done.stderr
        with self.log.open("ab") as log:
            self.process = children.spawn(self.java("kafka.Kafka", str(written)), env={**os.environ, **self.environ}, output=log)

    def wait(self) -> None:
        children.wait_until(lambda: not self.alive() or self.answers(), START_SECONDS)
        if not self.alive() or not self.answers():
            raise TimeoutError(f"Apache Kafka does not start: {self.log.read_text()[-2000:]}")

    def java(self, *arguments: str) -> list[str]:
        return [apache_kafka_programs.java(), *HEAP, *LOG, "-cp", f"{self.programs}/*", *arguments]

    def answers(self) -> bool:
        from tests.support import kafka

        return kafka.answers(self.bootstrap_servers)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def restart(self) -> None:
        """At the same address and with what it had."""
        self.run()

    def stop(self) -> None:
        """As an operator does: it hands over what it leads first."""
        if self.process is not None and self.alive():
            self.resume()
            children.stop(self.process, seconds=STOP_SECONDS)


class Cluster:
    """Nodes that replicate what each of them leads."""

    def __init__(self, folder: Path, version: str, size: int = 3, more: Mapping[str, str] | None = None) -> None:
        programs = apache_kafka_programs.find(version)
        self.nodes = [Node(folder / f"node{number}", programs, number) for number in range(1, size + 1)]
        for node in self.nodes:
            node.voters, node.more = self.nodes, more or {}

    def run(self) -> None:
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait()

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(node.bootstrap_servers for node in self.nodes)

    def node(self, number: int) -> Node:
        return self.nodes[number - 1]

    def kill(self) -> None:
        """Of those that are there; what they stored goes with their folders."""
        for node in self.nodes:
            if node.alive():
                node.kill()
