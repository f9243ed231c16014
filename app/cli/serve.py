"""The API's processes: uvicorn around ``app.main``, one or more on a port. Refuses a schema of another version."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import click
import structlog
import uvicorn

from app import logs, migrations, settings
from app.cli.options import database_url, load_settings
from app.main import Application, create_app
from app.process import children
from app.process.failures import Failure
from app.routes import ROUTES
from app.server.connections import Connections, Limits, raise_descriptors
from app.server.protocol import Protocols
from app.settings import Settings

log = structlog.get_logger("serve")


def run(config: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ``SchemaError``, ``Failure``, ``psycopg.Error`` if it cannot start."""
    logs.configure(config.log_level, config.log_format)
    migrations.check(config.database_url)
    if problem := children.bind_problem(config.host, config.port):
        raise Failure(problem)
    # uvicorn raises the signal that ended it again once it is done; we exit by ourselves, with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    raise_descriptors(config.max_connections)
    hand_down(config)
    log.info("api.started", host=config.host, port=config.port, workers=config.workers, version=version("opportunities"))
    if config.workers == 1:
        listen(config, application(config))
    else:
        with tempfile.TemporaryDirectory(prefix="opportunities-metrics-") as counters:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = counters
            listen(config, "app.cli.serve:worker")
    log.info("api.stopped")


def listen(config: Settings, app: Any) -> None:
    uvicorn.run(
        app,
        factory=isinstance(app, str),
        host=config.host,
        port=config.port,
        workers=config.workers,
        loop="uvloop",
        http=Protocols(Connections(Limits.of(config))),  # type: ignore[arg-type]
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=config.shutdown_timeout_s,
    )


def hand_down(config: Settings) -> None:
    """Put the settings where the worker processes find them."""
    for name, value in config.environ().items():
        os.environ[name] = value
        os.environ.pop(f"{name}_FILE", None)


def worker() -> Application:
    """The application in one of several processes, with its parent's settings; it dies with its parent."""
    parent = multiprocessing.parent_process()
    children.die_with_parent(parent=parent.pid if parent else None)
    config = settings.load()
    logs.configure(config.log_level, config.log_format)
    return application(config)


def application(config: Settings, routes: Sequence[Any] = ROUTES) -> Application:
    """The application of this process."""
    app = create_app(config, routes)
    children.tune_gc()
    return app


@click.command()
@database_url
@click.option("--host", help="Instead of OPPORTUNITIES_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="Instead of OPPORTUNITIES_PORT.")
@click.option("--workers", type=click.IntRange(1, 256), help="Instead of OPPORTUNITIES_WORKERS.")
def serve(database_url: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the API on a migrated database."""
    run(load_settings(database_url=database_url, host=host, port=port, workers=workers))
