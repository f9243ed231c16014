"""The stream of ``opportunities dev``: somebody who reads it, in ten lines or in the terminal, and a broker that dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.process import children, ports
from tests.support.dev import Dev, Ready, ask
from tests.support.kafka import at, messages, shown
from tests.support.processes import ROOT, command, environment, opportunities

pytestmark = pytest.mark.e2e

TOPIC = "opportunities.events"
SECONDS = 40


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """An empty org in the folder that the README's commands expect."""
    made = Dev(tmp_path / ".data", "--no-demo")
    yield made
    made.end()


@contextmanager
def printing(arguments: list[str], folder: Path) -> Iterator[Path]:
    """A process, and the file with what it has printed so far."""
    path = folder / "printed"
    with path.open("wb") as output:
        process = subprocess.Popen(
            arguments, cwd=folder, env=environment({"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}), stdout=output
        )
        try:
            yield path
        finally:
            process.terminate()
            process.wait()


def close(ready: Ready, name: str) -> str:
    """A deal of this name, won; its id."""
    account = ask(ready, "POST", "/api/accounts/", {"name": f"{name} Corp"})
    deal: str = ask(ready, "POST", "/api/opportunities/", {"name": name, "account_id": account["id"], "amount": "100"})["id"]
    won = {"stage": "won", "actual_amount": "90", "actual_close_date": "2026-05-05"}
    ask(ready, "POST", f"/api/opportunities/{deal}/transition/", won)
    return deal


def has(path: Path, text: str) -> bool:
    return children.wait_until(lambda: text in path.read_text(), SECONDS)


def names(ready: Ready) -> list[str]:
    """The names of the deals won on the topic."""
    told = messages(at(ready.kafka_bootstrap_servers, TOPIC))
    return [str(shown(one)["name"]) for one in told if one.type == "opportunity.won"]


def subscriber() -> str:
    """The one of the README."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (found,) = (block for block in blocks if "KafkaConsumer" in block)
    return str(found)


def test_the_ten_lines_of_the_readme_read_the_stream(dev: Dev) -> None:
    assert subscriber().count("\n") <= 10
    ready = dev.start()
    before = close(ready, "Before")
    (dev.folder.parent / "subscriber.py").write_text(subscriber())
    with printing([sys.executable, "subscriber.py"], dev.folder.parent) as printed:
        assert has(printed, f"opportunity.won {before}")
        after = close(ready, "After")
        assert has(printed, f"opportunity.won {after}")


@pytest.mark.slow
def test_the_terminal_shows_the_stream_and_sends_a_part_again(dev: Dev) -> None:
    ready = dev.start()
    servers = ["--kafka-bootstrap-servers", ready.kafka_bootstrap_servers]
    close(ready, "First")
    assert children.wait_until(lambda: names(ready) == ["First"], SECONDS)
    with printing(command("stream", *servers), dev.folder.parent) as printed:

        def seen() -> bool:
            close(ready, "Second")
            return children.wait_until(lambda: "Second" in printed.read_text(), 1)

        assert children.wait_until(seen, SECONDS)
        lines = [json.loads(line) for line in printed.read_text().splitlines()]
    assert "First" not in str(lines)
    last = max(lines, key=lambda line: int(line["position"]))
    done = opportunities(
        "stream", "--from", str(last["position"] - 1), "--topic", "again", "--database-url", ready.database_url, *servers
    )
    assert done.returncode == 0, done.stderr
    again = messages(at(ready.kafka_bootstrap_servers, "again"))
    assert min(again, key=lambda told: told.position).id == last["id"]
    checked = opportunities("relay", "--check", "--database-url", ready.database_url)
    assert (checked.returncode, checked.stdout) == (0, "A relay is running, 0 events behind.\n")


@pytest.mark.slow
def test_a_killed_broker_is_brought_back_and_filled_again(dev: Dev) -> None:
    ready = dev.start()
    close(ready, "Before")
    assert children.wait_until(lambda: names(ready) == ["Before"], SECONDS)
    (pid,) = dev.brokers()
    os.kill(pid, signal.SIGKILL)
    assert children.wait_until(lambda: "process.restarted" in dev.printed(), SECONDS), dev.printed()
    close(ready, "After")
    assert children.wait_until(lambda: sorted(names(ready)) == ["After", "Before"], SECONDS)
    assert dev.stop() == 0
    assert dev.left() == []


def test_what_is_wrong_is_said_in_a_line(dev: Dev) -> None:
    free = f"127.0.0.1:{ports.free_port()}"
    away = opportunities("stream", "--kafka-bootstrap-servers", free)
    assert away.returncode == 1
    cause = f"no broker answers at {free}: check KAFKA_BOOTSTRAP_SERVERS."
    assert away.stderr == f"opportunities: Kafka cannot be used: {cause}\n"
    nowhere = opportunities("stream", "--from", "3", env={"DATABASE_URL": "postgresql://nowhere/none"})
    assert (nowhere.returncode, "--topic" in nowhere.stderr) == (2, True)
    unset = opportunities("relay", env={"DATABASE_URL": "postgresql://nowhere/none"})
    assert (unset.returncode, "KAFKA_BOOTSTRAP_SERVERS is not set" in unset.stderr) == (2, True)
