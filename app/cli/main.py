"""The command line: one verb per thing an operator does, each a call of one function.

Failures end in one line on stderr that says what to do, without a traceback: exit code 2 for a wrong call or setting, 3 where the
log went back, 1 for the rest. Nothing of the product is imported before a verb runs, so that help and usage errors come at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a verb; returns the exit code."""
    try:
        code = cli.main(list(arguments), prog_name="opportunities", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return complain(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  the last line of defence before a traceback
        return fail(error)


def fail(error: Exception) -> int:
    from app.cli import explanations
    from app.cli.database_errors import first_line

    if explained := explanations.explain(error):
        return complain(*explained)
    if os.environ.get("OPPORTUNITIES_LOG_LEVEL") == "debug":
        raise error
    summary = f"{type(error).__name__}: {first_line(str(error))}"
    return complain(f"Internal error, please report it: {summary}. OPPORTUNITIES_LOG_LEVEL=debug shows where.", 1)


def complain(text: str, code: int) -> int:
    for line in text.splitlines():
        click.echo(f"opportunities: {line}", err=True)
    return code


SUMMARIES = {
    "dev": "Run everything on this machine.",
    "serve": "Serve the API on a migrated database.",
    "relay": "Publish every event of the log to the Kafka topic.",
    "webhooks": "Fan events of the topic out to webhook endpoints, and send them.",
    "export": "Export a list as a file.",
    "import": "Import a file of another system.",
    "imports": "Work on imports: look at their files, check them, run and undo them.",
    "stream": "Follow the events on the topic; or publish part of the log again.",
    "migrate": "Bring the database's schema up to date.",
    "org": "Create orgs.",
    "token": "Create and revoke API tokens.",
    "restored": "After a restore of the database, begin a new epoch of the log.",
    "rebuild": "Rebuild read models from the log under live traffic.",
    "verify": "Compare the live read models with freshly built ones.",
    "audit": "Print the history of a record or of an org.",
    "config": "Print the settings in force, without secrets.",
    "doctor": "Check this machine and the database.",
}


def verb(name: str) -> click.Command:
    module = "import_file" if name == "import" else name  # a word of Python
    found: click.Command = getattr(import_module(f"app.cli.{module}"), module)
    return found


class Verbs(click.Group):
    """The verbs of ``SUMMARIES``, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return verb(cmd_name) if cmd_name in SUMMARIES else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


_STUBS = {name: click.Command(name) for name in SUMMARIES}
"""Stand-ins that a misspelt verb is compared with."""


@click.group(cls=Verbs, commands=_STUBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opportunities")
def cli() -> None:
    """The Opportunities API: serve it, operate its database, or try it all with `opportunities dev`."""
