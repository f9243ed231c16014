"""A node of Apache Kafka with a listener for every protocol, right and wrong ones, and clients' settings for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from app.process import ports
from consumers.kafka_settings import Kafka
from tests.support import kafka
from tests.support.apache_kafka import HOST, Node
from tests.support.certificates import Authority

USER, PASSWORD = "relay", "so secret"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
LISTENERS = {
    "TLS": "SSL", "MUTUAL": "SSL", "EXPIRED": "SSL", "ELSEWHERE": "SSL", "SASL": "SASL_PLAINTEXT", "SASLTLS": "SASL_SSL",
    "SCRAMONLY": "SASL_PLAINTEXT",
}  # fmt: skip
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class Secured:
    """Settings that work, by listener; ``replace`` makes them wrong."""

    def __init__(self, folder: Path, version: str) -> None:
        self.authority = Authority(folder / "ca")
        self.other_authority = Authority(folder / "other", "Somebody else")
        self.client = self.authority.issue("client")
        self.foreign_client = self.other_authority.issue("client")
        self.old_client = self.authority.issue("old-client", expired=True)
        self.ports = {name: ports.free_port() for name in LISTENERS}
        scram = [f"{name}=[name={USER},password={PASSWORD}]" for name in MECHANISMS[1:]]
        self.node = Node.start(folder / "node", version, self._properties(), scram)

    def _properties(self) -> dict[str, str]:
        certificates = {
            "TLS": self.authority.issue("broker"),
            "MUTUAL": self.authority.issue("mutual"),
            "EXPIRED": self.authority.issue("expired", expired=True),
            "ELSEWHERE": self.authority.issue("elsewhere", ["DNS:kafka.example.com"]),
            "SASLTLS": self.authority.issue("sasl"),
        }
        where = ",".join(f"{name}://{HOST}:{port}" for name, port in self.ports.items())
        found = {
            "listeners": where,
            "advertised.listeners": where,
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in LISTENERS.items()),
            "ssl.keystore.type": "PEM",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "listener.name.mutual.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{USER};User:CN=client",
        }
        found |= {f"listener.name.{name.lower()}.ssl.keystore.location": str(pair.both) for name, pair in certificates.items()}
        for name in ("sasl", "sasltls", "scramonly"):
            enabled = MECHANISMS if name != "scramonly" else MECHANISMS[1:2]
            prefix = f"listener.name.{name}."
            users = " ".join(f'user_{user}="{PASSWORD}"' for user in (USER, "guest"))
            found[f"{prefix}sasl.enabled.mechanisms"] = ",".join(enabled)
            found |= {f"{prefix}{each.lower()}.sasl.jaas.config": f"{SCRAM} required;" for each in enabled if each != "PLAIN"}
            if "PLAIN" in enabled:
                found[f"{prefix}plain.sasl.jaas.config"] = f"{PLAIN} required {users};"
        return found

    def at(self, listener: str, **more: Any) -> Kafka:
        """Settings for a listener that are right, but for ``more``."""
        security = LISTENERS.get(listener, "PLAINTEXT")
        port = self.ports.get(listener, self.node.port)
        right: dict[str, Any] = {"security": security, "request_timeout_ms": 4_000}
        if security.endswith("SSL"):
            right["ca_path"] = str(self.authority.certificate)
        if security.startswith("SASL"):
            right |= {"username": USER, "password": PASSWORD}
        return msgspec.structs.replace(kafka.at(f"{HOST}:{port}", "events"), **right | more)


@contextmanager
def secured(folder: Path, version: str) -> Iterator[Secured]:
    made = Secured(folder, version)
    try:
        yield made
    finally:
        made.node.stop()
