"""What a newcomer starts from: the lock file, the Makefile, the wheel, the containers and the README's table."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import settings
from app.cli import main
from tests.support.processes import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def make(*arguments: str) -> str:
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, list[str]]:
    """The lines of each locked package."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in LOCK.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==", line):
            name = normal(match[1])
            found[name] = []
        found.setdefault(name, []).append(line)
    return found


def test_the_lock_names_no_host() -> None:
    """It must serve where packages come from elsewhere."""
    assert re.findall(r"\S*://\S*|--\S*index\S*|--find-links|--trusted-host| @ ", LOCK) == []


def test_every_locked_package_has_a_version_and_hashes() -> None:
    packages = locked()
    assert "" not in packages
    assert [name for name, lines in packages.items() if "--hash=sha256:" not in "".join(lines)] == []


def test_every_declared_package_is_locked() -> None:
    project = PROJECT["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {normal(re.split(r"[<>=\[ ;]", requirement)[0]) for requirement in declared}
    assert names - locked().keys() == set()


def test_the_makefile_explains_every_target() -> None:
    shown = {line.split()[1] for line in make("help").splitlines()}
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert shown == set(phony[1].split()) >= {"setup", "run", "test", "check", "bench", "help"}


def test_make_run_passes_arguments_through() -> None:
    assert "app.cli dev --port 8001 --no-demo" in make("--dry-run", "run", "ARGS=--port 8001 --no-demo")


def test_the_pinned_uv_is_one() -> None:
    places = [(ROOT / name).read_text() for name in ("Makefile", "Dockerfile")]
    assert len({match for text in places for match in re.findall(r"uv==([\d.]+)", text)}) == 1


def test_the_wheel_has_everything_that_runs_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for package in ("app", "consumers", "domain", "projections")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected
    assert any(name.endswith(".sql") for name in packed)


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="there is no README yet")
def test_the_readme_has_the_table_of_settings_with_a_test_that_saw_each() -> None:
    """That the tests exist is a rule for every document."""
    readme = (ROOT / "README.md").read_text().splitlines()
    shown = [row.rpartition(" `tests/")[0] for row in readme if re.search(r" `tests/[\w/]+\.py::\w+` \|$", row)]
    assert [row for row in settings.table().splitlines()[2:] if row not in shown] == []


def test_containers_start_in_order_and_are_watched() -> None:
    services = COMPOSE["services"]
    assert services["postgres"]["image"].startswith("postgres:18")
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["api"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert services["imports"]["depends_on"] == services["api"]["depends_on"]
    assert services["kafka"]["image"].startswith("apache/kafka:4.")
    for name in ("relay", "webhooks"):
        assert services[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "kafka": {"condition": "service_healthy"},
        }
        assert services[name]["healthcheck"]["test"][1:] == ["opportunities", name, "--check"]
    for name in ("postgres", "kafka", "api", "relay", "webhooks"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"


OURS = ("migrate", "api", "relay", "webhooks", "imports")
KAFKA_SETTINGS = {
    "KAFKA_NODE_ID", "KAFKA_PROCESS_ROLES", "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
    "KAFKA_INTER_BROKER_LISTENER_NAME", "KAFKA_CONTROLLER_LISTENER_NAMES", "KAFKA_CONTROLLER_QUORUM_VOTERS", "KAFKA_LOG_DIRS",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE", "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS",
}  # fmt: skip
"""As Apache Kafka 4 spells them: its image passes a misspelt one on, and the broker ignores it."""


def test_containers_run_verbs_and_settings_that_exist() -> None:
    known = {settings.variable(name) for name in settings.Settings.__struct_fields__}
    for name in OURS:
        service = COMPOSE["services"][name]
        checked = service["healthcheck"].get("test", ["CMD", "python"])
        assert checked[1] in ("python", *PROJECT["project"]["scripts"])
        for verb, *options in [service["command"], *([checked[2:]] if checked[1] != "python" else [])]:
            main.verb(verb).make_context(verb, list(options))  # an unknown option or a bad value raises
        assert service["environment"].keys() <= known
        settings.load(at(service["environment"]))  # a bad value raises
        assert (service["build"], service["image"]) == (".", "opportunities")
    assert COMPOSE["services"]["kafka"]["environment"].keys() == KAFKA_SETTINGS


def at(environment: dict[str, str]) -> dict[str, str]:
    """With the password that is there where nobody gives another."""
    return {name: re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value) for name, value in environment.items()}


def test_the_containers_use_the_database_that_is_made() -> None:
    postgres = COMPOSE["services"]["postgres"]
    made = at(postgres["environment"])
    user, database = made["POSTGRES_USER"], made["POSTGRES_DB"]
    for name in OURS:
        url = at(COMPOSE["services"][name]["environment"])["DATABASE_URL"]
        assert url == f"postgresql://{user}:{made['POSTGRES_PASSWORD']}@postgres:5432/{database}"
    assert postgres["healthcheck"]["test"] == [
        "CMD", "pg_isready", "--host=127.0.0.1", f"--username={user}", f"--dbname={database}",
    ]  # fmt: skip
    assert postgres["volumes"] == ["postgres:/var/lib/postgresql"]


def test_the_broker_is_one_node_that_keeps_what_it_is_told() -> None:
    kafka = COMPOSE["services"]["kafka"]
    told = kafka["environment"]
    names = set(re.findall(r"(\w+)://", told["KAFKA_LISTENERS"]))
    assert dict(re.findall(r"(\w+):(\w+)", told["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"])) == dict.fromkeys(names, "PLAINTEXT")
    assert {told["KAFKA_INTER_BROKER_LISTENER_NAME"], told["KAFKA_CONTROLLER_LISTENER_NAMES"]} == names - {"HOST"}
    port = re.search(r"CONTROLLER://:(\d+)", told["KAFKA_LISTENERS"])
    assert port is not None
    assert told["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{told['KAFKA_NODE_ID']}@localhost:{port[1]}"
    assert told["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert told["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false", "the relay makes the topic, with its own settings"
    assert {value for name, value in told.items() if name.endswith(("_REPLICATION_FACTOR", "_MIN_ISR"))} == {1}
    assert kafka["volumes"] == [f"kafka:{told['KAFKA_LOG_DIRS']}"]
    inside = told["KAFKA_ADVERTISED_LISTENERS"].partition(",")[0].rpartition(":")[2]
    assert kafka["healthcheck"]["test"] == [
        "CMD", "/opt/kafka/bin/kafka-broker-api-versions.sh", "--bootstrap-server", f"localhost:{inside}",
    ]  # fmt: skip
    assert COMPOSE["volumes"].keys() == {"postgres", "kafka"}


def test_containers_come_back_and_are_given_the_time_to_stop() -> None:
    for name, service in COMPOSE["services"].items():
        assert service.keys() <= {
            "image", "build", "environment", "command", "volumes", "ports", "depends_on", "healthcheck", "restart",
            "stop_grace_period", "stop_signal", "shm_size",
        }, name  # fmt: skip
        assert service["healthcheck"].keys() <= {"test", "interval", "timeout", "retries", "start_period", "disable"}, name
        assert service.get("restart") == (None if name == "migrate" else "unless-stopped")
        if name in ("api", "relay", "webhooks", "imports"):
            given = int(service["stop_grace_period"].removesuffix("s"))
            assert given > settings.load({"DATABASE_URL": "postgresql://nowhere/none"}).shutdown_timeout_s


def test_the_containers_find_each_other_where_they_listen() -> None:
    """Kafka tells its clients where to go: within the network by the service's name, from this machine by the published port."""
    services = COMPOSE["services"]
    kafka = services["kafka"]["environment"]
    listening = dict(re.findall(r"(\w+)://\w*:(\d+)", kafka["KAFKA_LISTENERS"]))
    advertised = {
        name: (host, port) for name, host, port in re.findall(r"(\w+)://(\w+):(\d+)", kafka["KAFKA_ADVERTISED_LISTENERS"])
    }
    assert {name: port for name, (_, port) in advertised.items()}.items() <= listening.items()
    assert services["relay"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"] == ":".join(advertised["PLAINTEXT"])
    assert advertised["PLAINTEXT"][0] in services
    port = advertised["HOST"][1]
    assert services["kafka"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    port = str(settings.load({"DATABASE_URL": "postgresql://nowhere/none"}).port)
    assert services["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/" in services["api"]["healthcheck"]["test"][-1]


def test_only_loopback_is_published() -> None:
    """A port on every address would be open to the network before anybody has thought about it."""
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.skipif("CI" not in os.environ and not (ROOT / ".git").exists(), reason="needs a checkout")
def test_nothing_that_is_made_is_committed() -> None:
    ignored = subprocess.run(["git", "ls-files", "-ci", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == ""
