"""Apache Kafka's version in a run, and nodes and clusters of it that the tests of a module share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.apache.secured import Secured, secured
from tests.support import apache_kafka_programs
from tests.support.apache_kafka import Cluster
from tests.support.kafka import VERSION, is_here


@pytest.fixture(scope="session")
def apache_version() -> str:
    """The run's; alone, the newest. Where it cannot be run without a container its tests are left out."""
    version = os.environ.get(VERSION) or apache_kafka_programs.versions()["newest"]
    if not is_here(version):
        pytest.skip(f"Apache Kafka {version} runs in a container only")
    return version


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory, apache_version: str) -> Iterator[Secured]:
    """One node with every protocol."""
    with secured(tmp_path_factory.mktemp("secured"), apache_version) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, apache_version: str) -> Iterator[Cluster]:
    """Three nodes. Who stops one starts it again."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), apache_version)
    try:
        made.run()
        yield made
    finally:
        made.kill()
