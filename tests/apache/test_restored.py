"""The whole product on a database that was restored, from a dump and to a point in time, as its operator and subscribers see it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from app import migrations
from app.dev import postgres_binaries
from app.dev.postgres import Postgres
from app.process.children import wait_until
from app.writing.committer import Committer
from app.writing.provisioning import Provisioned, create_org
from consumers import checkpoints, message
from consumers.kafka_settings import Kafka
from domain import event_store, opportunity
from domain.webhook_endpoint import EVENT_TYPES
from tests.support import postgres
from tests.support.commands import log
from tests.support.kafka import has_the_last, messages, settings
from tests.support.processes import opportunities
from tests.support.scenarios import OPPORTUNITIES, Json, made
from tests.support.server import Server, serving
from tests.support.webhooks import execute
from tests.support.worker import Load, Worker

pytestmark = [pytest.mark.apache, pytest.mark.e2e, pytest.mark.timeout(600)]

SECONDS = 120
WENT_BACK = 3


class Product(NamedTuple):
    """The settings of all processes on one database, its org, and what was written with a key before the backup."""

    url: str
    config: Kafka
    org: Provisioned

    @property
    def env(self) -> dict[str, str]:
        return {"DATABASE_URL": self.url, **settings(self.config)}

    def on(self, url: str) -> Product:
        return self._replace(url=url)

    def deal(self, server: Server, name: str, account: Json, key: str) -> Json:
        with server.client(self.org.token) as client:
            body = {"name": name, "account_id": account["id"]}
            return made(client.post(OPPORTUNITIES, body, Idempotency_Key=key), 201)

    def run(self, *verb: str, code: int = 0) -> str:
        done = opportunities(*verb, env=self.env, seconds=SECONDS)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def following(self) -> Iterator[None]:
        """Relay and consumer at work, until both have everything."""
        workers = [Worker(*verb, env=self.env) for verb in (("relay",), ("webhooks", "--only", "consumer"))]
        for worker in workers:
            worker.start()
        try:
            yield
            assert wait_until(self.settled, SECONDS), execute(self.url, "SELECT name, position, detail FROM checkpoints")
        finally:
            codes = [worker.stop() for worker in workers]
        assert codes == [0, 0]

    def settled(self) -> bool:
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            relayed, _ = checkpoints.load(cursor, checkpoints.RELAY)
        return (
            relayed >= log(self.url)[-1].position
            and has_the_last(self.url, self.config)
            and self.queued() >= sum(isinstance(one.event, opportunity.OpportunityEvent) for one in log(self.url))
        )

    def queued(self) -> int:
        return int(execute(self.url, "SELECT count(*) FROM webhook_deliveries")[0][0])

    def require_whole(self) -> None:
        """Each event is on the topic under its id, those of the last epoch in order for each key, and queued once."""
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            epochs = event_store.epochs(cursor)
        wanted = {
            (one.position, message.event_id(one, epochs.at(one.position))) for one in log(self.url) if message.is_published(one)
        }
        told = messages(self.config)
        assert wanted <= {(one.position, one.id) for one in told}, "skipped"
        assert len({one.id for one in told}) == len({(one.id, one.recorded_at) for one in told}), "an id is of two events"
        by_record = defaultdict[str, list[int]](list)
        ids = {id_ for _, id_ in wanted}
        for one in told:
            if one.id in ids and epochs.at(one.position) == epochs.current and "opportunity" in one.data:
                by_record[bytes(one.data["opportunity"])[:60].decode()].append(one.position)
        assert by_record
        assert all(positions == sorted(positions) for positions in by_record.values())
        queued = {event_id for (event_id,) in execute(self.url, "SELECT event_id FROM webhook_deliveries")}
        assert queued == {id_ for position, id_ in wanted if position in published_deals(self.url)}


def published_deals(url: str) -> set[int]:
    return {one.position for one in log(url) if isinstance(one.event, opportunity.OpportunityEvent)}


def restores_and_goes_on(url: str, config: Kafka, backup: Callable[[], Callable[[], str]]) -> None:
    """``backup`` makes one, and returns the function that restores it, to a URL."""
    with closing(Committer(url)) as committer:
        live = Product(url, config, create_org(committer, "Yours", "USD", "admin@yours.com"))
    with serving(url) as server, live.following():
        with server.client(live.org.token) as client:
            account = made(client.post("/api/accounts/", {"name": "Acme"}))
            made(client.post("/api/webhooks/", {"url": "https://example.com/hooks", "events": EVENT_TYPES}))
        before = live.deal(server, "Before", account, "before")
        assert wait_until(live.settled, SECONDS)
        good = log(url)[-1].position
        restore = backup()
        lost = live.deal(server, "Lost", account, "after")
        for n in range(5):
            live.deal(server, f"Lost {n}", account, f"after-{n}")
    live.require_whole()
    back = live.on(restore())
    assert log(back.url)[-1].position == good
    for verb in (("relay",), ("webhooks",), ("webhooks", "--only", "consumer")):
        said = back.run(*verb, code=WENT_BACK)
        assert "opportunities: The log went back: " in said
        assert "opportunities restored" in said
    assert "the log ends at" in back.run("relay", "--check", code=1)
    planned = back.run("restored")
    assert "Nothing was changed" in planned
    assert f"The log ends at position {good}. " in planned
    back.run("relay", code=WENT_BACK)
    assert "Done, and told in 1 orgs." in back.run("restored", "--yes")
    assert "nothing to do" in back.run("restored", "--yes")
    assert "equal the log" in back.run("verify")
    with serving(back.url) as one, serving(back.url) as other, back.following():
        with Load(one, back.org), Load(other, back.org):
            assert back.deal(one, "Before", account, "before")["id"] == before["id"]
            again = back.deal(one, "Lost", account, "after")
            assert again["id"] != lost["id"]
            assert back.deal(other, "Lost", account, "after")["id"] == again["id"]
            so_far = len(log(back.url))
            assert wait_until(lambda: len(log(back.url)) > so_far + 30, SECONDS)
        with one.client(back.org.token) as client:
            assert client.get(f"{OPPORTUNITIES}{lost['id']}/").status == 404
    back.require_whole()
    assert "equal the log" in back.run("verify")
    back.run("rebuild", "--all")


def program(name: str, url: str) -> Path:
    """A program of PostgreSQL as new as the server."""
    with psycopg.connect(url) as connection:
        major = connection.info.server_version // 10_000
    for folder in postgres_binaries.candidates():
        if (postgres_binaries.version(folder, None) or 0) >= major and (folder / name).exists():
            return folder / name
    pytest.skip(f"{name} of PostgreSQL {major} is not here")


def test_restored_from_a_dump(database_url: str, kafka: Kafka, tmp_path: Path) -> None:
    dump, restore = program("pg_dump", database_url), program("pg_restore", database_url)
    with ExitStack() as stack:

        def backup() -> Callable[[], str]:
            subprocess.run([dump, "-Fc", "-f", tmp_path / "dump", database_url], check=True)
            return back

        def back() -> str:
            url = stack.enter_context(postgres.database())
            subprocess.run([restore, "-d", url, tmp_path / "dump"], check=True)
            return url

        restores_and_goes_on(database_url, kafka, backup)


def test_restored_to_a_point_in_time(kafka: Kafka) -> None:
    """From a base backup and the archive of WAL, both made while everything works."""
    folder = Path(tempfile.mkdtemp(prefix="opportunities-test-restored-"))
    folder.chmod(0o777)  # for the user that the server runs as
    archive = folder / "archive"
    archive.mkdir()
    archive.chmod(0o777)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        options = {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f", "wal_level": "replica"}
        live = Postgres.start(folder / "live", durable=False, options=options)
        stack.callback(live.stop)
        url = live.create_database("opportunities")
        migrations.migrate(url)

        def backup() -> Callable[[], str]:
            copied = [str(live.binaries / "pg_basebackup"), "-d", live.url, "-D", str(folder / "base"), "-X", "none", "-c", "fast"]
            subprocess.run(copied, check=True, capture_output=True)
            ((segment,),) = execute(url, "SELECT pg_walfile_name(pg_create_restore_point('good'))")
            execute(url, "SELECT pg_switch_wal()")
            assert wait_until((archive / segment).exists, SECONDS)
            return back

        def back() -> str:
            live.stop()
            place = folder / "back"
            place.mkdir()
            shutil.copy(live.data_dir / "postgres.json", place)
            (folder / "base").rename(place / "postgres")
            with (place / "postgres/postgresql.auto.conf").open("a") as written:
                written.write(f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_name = 'good'\n")
                written.write("recovery_target_action = 'promote'\n")
            (place / "postgres/recovery.signal").touch()
            if live.user is not None:
                for path in [place / "postgres", *(place / "postgres").rglob("*")]:
                    os.chown(path, live.user, -1)
            (place / "postgres").chmod(0o700)
            restored = Postgres.start(place, durable=False)
            stack.callback(restored.stop)
            assert wait_until(lambda: execute(restored.url, "SELECT pg_is_in_recovery()") == [(False,)], SECONDS)
            return restored.database("opportunities")

        restores_and_goes_on(url, kafka, backup)
