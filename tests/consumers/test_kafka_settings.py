"""How a cluster is connected to: the settings as the library understands them, and what cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka.record import util

from app import settings
from app.settings import SettingsError
from consumers import kafka
from consumers.kafka_settings import Kafka, NoChecksum, problems, retention_ms


def loaded(**environ: str) -> Kafka:
    given = {"DATABASE_URL": "postgresql://nowhere/none", "KAFKA_BOOTSTRAP_SERVERS": "one:9092, two:9092"}
    return settings.load(given | {f"OPPORTUNITIES_KAFKA_{name}": value for name, value in environ.items()}).kafka()


def test_the_settings_become_the_librarys_options(tmp_path: Path) -> None:
    for name in ("ca", "certificate", "key"):
        (tmp_path / name).write_text("PEM")
    config = loaded(
        SECURITY="SASL_SSL",
        MECHANISM="SCRAM-SHA-256",
        USERNAME="relay",
        PASSWORD="secret",
        CA_PATH=str(tmp_path / "ca"),
        CERTIFICATE_PATH=str(tmp_path / "certificate"),
        KEY_PATH=str(tmp_path / "key"),
    )
    options = kafka._options(config)
    assert options["bootstrap_servers"] == ["one:9092", "two:9092"]
    assert (options["security_protocol"], options["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-256")
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("relay", "secret")
    assert [options[f"ssl_{name}"] for name in ("cafile", "certfile", "keyfile")] == [
        str(tmp_path / name) for name in ("ca", "certificate", "key")
    ]


def test_a_plain_cluster_is_given_no_credentials() -> None:
    assert [name for name in kafka._options(loaded()) if name.startswith(("ssl", "sasl"))] == []


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (Kafka(bootstrap_servers=""), "KAFKA_BOOTSTRAP_SERVERS"),
        (Kafka(bootstrap_servers="a", security="SASL_SSL", username="relay"), "OPPORTUNITIES_KAFKA_PASSWORD"),
        (Kafka(bootstrap_servers="a", ca_path="/nowhere"), "OPPORTUNITIES_KAFKA_CA_PATH"),
    ],
)
def test_what_cannot_work_is_named(config: Kafka, named: str) -> None:
    (problem,) = problems(config)
    assert named in problem


def test_a_relay_without_brokers_does_not_start() -> None:
    with pytest.raises(SettingsError, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        settings.load({"DATABASE_URL": "postgresql://nowhere/none"}).kafka()


def test_without_the_c_checksum_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka.require_checksum()
    monkeypatch.setattr(util, "crc32c_c", None)
    with pytest.raises(NoChecksum, match="install"):
        kafka.require_checksum()


def test_no_limit_is_kept_for_ever() -> None:
    assert (retention_ms(1), retention_ms(0)) == (3_600_000, -1)


def test_a_key_goes_where_every_client_sends_it() -> None:
    """Values of the Java client."""
    keys = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {key: kafka.partition_of(key, 7) for key in keys} == {key: (hash_ & 0x7FFFFFFF) % 7 for key, hash_ in keys.items()}
