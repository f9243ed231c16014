"""Why no broker can be used, as far as the embedded broker and bare ports can show it; ``tests/apache`` shows the rest."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from app.dev.kafka import Broker
from app.process import ports
from consumers import kafka as clients
from consumers import kafka_diagnosis
from consumers.kafka_settings import Kafka


def said(servers: str, **more: str | int) -> str | None:
    config = replace(Kafka(bootstrap_servers=servers, request_timeout_ms=2_000, username="relay", password="secret"), **more)
    return kafka_diagnosis.problem(config, lambda: pytest.fail("it is not asked to log in"))


@contextmanager
def closing_port() -> Iterator[str]:
    """One that closes every connection once something was said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connection.recv(1)
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_broker_that_answers_is_not_accused(embedded_broker: Broker) -> None:
    assert said(embedded_broker.bootstrap_servers) is None
    free = ports.free_port()
    assert said(f"127.0.0.1:{free},{embedded_broker.bootstrap_servers}") is None


def test_an_address_without_a_broker_is_named() -> None:
    free = f"127.0.0.1:{ports.free_port()}"
    assert said(free) == f"no broker answers at {free}: check KAFKA_BOOTSTRAP_SERVERS"
    assert said("kafka.invalid:9092") == "no host is called kafka.invalid: check KAFKA_BOOTSTRAP_SERVERS"
    assert said("kafka") == "KAFKA_BOOTSTRAP_SERVERS names 'kafka', which is not host:port"


def test_the_security_of_another_port_is_named(embedded_broker: Broker) -> None:
    with closing_port() as address:
        assert said(address) == f"{address} closes what is not TLS: set OPPORTUNITIES_KAFKA_SECURITY to SSL or SASL_SSL"
    told = said(embedded_broker.bootstrap_servers, security="SSL")
    assert told is not None
    assert "does not answer in TLS: check OPPORTUNITIES_KAFKA_SECURITY" in told, "Apache Kafka hangs up; the embedded broker waits"


def test_a_client_that_cannot_connect_raises_the_reason() -> None:
    free = f"127.0.0.1:{ports.free_port()}"
    config = Kafka(bootstrap_servers=free, request_timeout_ms=1_000)
    for connect in (clients.admin, clients.producer, clients.consumer):
        with pytest.raises(clients.Unusable, match="check KAFKA_BOOTSTRAP_SERVERS"):
            connect(config)
