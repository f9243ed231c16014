"""The API's processes: uvicorn around ``app.main``, one or more on a port. Refuses a schema of another version."""

from __future__ import annotations

import os
import signal
import tempfile
from importlib.metadata import version
from typing import Any

import click
import structlog
import uvicorn

from app import logs, migrations
from app.cli.api_worker import application, hand_down
from app.cli.options import database_url, load_settings
from app.process import ports
from app.process.failures import Failure
from app.server.connection_limits import Limits, raise_descriptors
from app.server.connections import Connections
from app.server.protocol import Protocols
from app.settings import Settings

log = structlog.get_logger("serve")


def run(config: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ``SchemaError``, ``Failure``, ``psycopg.Error`` if it cannot start."""
    logs.configure(config.log_level, config.log_format)
    migrations.check(config.database_url, writing=True)
    if problem := ports.bind_problem(config.host, config.port):
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
            listen(config, "app.cli.api_worker:worker")
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


@click.command()
@database_url
@click.option("--host", help="Instead of OPPORTUNITIES_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="Instead of OPPORTUNITIES_PORT.")
@click.option("--workers", type=click.IntRange(1, 256), help="Instead of OPPORTUNITIES_WORKERS.")
def serve(database_url: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the API on a migrated database."""
    run(load_settings(database_url=database_url, host=host, port=port, workers=workers))
