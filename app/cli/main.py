"""The command line: one verb per thing an operator does, each a call of one function.

Refuses tracebacks: whatever fails ends in one line on stderr that says what to do, with exit code 2 for a wrong call or
setting and 1 for the rest. Imports nothing of the product before a verb runs, so that help and mistakes answer at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

if TYPE_CHECKING:
    from app.settings import Settings

database_url = click.option("--database-url", metavar="URL", help="Instead of DATABASE_URL.")
bootstrap_servers = click.option("--kafka-bootstrap-servers", metavar="HOST:PORT", help="Instead of KAFKA_BOOTSTRAP_SERVERS.")
INSTANT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])
org = click.option("--org", "org_id", type=click.UUID, metavar="ID", help="The org's id.")


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a verb; the exit code."""
    try:
        code = cli.main(list(arguments), prog_name="opportunities", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return complain(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  the last line of defence before a traceback
        return fail(error)


def fail(error: Exception) -> int:
    from app.cli import explanations

    if told := explanations.explain(error):
        return complain(*told)
    if os.environ.get("OPPORTUNITIES_LOG_LEVEL") == "debug":
        raise error
    told_type = f"{type(error).__name__}: {explanations.first_line(str(error))}"
    return complain(f"A fault of ours, please report it: {told_type}. OPPORTUNITIES_LOG_LEVEL=debug shows where.", 1)


def complain(text: str, code: int) -> int:
    for line in text.splitlines():
        click.echo(f"opportunities: {line}", err=True)
    return code


def settings(**overrides: Any) -> Settings:
    from app.settings import load

    return load(**overrides)


def database(url: str | None) -> str:
    """The URL of a database with this version's schema. Raises ``SchemaError``, ``psycopg.Error`` otherwise."""
    from app import migrations

    url = settings(database_url=url).database_url
    migrations.check(url)
    return url


def show(answer: object) -> None:
    click.echo(json.dumps(answer))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opportunities")
def cli() -> None:
    """The Opportunities API: serve it, look after its database, or try it all with `opportunities dev`."""


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path(".data"),
    show_default=True,
    help="Kept across restarts.",
)
@click.option("--no-demo", is_flag=True, help="Begin with an empty org.")
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


@cli.command()
@database_url
@click.option("--host", help="Instead of OPPORTUNITIES_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="Instead of OPPORTUNITIES_PORT.")
@click.option("--workers", type=click.IntRange(1, 256), help="Instead of OPPORTUNITIES_WORKERS.")
def serve(database_url: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the API on a migrated database."""
    from app.cli.serve import run

    run(settings(database_url=database_url, host=host, port=port, workers=workers))


@cli.command()
@database_url
@bootstrap_servers
@click.option("--check", is_flag=True, help="Only say whether one is at work, and how far behind; fail where none is.")
def relay(database_url: str | None, kafka_bootstrap_servers: str | None, check: bool) -> None:
    """Bring every event of the log to the Kafka topic. Start several: one works, the others stand by."""
    from app.cli import relay

    config = settings(database_url=database_url, kafka_bootstrap_servers=kafka_bootstrap_servers)
    if check:
        click.echo(relay.check(config))
    else:
        relay.run(config)


@cli.command()
@database_url
@bootstrap_servers
@click.option("--only", type=click.Choice(["consumer", "sender"]), help="One of the two, to run them apart.")
@click.option("--check", is_flag=True, help="Only say whether they are at work, and how far behind; fail where they are not.")
def webhooks(database_url: str | None, kafka_bootstrap_servers: str | None, only: Any, check: bool) -> None:
    """Fan events of the topic out to webhook endpoints, and send them. Start several: they share the work."""
    from app.cli import webhooks

    config = settings(database_url=database_url, kafka_bootstrap_servers=kafka_bootstrap_servers)
    if check:
        click.echo(webhooks.check(config, only))
    else:
        webhooks.run(config, only)


@cli.command()
@database_url
@bootstrap_servers
@click.option("--from", "after", type=click.IntRange(0), metavar="POSITION", help="Send what lies beyond this position again.")
@click.option("--topic", metavar="NAME", help="Instead of the topic of the settings; with --from, where to send it.")
@click.option("--json", "as_json", is_flag=True, help="Messages as they are, a line each; so it is where no terminal reads.")
def stream(
    database_url: str | None, kafka_bootstrap_servers: str | None, after: int | None, topic: str | None, as_json: bool
) -> None:
    """Follow the events on the topic; or send a part of the log to a topic again, with the same ids."""
    from app.cli import stream

    needed = database_url if after is not None else "postgresql://"
    config = settings(database_url=needed, kafka_bootstrap_servers=kafka_bootstrap_servers)
    if after is None:
        told = stream.raw if as_json or not sys.stdout.isatty() else stream.line
        for record in stream.tail(config, topic):
            click.echo(told(record))
        return
    if topic is None:
        raise click.UsageError(f"Say with --topic where to send it again; {config.kafka_topic} is the one that all read.")
    with progress("Sending") as report:
        sent = stream.republish(config, topic, after, report)
    click.echo(f"Sent {sent.messages} messages to {topic}, up to position {sent.position}.")


@cli.command()
@database_url
@click.option("--check", is_flag=True, help="Change nothing; fail unless the schema is this version's.")
def migrate(database_url: str | None, check: bool) -> None:
    """Bring the database's schema up to date."""
    from app import migrations

    url = settings(database_url=database_url).database_url
    if check:
        migrations.check(url)
        click.echo("The schema is up to date.")
        return
    for line in migrations.migrate(url) or ["the schema was up to date"]:
        click.echo(line)


@cli.group(name="org")
def org_group() -> None:
    """Orgs."""


@org_group.command(name="create")
@database_url
@click.option("--name", required=True)
@click.option("--currency", default="USD", show_default=True, help="ISO 4217.")
@click.option("--admin-email", required=True)
def org_create(database_url: str | None, name: str, currency: str, admin_email: str) -> None:
    """Make an org with its first admin; prints org_id, user_id and token, the only time it is shown."""
    from app.cli.provisioning import create_org

    show(create_org(database(database_url), name, currency, admin_email))


@cli.group(name="token")
def token_group() -> None:
    """API tokens."""


@token_group.command(name="create")
@database_url
@org
@click.option("--email", required=True, help="Of the user whose rights the token has.")
@click.option("--name", default="command line", show_default=True)
@click.option("--expires-at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="UTC; never where left out.")
@click.option(
    "--role", type=click.Choice(["read_only", "rep", "manager", "admin"]), help="At most this; the user's where left out."
)
def token_create(
    database_url: str | None, org_id: UUID | None, email: str, name: str, expires_at: datetime | None, role: Any
) -> None:
    """Make a token for a user; prints it, the only time it is shown."""
    from app.cli.provisioning import create_token

    url = database(database_url)
    show(create_token(url, email, name, org_id, expires_at.replace(tzinfo=UTC) if expires_at else None, role))


@token_group.command(name="revoke")
@database_url
@click.argument("token")
def token_revoke(database_url: str | None, token: str) -> None:
    """Revoke a token, given by its id or by itself. It stops working at once."""
    from app.cli.provisioning import revoke_token

    show(revoke_token(database(database_url), token))


@cli.command()
@database_url
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every read model.")
def rebuild(database_url: str | None, names: tuple[str, ...], everything: bool) -> None:
    """Rebuild read models from the log beside the live ones, and swap them in under live traffic."""
    from app.process import children
    from projections.rebuild import rebuild as run
    from projections.registry import READ_MODELS

    known = [model.name for model in READ_MODELS]
    if bool(names) == everything:
        raise click.UsageError(f"Name the read models to rebuild ({', '.join(known)}), or say --all.")
    url = database(database_url)
    children.tune_gc()
    with progress("Rebuilding") as report:
        events = run(url, known if everything else names, report)
    click.echo(f"Rebuilt {', '.join(known if everything else names)} from {events} events.")


@cli.command()
@database_url
def verify(database_url: str | None) -> None:
    """Compare the live read models with freshly built ones; fails where they differ, and says how."""
    from app.process import children
    from app.process.failures import Failure
    from projections.rebuild import verify as run

    url = database(database_url)
    children.tune_gc()
    with progress("Verifying") as report:
        differences = run(url, report)
    for difference in differences:
        for side, rows in (("only in the live one", difference.live), ("only in the rebuilt one", difference.rebuilt)):
            for row in rows:
                click.echo(f"{difference.table}: {side}: {row}")
    if differences:
        tables = ", ".join(difference.table for difference in differences)
        raise Failure(f"The read models differ from the log in {tables}: run `opportunities rebuild --all`.")
    click.echo("The read models equal the log.")


@cli.command()
@database_url
@org
@click.option("--record", "record_id", type=click.UUID, metavar="ID", help="One record of whatever kind.")
def audit(database_url: str | None, org_id: UUID | None, record_id: UUID | None) -> None:
    """Print the history of a record or of an org, one JSON object per event."""
    from app.cli.audit import tell

    if org_id is None and record_id is None:
        raise click.UsageError("Say which: --record ID or --org ID.")
    for line in tell(database(database_url), org_id=org_id, record_id=record_id):
        click.echo(line)


@cli.command()
@database_url
def config(database_url: str | None) -> None:
    """Print the settings in force, without secrets."""
    for name, value in settings(database_url=database_url).redacted().items():
        click.echo(f"{name}={value}")


@cli.command()
@database_url
def doctor(database_url: str | None) -> None:
    """Check this machine and the database, and say what to mend."""
    from app.cli.doctor import run

    if not run(database_url, click.echo):
        raise click.exceptions.Exit(1)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with count and rate on a terminal, silence elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, rate="")

        def report(done: int, total: int) -> None:
            seconds = bar.tasks[task].elapsed or 0
            bar.update(task, completed=done, total=total, rate=f"{done / seconds:,.0f}/s" if seconds else "")

        yield report
