"""Kafka as this product uses it: our settings as the library's options, and protocols for the part of the library that we call.

It and ``kafka_batches`` alone import ``kafka``. Refuses to run without the C checksum: the library would silently fall back to one
in Python that makes it many times slower.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition, errors
from kafka.admin import ConfigResource
from kafka.errors import KafkaError
from kafka.net.sasl import get_sasl_mechanism
from kafka.partitioner import murmur2
from kafka.record import util

from consumers import kafka_diagnosis
from consumers.kafka_batches import BatchProducer, Outgoing, Sent
from consumers.kafka_settings import MAX_MESSAGE_BYTES, Kafka, NoChecksum
from consumers.message import Headers

__all__ = ["Admin", "Consumer", "Fetched", "Kafka", "KafkaError", "Producer", "Sent", "TopicPartition", "errors"]

CLIENT_ID = "opportunities"
LEAVE_MS = 2_000
BATCH_BYTES = 128 * 1024
HEARTBEATS_A_SESSION = 6

Client = TypeVar("Client")


class Unusable(errors.KafkaConnectionError):  # type: ignore[misc]  # the library has no types
    """No broker can be used; the reason is a sentence that names the setting."""


class Producer(Protocol):
    """Takes records in order and delivers those of a partition in that order."""

    def send(self, topic: str, *, value: bytes, key: bytes, headers: Headers, partition: int) -> Any: ...

    def send_all(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> list[Sent]: ...

    def close(self, timeout: float | None = None) -> None: ...


class Fetched(Protocol):
    """A record read from a topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Consumer(Protocol):
    """Reads assigned partitions, or a topic as a member of a group. Never ask a broker for its end offsets: those of the embedded
    one are wrong. ``highwater`` is right once a poll of the partition has returned."""

    def subscribe(self, topics: Sequence[str]) -> None: ...

    def assign(self, partitions: Sequence[TopicPartition]) -> None: ...

    def assignment(self) -> set[TopicPartition]: ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def position(self, partition: TopicPartition, timeout_ms: int | None = None) -> int: ...

    def highwater(self, partition: TopicPartition) -> int | None: ...

    def beginning_offsets(
        self, partitions: Sequence[TopicPartition], timeout_ms: int | None = None
    ) -> dict[TopicPartition, int]: ...

    def end_offsets(self, partitions: Sequence[TopicPartition], timeout_ms: int | None = None) -> dict[TopicPartition, int]: ...

    def poll(self, timeout_ms: int = 0, max_records: int | None = None) -> dict[TopicPartition, list[Fetched]]: ...

    def committed(self, partition: TopicPartition) -> int | None: ...

    def commit(self, offsets: Mapping[TopicPartition, Any] | None = None, timeout_ms: int | None = None) -> None: ...

    def close(self, autocommit: bool = True, timeout_ms: int | None = None) -> None: ...


class Admin(Protocol):
    def describe_topics(self, topics: Sequence[str | UUID] | None = None) -> list[dict[str, Any]]: ...

    def delete_topics(self, topics: Sequence[str]) -> Any: ...

    def create_topics(self, new_topics: Mapping[str, Mapping[str, Any]], *, wait_for_metadata: bool = False) -> Any: ...

    def describe_configs(self, config_resources: Sequence[Any], *, config_filter: str) -> dict[str, dict[str, dict[str, Any]]]: ...

    def close(self) -> None: ...


def quiet(log_level: str) -> None:
    """Silence the Kafka library, which logs an unavailable broker once for every socket; our own log says it once."""
    if log_level != "debug":
        logging.getLogger("kafka").setLevel(logging.CRITICAL)


def require_checksum() -> None:
    """Raises ``NoChecksum``."""
    if util.crc32c_c is None:
        raise NoChecksum("The package crc32c is missing or broken: install 'kafka-python[crc32c]' again (make setup).")


def producer(config: Kafka) -> Producer:
    """An idempotent producer: retries neither duplicate nor reorder records. Raises ``KafkaError`` if no broker answers."""
    options = {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 0,  # batches are full when they are made
        "batch_size": BATCH_BYTES,
        "max_request_size": MAX_MESSAGE_BYTES,
        "max_block_ms": config.request_timeout_ms // 2,
        "delivery_timeout_ms": config.request_timeout_ms * 2,
        "allow_auto_create_topics": False,
    }
    return _connected(config, lambda: cast("Producer", BatchProducer(**_options(config), **options)))


def abandon(producer: Producer) -> None:
    """Close it without trying to deliver what it holds."""
    sender = getattr(producer, "_sender", None)
    if sender is not None:  # its own close would wait first, and then give up closing
        sender.force_close()
        sender.join(1)
    with suppress(KafkaError):
        producer.close(timeout=1)


def consumer(config: Kafka, group: str | None = None) -> Consumer:
    """A member of ``group``, which begins with the oldest record and commits on request; or a consumer without a group."""
    options: dict[str, Any] = {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": config.fetch_wait_ms,
        "max_partition_fetch_bytes": MAX_MESSAGE_BYTES,
        "allow_auto_create_topics": False,
    }
    if group is not None:
        options |= {
            "group_id": group,
            "session_timeout_ms": config.session_timeout_ms,
            "heartbeat_interval_ms": config.session_timeout_ms // HEARTBEATS_A_SESSION,
        }
    return _connected(config, lambda: cast("Consumer", KafkaConsumer(**_options(config), **options)))


def leave(consumer: Consumer) -> None:
    """Close it, whether or not the group can be notified."""
    try:
        consumer.close(autocommit=False, timeout_ms=LEAVE_MS)
    except KafkaError:  # its own close gives up before closing its connections
        if (client := getattr(consumer, "_client", None)) is not None:
            client.close()


def admin(config: Kafka) -> Admin:
    return _connected(config, lambda: cast("Admin", KafkaAdminClient(**_options(config))))


def _connected(config: Kafka, connect: Callable[[], Client]) -> Client:
    """What ``connect`` makes. Raises ``Unusable`` if it cannot and the reason is found, else what the library raises."""
    try:
        return connect()
    except KafkaError as error:
        options = _options(config)
        found = kafka_diagnosis.problem(config, lambda: get_sasl_mechanism(config.mechanism)(**options))
        if found is None:
            raise
        raise Unusable(found) from error


def properties(admin: Admin, topic: str) -> dict[str, str]:
    """The properties of a topic, with the cluster's where it has none of its own; none where we may not see them."""
    described = admin.describe_configs([ConfigResource("topic", topic)], config_filter="all")
    found = described.get("topic", {}).get(topic, {})
    return {name: str(property_["value"]) for name, property_ in found.items()}


@lru_cache(maxsize=10_000)
def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner, so that other producers that write by key agree with us."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def _options(config: Kafka) -> dict[str, Any]:
    """The options that all clients share."""
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in config.bootstrap_servers.split(",")],
        "client_id": CLIENT_ID,
        "security_protocol": config.security,
        "bootstrap_timeout_ms": config.request_timeout_ms // 2,
        "request_timeout_ms": config.request_timeout_ms,
        "reconnect_backoff_max_ms": 1_000,
        "metadata_max_age_ms": 60_000,
    }
    paths = {"ssl_cafile": config.ca_path, "ssl_certfile": config.certificate_path, "ssl_keyfile": config.key_path}
    options |= {name: path for name, path in paths.items() if path}
    if config.security.startswith("SASL"):
        options |= {
            "sasl_mechanism": config.mechanism,
            "sasl_plain_username": config.username,
            "sasl_plain_password": config.password,
        }
    return options
