"""``opportunities dev``: the whole product on one machine, in one folder, supervised until told to stop.

The folder has ``postgres/`` (the data), ``org.json`` (the org and its token) and, while everything runs, ``dev.json``. The embedded
broker keeps nothing: the relay fills it again at every start, and pauses while it is emptied because it has grown large. Without a
broker, the API runs without stream and webhooks, which follow once there is one. Whatever dies is restarted, and nothing outlives
us. It listens on loopback only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

import click
import msgspec
import structlog

from app import logs, migrations, settings
from app.dev import demo as demo_org
from app.dev import kafka
from app.dev.kafka_retention import Retention
from app.dev.postgres import EmbeddedError, Postgres, write_private
from app.dev.supervised import HOST, Api, Supervised, Worker
from app.dev.welcome import welcome
from app.process import data_folder, ports
from app.process.failures import Failure
from app.writing import provisioning
from app.writing.committer import Committer

LOOK_SECONDS = 0.1
WORKERS = ("relay", "webhooks")
"""The verbs that run beside the API where there is a broker; ``imports`` always does."""

# With these, joining a group of the embedded broker takes less (half the session timeout), and so does reading (the whole wait).
EMBEDDED_KAFKA = {"OPPORTUNITIES_KAFKA_SESSION_TIMEOUT_MS": "2000", "OPPORTUNITIES_KAFKA_FETCH_WAIT_MS": "50"}

# In development, receivers of webhooks run on the same machine. Such addresses are allowed nowhere else unless configured.
OPEN_WEBHOOKS = {
    "OPPORTUNITIES_WEBHOOK_ALLOW_HTTP": "true",
    "OPPORTUNITIES_WEBHOOK_PORTS": "any",
    "OPPORTUNITIES_WEBHOOK_NETWORKS": "0.0.0.0/0,::/0",
}

log = structlog.get_logger("dev")


class Stop(BaseException):
    """SIGTERM or SIGINT, raised wherever we are."""


class Org(msgspec.Struct, frozen=True):
    org_id: str
    token: str


def run(*, port: int, data_dir: Path, demo: bool, database_url: str | None = None, bootstrap_servers: str | None = None) -> None:
    """Start everything, report it, and keep it running until SIGTERM or SIGINT. Raises if it cannot start."""
    config = settings.load(scrubbed(), database_url=database_url or "postgresql://", log_format=log_form())
    logs.configure(config.log_level, config.log_format)
    folder = data_dir.absolute()
    with until_signalled(), ExitStack() as stack:
        if problem := ports.bind_problem(HOST, port):
            raise Failure(problem)
        supervised: list[Supervised] = []
        if database_url is None:
            database_url = start_postgres(folder, stack, supervised)
        else:
            stack.enter_context(data_folder.lock(folder))
        (folder / "dev.json").unlink(missing_ok=True)
        for line in migrations.migrate(database_url):
            log.info("database.migrated", step=line)
        org = remembered(folder) or create(folder, database_url, demo)
        environ = OPEN_WEBHOOKS | scrubbed() | {"DATABASE_URL": database_url, "OPPORTUNITIES_LOG_FORMAT": log_form()}
        embedded: kafka.Broker | None = None
        if bootstrap_servers is None and have_broker():
            embedded = start_broker(folder, stack, supervised)
            bootstrap_servers = embedded.bootstrap_servers
            environ |= EMBEDDED_KAFKA
        environ["KAFKA_BOOTSTRAP_SERVERS"] = bootstrap_servers or ""
        api = Api(port, environ)
        look_after("api", api, stack, supervised)
        workers = {verb: Worker(verb, environ) for verb in ("imports", *(WORKERS if bootstrap_servers else ()))}
        for verb, worker in workers.items():
            look_after(verb, worker, stack, supervised)
        stack.callback((folder / "dev.json").unlink, missing_ok=True)
        write_ready(folder, api.base_url, org, database_url, bootstrap_servers or "")
        click.echo(welcome(api.base_url, org.token, folder))
        if not bootstrap_servers:
            click.echo(f"Without stream and webhooks. {kafka.MISSING}")
        looks = [one.look for one in supervised]
        if embedded is not None:
            relay = workers["relay"]
            looks.append(Retention(embedded, settings.load(environ).kafka(), relay.stop, relay.start).look)
        while True:
            for look in looks:
                look()
            time.sleep(LOOK_SECONDS)


def start_postgres(folder: Path, stack: ExitStack, supervised: list[Supervised]) -> str:
    """Start the embedded server until the stack ends; returns the URL of our database in it."""
    postgres = Postgres.start(folder)
    stack.callback(postgres.stop)
    supervised.append(Supervised("postgres", postgres.alive, postgres.restart))
    return postgres.create_database("opportunities")


def start_broker(folder: Path, stack: ExitStack, supervised: list[Supervised]) -> kafka.Broker:
    broker = kafka.Broker.start(folder)
    stack.callback(broker.stop)
    supervised.append(Supervised("broker", broker.alive, broker.restart))
    return broker


def look_after(name: str, process: Api | Worker, stack: ExitStack, supervised: list[Supervised]) -> None:
    """Start a process, and keep it running until the stack ends."""
    stack.callback(process.stop)
    process.start()
    supervised.append(Supervised(name, process.alive, process.start))


def write_ready(folder: Path, base_url: str, org: Org, database_url: str, bootstrap_servers: str) -> None:
    """Write ``dev.json``: what programs need to know about what runs here."""
    ready = {
        "base_url": base_url,
        "token": org.token,
        "org_id": org.org_id,
        "database_url": database_url,
        "kafka_bootstrap_servers": bootstrap_servers,
    }
    write_private(folder / "dev.json", json.dumps(ready, indent=2).encode() + b"\n")


def have_broker() -> bool:
    try:
        return bool(kafka.find())
    except EmbeddedError:
        return False


@contextmanager
def until_signalled() -> Iterator[None]:
    """Let SIGTERM and SIGINT end what runs inside, and ignore them while it ends."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
        raise Stop

    for one in numbers:
        signal.signal(one, stop)
    try:
        yield
    except Stop:
        click.echo("Stopped.", err=True)


def scrubbed() -> dict[str, str]:
    """The environment without settings for another database or cluster."""
    others = {f"{name}{ending}" for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS") for ending in ("", "_FILE")}
    return {name: value for name, value in os.environ.items() if name not in others}


def log_form() -> str:
    return os.environ.get("OPPORTUNITIES_LOG_FORMAT") or ("console" if sys.stderr.isatty() else "json")


def remembered(folder: Path) -> Org | None:
    try:
        return msgspec.json.decode((folder / "org.json").read_bytes(), type=Org)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        raise Failure(f"{folder / 'org.json'} is damaged: remove it, and the next start creates a new org.") from None


def create(folder: Path, database_url: str, demo: bool) -> Org:
    """The org of the first start. If creating it is interrupted, it stays behind unused, and a new one is created."""
    if demo:
        click.echo("Creating the demo org ...", err=True)
        made = demo_org.create(database_url)
    else:
        with closing(Committer(database_url)) as committer:
            made = provisioning.create_org(committer, "My company", "USD", "admin@example.com")
    org = Org(str(made.org_id), made.token)
    write_private(folder / "org.json", msgspec.json.encode(org))
    return org
