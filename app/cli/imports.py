"""``opportunities imports``: the process around ``app.importing.worker``."""

from __future__ import annotations

import click
import structlog

from app import logs, migrations
from app.cli.explanations import describe
from app.cli.options import database_url, load_settings
from app.importing.worker import Importer
from app.process import memory
from app.settings import Settings
from app.writing.committer import Committer
from consumers import loop

log = structlog.get_logger("imports")


def run(config: Settings) -> None:
    """Work on imports until SIGTERM or SIGINT. Raises ``SettingsError``, ``SchemaError``, ``psycopg.Error`` if it cannot start."""
    memory.tune_gc(memory.OF_IMPORTS)
    logs.configure(config.log_level, config.log_format)
    migrations.check(config.database_url, writing=True)
    stop = loop.stop_on_signals()
    committer = Committer(config.database_url, statement_timeout_ms=config.statement_timeout_ms)
    importer = Importer(config.database_url, committer, stop)
    try:
        loop.run(importer, stop, describe=describe)
    finally:
        importer.close()
        committer.close()
    log.info("imports.stopped")


@click.command()
@database_url
def imports(database_url: str | None) -> None:
    """Look at the files of imports, check them, run and undo them. Start several: they share the imports."""
    run(load_settings(database_url=database_url))
