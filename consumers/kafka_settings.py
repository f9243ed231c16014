"""The settings of the Kafka cluster: addresses, credentials and the topic. It does not import the client library."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from msgspec import Struct

from consumers.kafka_reasons import ADVICE, MAX_MESSAGE_BYTES, TOLD

__all__ = ["MAX_MESSAGE_BYTES", "BadTopic", "Kafka", "NoChecksum", "is_kafkas", "problems", "reason", "retention_ms"]

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Kafka(Struct, frozen=True, kw_only=True):
    """Where the cluster is, how to log in, and how to create the topic.

    0 means the cluster's default for ``replication``, and forever for ``retention_hours``. The paths are of PEM files.
    ``request_timeout_ms`` is how long a broker has to answer; longer waits are multiples of it.
    """

    bootstrap_servers: str
    topic: str = "opportunities.events"
    partitions: int = 6
    replication: int = 0
    retention_hours: int = 168
    security: Security = "PLAINTEXT"
    ca_path: str = ""
    certificate_path: str = ""
    key_path: str = ""
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    session_timeout_ms: int = 45_000
    fetch_wait_ms: int = 500
    request_timeout_ms: int = 10_000


def retention_ms(hours: int) -> int:
    """In Kafka's form: -1 for forever."""
    return hours * 3_600_000 or -1


def problems(config: Kafka) -> list[str]:
    """What is wrong with the settings, a sentence each; they name the settings."""
    found = []
    if not config.bootstrap_servers:
        found.append("KAFKA_BOOTSTRAP_SERVERS is not set: the brokers, `host:port,host:port`.")
    if config.security.startswith("SASL") and not (config.username and config.password):
        found.append("OPPORTUNITIES_KAFKA_USERNAME and OPPORTUNITIES_KAFKA_PASSWORD are needed with SASL.")
    if bool(config.certificate_path) != bool(config.key_path):
        found.append("OPPORTUNITIES_KAFKA_CERTIFICATE_PATH and OPPORTUNITIES_KAFKA_KEY_PATH go together.")
    for name in ("ca_path", "certificate_path", "key_path"):
        path = getattr(config, name)
        if path and not Path(path).is_file():
            found.append(f"OPPORTUNITIES_KAFKA_{name.upper()} is {path!r}, which is not a file.")
    return found


class NoChecksum(Exception):
    """The C checksum cannot be used; says what to do about it."""


class BadTopic(Exception):
    """The topic is set to lose events; says what to do about it."""


def is_kafkas(error: BaseException) -> bool:
    """Whether an exception is one of the Kafka library's, without importing it."""
    return any(kind.__module__ == "kafka.errors" for kind in type(error).__mro__)


def reason(error: BaseException) -> str:
    """One line for people: the library's errors repeat whole requests and internal names."""
    name = type(error).__name__
    text = (str(error).strip().splitlines() or [""])[0].removeprefix(f"{name}: ").rstrip(".")
    if name == "Unusable":
        return text
    if advice := ADVICE.get(name) or next((advice for part, advice in TOLD.items() if part in text), None):
        return f"{name}: {advice}"
    text = "no broker answered in time" if name == "KafkaTimeoutError" and text in ("", "None") else text[:200]
    if text.startswith("Unable to bootstrap from"):
        servers = re.sub(r"[\[\]']", "", text.removeprefix("Unable to bootstrap from "))
        return f"no broker answers at {servers}: check KAFKA_BOOTSTRAP_SERVERS, and whether it asks for TLS or a password"
    return f"{name}: {text}" if text else name
