"""What people read: that documents name what exists, and that tables which repeat the code agree with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml

from app import settings
from app.cli import main
from app.migrations import prerequisites
from app.routes import ROUTES
from consumers.webhooks import transport
from consumers.webhooks.schedule import FAILING, JITTER, in_words
from domain import catalog
from domain.permissions import Role
from domain.webhook_endpoint import EVENT_TYPES
from projections import idempotency_records
from tests.support.processes import ROOT
from tests.support.sources import modules

README = (ROOT / "README.md").read_text()
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
LONGEST_DECISION = 50
HEADINGS = ["Context", "Decision", "Measured", "Rejected"]

CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PLACE = re.compile(r"(?:app|consumers|deploy|docs|domain|projections|tests|\.github)/[\w./+-]*")
TEST_IN_FILE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


documents = pytest.mark.parametrize("path", DOCUMENTS, ids=named)


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@documents
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(path.read_text()):
        file = path.parent / target if target else path
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if file.is_file() else []
        if not file.exists() or (anchor and anchor not in map(slug, headings)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


@documents
def test_files_that_documents_name_exist(path: Path) -> None:
    names = {code.partition("::")[0] for code in CODE.findall(path.read_text())}
    assert {name for name in names if PLACE.fullmatch(name) and not (ROOT / name).exists()} == set()


@documents
def test_tests_that_documents_name_exist(path: Path) -> None:
    found = TEST_IN_FILE.findall(path.read_text())
    assert [name for file, name in found if f"def {name}(" not in (ROOT / file).read_text()] == []


@documents
def test_commands_that_documents_name_exist(path: Path) -> None:
    text = path.read_text()
    targets = set(re.findall(r"(?:`|^|run: )make ([a-z-]+)", text, re.MULTILINE))
    assert targets <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for verb, further in re.findall(r"(?:`|^)opportunities ([a-z]+)(?: ([a-z]+))?\b", text, re.MULTILINE):
        command = main.verb(verb)
        assert not isinstance(command, click.Group) or further in command.commands, (verb, further)


@documents
def test_functions_and_settings_that_documents_name_exist(path: Path) -> None:
    codes = set(CODE.findall(path.read_text())) if path.name != "CHANGELOG.md" else set()
    functions = {code.removesuffix("()") for code in codes if re.fullmatch(r"\w+\(\)", code)}
    sources = "".join((ROOT / module).read_text() for module in modules())
    sources += "".join(file.read_text() for file in (ROOT / "app/migrations").glob("*.sql"))
    assert {name for name in functions if not re.search(rf"(?:FUNCTION|def) {name}\(", sources)} == set()
    variables = {code for code in codes if code.startswith("OPPORTUNITIES_")}
    assert variables <= {settings.variable(name) for name in settings.Settings.__struct_fields__}


def test_the_changelog_sorts_what_is_new() -> None:
    """Under Unreleased every line has a heading, in the order in which a reader needs them."""
    new = (ROOT / "CHANGELOG.md").read_text().split("\n## Unreleased\n")[1].split("\n## ")[0]
    first, *parts = re.split(r"^### ", new, flags=re.MULTILINE)
    assert not re.search(r"^- ", first, re.MULTILINE)
    headings = [part.partition("\n")[0] for part in parts]
    assert headings == [name for name in ("Added", "Changed", "Fixed", "Security", "Upgrading") if name in headings]
    assert all(re.search(r"^- ", part, re.MULTILINE) for part in parts)


def test_decisions_are_numbered_without_gaps() -> None:
    assert len(DECISIONS) >= 12
    assert [path.name[:5] for path in DECISIONS] == [f"{number:04}-" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_a_decision_is_short_and_gives_its_reasons(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_DECISION
    assert re.match(rf"# {path.name[:4]} \S", text), "the title begins with the number"
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert all(part.strip() for part in re.split(r"^#+ .+$", text, flags=re.MULTILINE)[2:]), "no heading without a text"


def test_the_architecture_leads_to_every_decision() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    assert [path.name for path in DECISIONS if f"](decisions/{path.name})" not in text] == []


def table(heading: str) -> dict[str, str]:
    """The first table below a heading of the README: second column by first."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
    return {first: second for first, second in rows if first.strip(":- ") and not first.startswith(("Stream", "Under"))}


def test_the_readme_names_every_route_and_no_other() -> None:
    routes = [path for handler in ROUTES for path in handler.paths]
    parts = {part for path in routes for part in path.split("/") if part and "{" not in part} - {"api"}
    rows = [code for row in table("The API in short").items() for code in CODE.findall(" ".join(row))]
    places = {part for code in rows if "/" in code and " " not in code for part in code.split("/") if part} - {"<id>"}
    own = {"files", "openapi.json", "asyncapi.json", "changes"}  # of the documents; the waterfall stands beside the forecast
    assert places - parts == set()
    assert parts - places <= own


def test_the_readme_names_every_event_and_no_other() -> None:
    shown = {
        f"{stream}.{event}"
        for streams, events in table("The event model").items()
        for stream in streams.split(", ")
        for event in CODE.findall(events)
    }
    assert shown == {name.rsplit(".v", 1)[0] for name in catalog.EVENTS}


def section(heading: str) -> str:
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_readme_tells_the_schedule_of_webhooks() -> None:
    text = section("The stream and the webhooks")
    assert f"after {in_words()}" in text
    assert f"± {JITTER:.0%}" in text.replace(" %", "%")
    assert f"within {transport.SECONDS:g} seconds" in text
    assert f"{FAILING.days} days" in text


def test_the_readme_tells_for_how_long_a_request_may_be_sent_again() -> None:
    text = " ".join(section("The API in short").split())
    assert f"with an `Idempotency-Key` can be retried within {idempotency_records.HOURS} hours" in text


def test_the_readme_names_the_types_of_webhooks() -> None:
    text = section("The stream and the webhooks")
    assert {name for name in EVENT_TYPES if f"`{name.partition('.')[2]}`" not in text and f"`{name}`" not in text} == set()


def test_the_readme_names_the_roles() -> None:
    line = re.search(r"^- \*\*Roles\*\*: (.+(?:\n  .+)*)", README, re.MULTILINE)
    assert line is not None
    assert set(CODE.findall(line[1])) == set(get_args(Role))


def test_the_workflow_tests_what_is_promised() -> None:
    job = WORKFLOW["jobs"]["check"]
    newest = COMPOSE["services"]["postgres"]["image"].partition(":")[2]
    assert job["strategy"]["matrix"]["postgres"] == [str(prerequisites.OLDEST), newest]
    assert job["services"]["kafka"]["image"] == COMPOSE["services"]["kafka"]["image"]
    project = (ROOT / "pyproject.toml").read_text()
    claimed = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    assert claimed
    assert set(claimed) <= set(job["strategy"]["matrix"]["python"])
    runs = [step["run"] for each in WORKFLOW["jobs"].values() for step in each["steps"] if "run" in step]
    made = {run.removeprefix("make ") for run in runs if run.startswith("make ")}
    assert made == {"check", "test-slow", "test-postgres", "test-clients", "test-deploy"}
    assert made <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert "tests/deploy/compose.sh" in runs


def test_what_runs_before_a_commit_is_what_runs_in_the_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    revisions = {repo["repo"].rpartition("/")[2]: repo["rev"] for repo in hooks}
    locked = re.search(r"^ruff==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked is not None
    assert revisions["ruff-pre-commit"] == f"v{locked[1]}"


def test_what_runs_before_a_commit_leaves_files_alone_whose_bytes_count() -> None:
    """An event as it was stored, and a migration with a checksum: a hook that adds a last line end to one makes it another."""
    excluded = re.compile(yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["exclude"])
    for folder, ending in (("tests/domain/golden", "json"), ("app/migrations", "sql"), ("app/schema/swagger_ui", "css")):
        files = [str(file.relative_to(ROOT)) for file in (ROOT / folder).glob(f"*.{ending}")]
        assert files, folder
        assert [file for file in files if not excluded.search(file)] == []
