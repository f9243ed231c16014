"""Every protocol and mechanism works with the settings as documented, and each mistake is one line that names a setting."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType
from msgspec.structs import replace

from app.cli.explanations import describe, explain
from app.process import ports
from app.writing.committer import Committer
from consumers import kafka
from consumers.kafka import KafkaError
from consumers.kafka_settings import Kafka
from consumers.publisher import Publisher
from consumers.relay import Relay
from tests.apache.relaying import consuming, flowing
from tests.apache.secured import MECHANISMS, Secured
from tests.support.commands import Company
from tests.support.kafka import delete, whole

pytestmark = [pytest.mark.apache, pytest.mark.xdist_group("security")]

SECURITY, CA, MECHANISM = (f"OPPORTUNITIES_KAFKA_{name}" for name in ("SECURITY", "CA_PATH", "MECHANISM"))
PASSWORD, CERTIFICATE = (f"OPPORTUNITIES_KAFKA_{name}" for name in ("PASSWORD", "CERTIFICATE_PATH"))
SERVERS = "KAFKA_BOOTSTRAP_SERVERS"

WAYS: list[tuple[str, dict[str, str]]] = [("CLIENT", {}), ("TLS", {}), ("MUTUAL", {})] + [
    (listener, {"mechanism": mechanism}) for listener in ("SASL", "SASLTLS") for mechanism in MECHANISMS
]


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


def right(brokers: Secured, listener: str, **more: str) -> Kafka:
    if listener == "MUTUAL":
        more |= {"certificate_path": str(brokers.client.certificate), "key_path": str(brokers.client.key)}
    return brokers.at(listener, **more)


def told(config: Kafka) -> str:
    """The line that an operator reads."""
    with pytest.raises(KafkaError) as raised:
        kafka.admin(config).close()
    explained = explain(raised.value)
    assert explained is not None
    (line,) = explained[0].splitlines()
    assert line.startswith("Kafka cannot be used: ")
    return line


@pytest.mark.parametrize(("listener", "more"), WAYS, ids=lambda part: part if isinstance(part, str) else part.get("mechanism", ""))
def test_the_relay_publishes_and_is_read_by_it(
    database_url: str, company: Company, brokers: Secured, listener: str, more: dict[str, str]
) -> None:
    config = right(brokers, listener, **more)
    company.deal()
    relay = Relay(database_url, config, threading.Event())
    try:
        with closing(relay):
            while relay.step():
                pass
        whole(database_url, config)
    finally:
        delete(config)


WRONG = {
    "a wrong password by SCRAM": ("SASL", {"password": "another"}, PASSWORD),
    "a wrong password by PLAIN": ("SASLTLS", {"password": "another", "mechanism": "PLAIN"}, PASSWORD),
    "a user that nobody knows": ("SASLTLS", {"username": "nobody"}, "OPPORTUNITIES_KAFKA_USERNAME"),
    "a mechanism that it does not take": ("SCRAMONLY", {"mechanism": "PLAIN"}, f"{MECHANISM} to one that it takes (SCRAM-SHA-256)"),
    "an expired certificate": ("EXPIRED", {}, "has expired"),
    "the certificate of another host": ("ELSEWHERE", {}, SERVERS),
    "no authority": ("TLS", {"ca_path": ""}, CA),
    "plain text to a TLS port": ("TLS", {"security": "PLAINTEXT"}, f"{SECURITY} to SSL or SASL_SSL"),
    "a login in plain text to a TLS port": ("SASLTLS", {"security": "SASL_PLAINTEXT"}, f"{SECURITY} to SASL_SSL"),
    "TLS to a plain port": ("CLIENT", {"security": "SSL"}, f"{SECURITY} to PLAINTEXT or SASL_PLAINTEXT"),
    "no login where one is asked for": ("SASL", {"security": "PLAINTEXT"}, f"{SECURITY} to SASL_PLAINTEXT"),
    "no login over TLS where one is asked for": ("SASLTLS", {"security": "SSL"}, f"{SECURITY} to SASL_SSL"),
    "a login where none is taken": (
        "CLIENT", {"security": "SASL_PLAINTEXT", "username": "a", "password": "b"}, f"{SECURITY} to PLAINTEXT",
    ),
    "no client certificate": ("MUTUAL", {}, f"{CERTIFICATE} and OPPORTUNITIES_KAFKA_KEY_PATH"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_one_line_that_names_the_setting(brokers: Secured, mistake: str) -> None:
    listener, more, named = WRONG[mistake]
    line = told(brokers.at(listener, **more))
    assert named in line
    assert "another" not in line.replace("another host", ""), "it tells the password"
    assert {name for name in line.split() if name.startswith(("OPPORTUNITIES_", "KAFKA_"))}


def test_files_that_do_not_fit_are_named(brokers: Secured) -> None:
    client, foreign, old = brokers.client, brokers.foreign_client, brokers.old_client
    assert f"{CA}, {client.key}, holds no certificate" in told(brokers.at("TLS", ca_path=str(client.key)))
    assert CA in told(brokers.at("TLS", ca_path=str(brokers.other_authority.certificate)))
    mixed = brokers.at("MUTUAL", certificate_path=str(client.certificate), key_path=str(foreign.key))
    assert f"{CERTIFICATE} and OPPORTUNITIES_KAFKA_KEY_PATH are not a certificate and its own key" in told(mixed)
    for pair in (foreign, old):
        refused = brokers.at("MUTUAL", certificate_path=str(pair.certificate), key_path=str(pair.key))
        assert f"refuses the certificate of {CERTIFICATE}" in told(refused)


def test_one_broker_that_says_more_than_another_is_believed(brokers: Secured) -> None:
    wrong = brokers.at("SASL", password="x")
    both = replace(wrong, bootstrap_servers=f"127.0.0.1:{ports.free_port()},{wrong.bootstrap_servers}")
    assert PASSWORD in told(both)


def test_a_broker_that_says_nothing_is_not_accused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        line = told(Kafka(bootstrap_servers=address, request_timeout_ms=2_000))
    assert line.endswith(f"{address}: check KAFKA_BOOTSTRAP_SERVERS, and whether it asks for TLS or a password.")


def allow(brokers: Secured, kind: ResourceType, name: str) -> None:
    """Let the guest do everything with what is called so, or begins so."""
    admin: Any = kafka.admin(brokers.at("CLIENT"))
    pattern = ResourcePattern(kind, name, ACLResourcePatternType.PREFIXED)
    admin.create_acls([ACL("User:guest", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, pattern)])
    admin.close()


def test_what_a_user_may_not_do_is_named_and_goes_on_once_it_is_allowed(database_url: str, brokers: Secured) -> None:
    config = replace(brokers.at("SASL", username="guest", mechanism="PLAIN"), topic="guarded")
    with pytest.raises(KafkaError) as raised:
        Publisher(config, config.topic)
    line = describe(raised.value)
    assert "let OPPORTUNITIES_KAFKA_USERNAME Create, Describe, Write and Read OPPORTUNITIES_KAFKA_TOPIC" in line
    with flowing(database_url, config) as flow:
        flow.until_said("TopicAuthorizationFailed")
        allow(brokers, ResourceType.TOPIC, "guarded")
        flow.write()
        flow.settle()
        with consuming(database_url, config):
            assert "Read groups whose name begins with OPPORTUNITIES_KAFKA_TOPIC" in flow.until_said("GroupAuthorizationFailed")
            allow(brokers, ResourceType.GROUP, "guarded")
            flow.write()
            flow.all_queued()
