"""The network between the relay and one broker is cut, which brokers and everybody else do not notice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from app.dev.postgres import Postgres, owner
from app.migrations import migrate
from app.process import ports
from app.process.children import wait_until
from app.writing.committer import Committer
from tests.apache.relaying import SECONDS, Flow
from tests.apache.test_cluster import partitions
from tests.support.apache_kafka import Cluster
from tests.support.commands import Company
from tests.support.kafka import at, settings
from tests.support.namespace import Namespace, namespace
from tests.support.worker import Worker

pytestmark = [pytest.mark.apache, pytest.mark.long, pytest.mark.timeout(600)]


NO_ANSWER = "the leader of a partition of the topic does not answer"


class Apart(NamedTuple):
    """A relay in a namespace, from where each broker has a wire of its own, and PostgreSQL a socket."""

    flow: Flow
    relay: Worker
    log: Path
    space: Namespace


@pytest.fixture
def apart(tmp_path: Path, apache_version: str) -> Iterator[Apart]:
    with ExitStack() as stack:
        space = stack.enter_context(namespace())
        cluster = Cluster(tmp_path / "cluster", apache_version)
        stack.callback(cluster.kill)
        reached = []
        for node in cluster.nodes:
            place = f"{space.wire(node.number)}:{ports.free_port()}"
            reached.append(place)
            listener = f"APART://{place}"
            node.more = {
                "listeners": listener,
                "advertised.listeners": listener,
                "listener.security.protocol.map": "APART:PLAINTEXT",
            }
        cluster.run()
        socket = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opportunities-")))
        os.chown(socket, -1 if (user := owner(tmp_path / "data")) is None else user, -1)
        server = Postgres.start(tmp_path / "data", durable=False, options={"unix_socket_directories": str(socket)})
        stack.callback(server.stop)
        migrate(server.url)
        config = replace(at(cluster.bootstrap_servers, "opportunities.events"), replication=3, partitions=3)
        url = f"postgresql://postgres:{server.access.password}@/postgres?host={socket}&port={server.port}"
        env = {**settings(replace(config, bootstrap_servers=",".join(reached))), "DATABASE_URL": url}
        more = {"OPPORTUNITIES_KAFKA_REPLICATION": "3", "OPPORTUNITIES_KAFKA_PARTITIONS": "3"}
        log = tmp_path / "relay.log"
        relay = Worker("relay", env={**env, **more}, log=log, within=space.command)
        relay.start()
        stack.callback(relay.stop)
        company = Company(stack.enter_context(closing(Committer(server.url))))
        yield Apart(Flow(server.url, config, company, []), relay, log, space)


def test_a_cut_between_the_relay_and_a_leader_loses_nothing(apart: Apart) -> None:
    flow = apart.flow
    flow.write(10)
    flow.caught_up()
    leader = min(partition["leader_id"] for partition in partitions(flow.config))
    with flow.load():
        flow.goes_on(10)
        apart.space.cut(leader)
        assert wait_until(lambda: NO_ANSWER in apart.log.read_text(), SECONDS * 2), apart.log.read_text()[-2000:]
        apart.space.mend(leader)
        flow.goes_on(30)
    flow.settle(twice=True)
    assert apart.relay.runs()
