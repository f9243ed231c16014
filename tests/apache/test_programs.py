"""What Apache Kafka needs of a machine, told in one line where it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import apache_kafka_programs as programs
from tests.support.apache_kafka_programs import Absent

JAVA = "#!/bin/sh\necho 'openjdk version \"{}.0.1\"' >&2\n"
REFUSED = (
    "#!/bin/sh\n"
    "echo '[ERROR] Failed to execute goal on project test-kafka: Could not resolve dependencies: Unknown host'\n"
    "echo '[ERROR] To see the full stack trace of the errors, re-run Maven with the -e switch.'\n"
    "exit 1\n"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs, and an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    return tmp_path


def install(machine: Path, name: str, text: str) -> None:
    (machine / name).write_text(text)
    (machine / name).chmod(0o755)


def told() -> str:
    with pytest.raises(Absent) as raised:
        programs.find("4.4.0")
    (line,) = str(raised.value).splitlines()
    return line


def test_without_java_it_says_what_to_install(machine: Path) -> None:
    assert "needs Java, which is missing: apt-get install openjdk-17" in told()


def test_an_old_java_is_named(machine: Path) -> None:
    install(machine, "java", JAVA.format(11))
    assert "needs Java 17 or newer, not 11" in told()


def test_without_maven_it_says_what_to_install(machine: Path) -> None:
    install(machine, "java", JAVA.format(17))
    assert "nor is Maven, which fetches it: apt-get install maven" in told()


def test_without_the_network_it_says_what_to_check(machine: Path) -> None:
    install(machine, "java", JAVA.format(17))
    install(machine, "mvn", REFUSED)
    assert told().startswith("Maven cannot fetch Apache Kafka 4.4.0: check the network")
    assert "Unknown host" in told()
    assert not (machine / "cache/opportunities/apache-kafka-4.4.0").exists()


def test_versions_are_pinned_in_one_place() -> None:
    newest, oldest = programs.versions()["newest"], programs.versions()["oldest"]
    assert [int(part) for part in newest.split(".")] > [int(part) for part in oldest.split(".")] >= [4, 0, 0]
