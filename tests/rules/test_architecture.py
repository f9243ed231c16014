"""How the code is laid out, and why."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

from projections.registry import READ_MODELS
from tests.support.processes import ROOT
from tests.support.sources import modules, texts, tree

STATEMENT = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\S+(\s+\w+)?\s+SET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX|FUNCTION)|TRUNCATE\s)\b",
    re.DOTALL,
)
KINDS = {"handlers", "services", "repositories", "schemas", "utils", "util", "helpers", "helper", "managers", "common", "misc"}
LONGEST, LONGEST_FUNCTION = 350, 50
MEDIAN, MEDIAN_FUNCTION = 90, 8


def test_imports_point_one_way() -> None:
    """App above consumers and projections above the domain, so that what may happen knows nothing of how it is asked for."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_statements_stand_beside_what_they_read_and_write() -> None:
    """SQL in the application would be a second place that knows the tables of a read model. The named ones own a
    connection's org, the schema itself, and the server's roles and rights."""
    owners = {
        Path("app/reading/lane.py"),
        Path("app/reading/read_pool.py"),
        Path("app/migrations/__init__.py"),
        Path("app/migrations/prerequisites.py"),
    }
    found = [
        f"{module}:{line}"
        for module in modules("app")
        if module not in owners
        for line, text in texts(module)
        if STATEMENT.search(text)
    ]
    assert found == []


def test_every_statement_of_a_read_models_tables_ends_at_its_semicolon() -> None:
    """A rebuild tells them apart there, so none may stand in a comment or a text."""
    statements = [part.strip() for model in READ_MODELS for part in model.ddl.split(";")]
    assert [part for part in statements if part and not part.startswith(("CREATE ", "ALTER ", "SELECT public.index_"))] == []


def test_json_is_written_by_msgspec() -> None:
    """What is glued together has no type that the schema could document, and one day a value in it that is not escaped. The
    named ones are of records whose parts are rendered when they are written and that SQL puts together when they are read."""
    owners = {
        Path("projections/opportunities/rows.py"),
        Path("projections/opportunities/items.py"),
        Path("projections/event_payloads.py"),
        Path("projections/before.py"),
    }
    glued = re.compile(r'":(?! )|%b[]}]')  # a key of an object as it is written, not as prose has it
    found = {
        f"{module}:{line}"
        for module in modules("app", "projections", "consumers")
        if module not in owners
        for line, text in texts(module)
        if glued.search(text)
    }
    assert found == set()


def test_nobody_goes_by_the_clock_of_a_machine() -> None:
    """Time in the product is the database's: see ``projections.clock``. A log line is of its process, the demo makes up its past,
    ``dev`` greets whoever sits at the machine, and brokers compare a record's time with their own."""
    owners = {"projections/clock.py", "app/logs.py", "app/dev/demo.py", "app/dev/welcome.py", "consumers/kafka_batches.py"}
    reads = re.compile(r"\b(datetime\.now|utcnow|date\.today|time\.time|time_ns)\(")
    assert [str(module) for module in modules() if str(module) not in owners and reads.search((ROOT / module).read_text())] == []


def test_every_connection_to_the_database_has_its_bounds() -> None:
    """Who opens one past ``projections.connections`` waits for a silent database for ever, and takes on a role after it."""
    opens = re.compile(r"\b(psycopg|(Async)?(Connection|Bounded))\.connect\(|\"SET ROLE")
    assert [str(module) for module in modules() if opens.search((ROOT / module).read_text())] == ["projections/connections.py"]


def test_what_hangs_on_the_application_has_a_type() -> None:
    """``app.state`` is ``Any`` to mypy: each of the two that are there has its accessor."""
    reads = re.compile(r"\bapp\.state\.")
    owners = ["app/http/shared.py", "app/resources/webhook_requests.py"]
    assert [str(module) for module in modules("app") if reads.search((ROOT / module).read_text())] == owners


def test_events_are_folded_in_one_place() -> None:
    """Who folds them elsewhere has another idea of what was before an event."""
    folds = re.compile(r"\.evolve\(")
    assert [str(module) for module in modules() if folds.search((ROOT / module).read_text())] == ["domain/fold.py"]


def test_files_are_named_for_a_subject() -> None:
    """A file named for a kind of code gathers what belongs to many subjects."""
    assert [str(module) for module in modules() if {module.stem, module.parent.name} & KINDS] == []


def test_every_module_says_what_it_holds() -> None:
    assert [str(module) for module in modules() if not ast.get_docstring(tree(module))] == []


def test_a_file_is_one_subject_long() -> None:
    """What is longer is two subjects. Data that is only text does not count against it."""
    lengths = {str(module): (ROOT / module).read_text().count("\n") for module in modules()}
    assert {module: lines for module, lines in lengths.items() if lines > LONGEST} == {}
    assert median(lines for lines in lengths.values() if lines > 1) <= MEDIAN  # a line alone is a package's docstring


def test_a_function_fits_on_a_page() -> None:
    """What is longer does several things one after the other, and each of them has a name."""
    lengths = {
        f"{module}:{node.lineno}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}
    assert median(lengths.values()) <= MEDIAN_FUNCTION


def test_a_folder_without_modules_is_no_package() -> None:
    """Each folder of the product is an importable package: what is not would be left out of the wheel's imports."""
    folders = {module.parent for module in modules()}
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []
