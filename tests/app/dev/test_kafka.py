"""The embedded broker: ours and nobody else's, at one address, and never left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.dev import kafka as brokers
from app.dev.kafka import Broker
from app.dev.postgres import EmbeddedError, inhabitants
from app.process import children
from consumers import kafka, topic
from tests.support.kafka import at
from tests.support.processes import ROOT

OWNER = """
import pathlib, signal, sys
from app.dev.kafka import Broker
broker = Broker.start(pathlib.Path(sys.argv[1]))
print(broker.name, broker.port, flush=True)
signal.pause()
"""


def topics(broker: Broker) -> list[str]:
    admin = kafka.admin(at(broker.bootstrap_servers, ""))
    try:
        return [described["name"] for described in admin.describe_topics()]
    finally:
        admin.close()


def test_a_broker_that_died_comes_back_empty_at_its_address(embedded_broker: Broker) -> None:
    broker = embedded_broker
    config = at(broker.bootstrap_servers, "events")
    admin = kafka.admin(config)
    topic.ensure(admin, config, "events")
    admin.close()
    assert topics(broker) == ["events"]
    broker.kill()
    assert not broker.alive()
    broker.restart()
    assert (broker.bootstrap_servers, topics(broker)) == (config.bootstrap_servers, [])


def test_it_is_found_where_it_was(tmp_path: Path) -> None:
    first = Broker.start(tmp_path)
    first.stop()
    second = Broker.start(tmp_path)
    second.stop()
    assert second.bootstrap_servers == first.bootstrap_servers


def test_somebody_elses_answer_on_its_port_is_not_taken_for_its_own(embedded_broker: Broker) -> None:
    """The program ends with 0 where its port is taken, and whoever took it answers."""
    broker = embedded_broker
    broker.stop()
    with socket.create_server(("127.0.0.1", broker.port)):
        with pytest.raises(EmbeddedError, match="does not start again"):
            broker.restart()
        other = Broker.start(broker.folder)
    other.stop()
    assert other.port != broker.port


def test_only_loopback_listens(embedded_broker: Broker) -> None:
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("there is no /proc")
    port = f":{embedded_broker.port:04X}"
    addresses = {line.split()[1] for line in listening.read_text().splitlines()[1:] if line.split()[1].endswith(port)}
    assert f"0100007F{port}" in addresses
    assert not any(address.startswith("00000000") for address in addresses)


def test_the_environment_does_not_move_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTENER_URL", "tcp://0.0.0.0:9092")
    monkeypatch.setenv("STORAGE_ENGINE", "s3://somebody/else")
    started = Broker.start(tmp_path)
    try:
        assert topics(started) == []
    finally:
        started.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends it")
def test_it_follows_its_owner(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        name, _ = owner.stdout.readline().split()
        assert len(inhabitants(name, "tansu")) == 1
        owner.kill()
    assert children.wait_until(lambda: inhabitants(name, "tansu") == [], 10)


def test_one_that_was_left_behind_is_ended(tmp_path: Path) -> None:
    left = Broker.start(tmp_path)
    assert left.process is not None
    os.kill(left.process.pid, signal.SIGSTOP)  # it does not end by itself
    fresh = Broker.start(tmp_path)
    try:
        assert left.process.wait(10) == -signal.SIGKILL
        assert topics(fresh) == []
    finally:
        fresh.stop()


def test_where_there_is_none_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "PACKAGE", "no_such_package")
    monkeypatch.delenv("TANSU_BIN", raising=False)
    with pytest.raises(EmbeddedError, match=r"pip install 'opportunities\[dev\]'"):
        brokers.find()
