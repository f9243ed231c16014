"""The verb that runs everything on this machine."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path(".data"),
    show_default=True,
    help="Kept across restarts.",
)
@click.option("--no-demo", is_flag=True, help="Start with an empty org.")
@click.option("--database-url", metavar="URL", help="Use this PostgreSQL instead of an embedded one.")
@click.option("--kafka-bootstrap-servers", metavar="HOST:PORT", help="Use this Kafka instead of an embedded broker.")
def dev(port: int, data_dir: Path, no_demo: bool, database_url: str | None, kafka_bootstrap_servers: str | None) -> None:
    """Run everything on this machine: embedded PostgreSQL and broker, API, relay, webhooks, a demo org. Loopback only."""
    from app.dev.supervisor import run

    run(
        port=port,
        data_dir=data_dir,
        demo=not no_demo,
        database_url=database_url,
        bootstrap_servers=kafka_bootstrap_servers,
    )
