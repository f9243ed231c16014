"""``opportunities dev``: the whole product on one machine, in one folder, supervised until told to stop.

The folder has ``postgres/`` (the data), ``org.json`` (the org and its token) and, while everything runs, ``dev.json``. The embedded
broker keeps nothing: the relay fills it again at every start, and pauses while it is emptied because it has grown large. Without a
broker, the API runs without stream and webhooks, which follow once there is one. Whatever dies is restarted, and nothing outlives
us. It listens on loopback only.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import date, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from subprocess import Popen
from types import FrameType
from typing import Any

import click
import msgspec
import structlog

from app import logs, migrations, settings
from app.dev import demo as demo_org
from app.dev import kafka
from app.dev.kafka_retention import Retention
from app.dev.postgres import EmbeddedError, Postgres, write_private
from app.process import children
from app.process.failures import Failure
from app.writing import provisioning
from app.writing.committer import Committer

HOST = "127.0.0.1"
START_SECONDS = 60
LOOK_SECONDS = 0.1
STEADY_SECONDS = 10
"""A process that lived shorter than this after each of ``MAX_DEATHS`` starts is not restarted again."""
MAX_DEATHS = 3
WORKERS = ("relay", "webhooks")
"""The verbs that run beside the API."""

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
        if problem := children.bind_problem(HOST, port):
            raise Failure(problem)
        supervised: list[Supervised] = []
        if database_url is None:
            database_url = start_postgres(folder, stack, supervised)
        else:
            stack.enter_context(children.lock_folder(folder))
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
        workers = {verb: Worker(verb, environ) for verb in (WORKERS if bootstrap_servers else ())}
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


class Supervised:
    """Something that is restarted when it dies, unless it cannot live."""

    def __init__(self, name: str, alive: Callable[[], bool], restart: Callable[[], None]) -> None:
        self.name = name
        self.alive = alive
        self.restart = restart
        self.since = time.monotonic()
        self.deaths = 0

    def look(self) -> None:
        if self.alive():
            return
        self.deaths = self.deaths + 1 if time.monotonic() - self.since < STEADY_SECONDS else 1
        if self.deaths > MAX_DEATHS:
            raise Failure(f"{self.name} keeps dying: its last output is above, or in the data folder.")
        log.warning("process.died", name=self.name)
        self.restart()
        self.since = time.monotonic()
        log.warning("process.restarted", name=self.name)


class Api:
    """``opportunities serve`` as a child."""

    def __init__(self, port: int, environ: Mapping[str, str]) -> None:
        self.port = port
        self.base_url = f"http://{HOST}:{port}"
        self.environ = {**environ, "OPPORTUNITIES_HOST": HOST, "OPPORTUNITIES_PORT": str(port)}
        self.process: Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = children.spawn([sys.executable, "-m", "app.cli", "serve"], env=self.environ)
        if not children.wait_until(lambda: not self.alive() or self.ready(), START_SECONDS) or not self.alive():
            self.stop()
            raise Failure("The API did not start: the lines above say why.")

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        try:
            return get(self.port, "/health/ready")[0] == 200
        except (OSError, HTTPException):
            return False

    def stop(self) -> None:
        if self.process is not None:
            children.stop(self.process)


class Worker:
    """A verb that works until it is stopped, as a child."""

    def __init__(self, verb: str, environ: Mapping[str, str]) -> None:
        self.verb = verb
        self.environ = environ
        self.process: Popen[bytes] | None = None

    def start(self) -> None:
        self.process = children.spawn([sys.executable, "-m", "app.cli", self.verb], env=self.environ)

    def alive(self) -> bool:
        """True also if we stopped it, so that it is not restarted."""
        return self.process is None or self.process.poll() is None

    def stop(self) -> None:
        if self.process is not None:
            children.stop(self.process)
            self.process = None


def get(port: int, path: str, token: str = "") -> tuple[int, Any]:
    """The status and the decoded body, or None for what is not JSON."""
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    try:
        return response.status, json.loads(body)
    except ValueError:
        return response.status, None


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


def welcome(base_url: str, token: str, folder: Path) -> str:
    """What a person sees when everything runs: the URL, the token, and three things to try."""
    bearer = shlex.quote(f"Authorization: Bearer {token}")
    port = int(base_url.rpartition(":")[2])
    _, accounts = get(port, "/api/accounts/?page_size=1", token)
    if accounts and accounts.get("results"):
        body = {"name": "My first deal", "account_id": accounts["results"][0]["id"], "amount": "24000"}
        posted = f"-d '{json.dumps(body)}' {base_url}/api/opportunities/"
    else:
        posted = f"-d '{json.dumps({'name': 'My first account'})}' {base_url}/api/accounts/"
    first, last = quarter(date.today())  # noqa: DTZ011  the quarter of whoever sits at this machine
    return f"""
Opportunities runs at {base_url} (docs: {base_url}/schema/). Ctrl-C stops it; the data stays in {folder}.

  token  {token}

Try:

  curl -s -H {bearer} '{base_url}/api/opportunities/?stage=proposal&page_size=2'

  curl -s -H {bearer} '{base_url}/api/opportunities/forecast/?close_date__gte={first}&close_date__lte={last}'

  curl -s -H {bearer} -H 'Content-Type: application/json' {posted}
"""


def quarter(day: date) -> tuple[date, date]:
    first = date(day.year, day.month - (day.month - 1) % 3, 1)
    after = date(first.year + (first.month == 10), (first.month + 2) % 12 + 1, 1)
    return first, after - timedelta(days=1)
