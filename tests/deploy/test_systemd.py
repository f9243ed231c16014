"""The systemd units: as systemd reads them, with verbs that exist, few rights, and time to stop."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from app import settings
from app.cli import main
from tests.support.processes import ROOT

FOLDER = ROOT / "deploy/systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
PROGRAM = "/opt/opportunities/bin/opportunities"
MOST_EXPOSED = 2.0
"""Of 10, as ``systemd-analyze security`` counts; up to 2.5 it says OK."""

systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def unit(name: str) -> ConfigParser:
    read = ConfigParser(interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string((FOLDER / name).read_text())
    return read


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with the program where it is here."""
    program = Path(sys.executable).with_name("opportunities")
    for path in FOLDER.glob("*.*"):
        if path.suffix in (".service", ".target"):
            (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, str(program)))
    return tmp_path


@systemd
def test_systemd_reads_the_units_without_a_word(installed: Path) -> None:
    names = [f"./{path.name}" for path in sorted(installed.iterdir())]
    done = analyze("verify", "--man=no", *names, folder=installed)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    misspelt = installed / "opportunities-api.service"
    misspelt.write_text(misspelt.read_text().replace("RestartSec", "RestartSecs"))
    assert "RestartSecs" in analyze("verify", "--man=no", f"./{misspelt.name}", folder=installed).stderr


@systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_a_unit_little_exposed(installed: Path, name: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", f"./{name}", folder=installed)
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_runs_a_verb_as_a_user_without_rights(name: str) -> None:
    service = unit(name)["Service"]
    program, verb, *options = service["ExecStart"].split()
    assert program == PROGRAM
    main.verb(verb).make_context(verb, options)
    assert service["User"] == "opportunities"
    assert (service["NoNewPrivileges"], service["CapabilityBoundingSet"], service["ProtectSystem"]) == ("yes", "", "strict")
    assert service["EnvironmentFile"] == "/etc/opportunities/environment"


def test_what_runs_comes_back_and_is_given_the_time_to_stop() -> None:
    longest = settings.load({"DATABASE_URL": "postgresql://nowhere/none"}).shutdown_timeout_s
    running = [name for name in UNITS if unit(name)["Service"].get("Type") != "oneshot"]
    assert unit("opportunities.target")["Unit"]["Wants"].split() == running
    for name in running:
        service = unit(name)["Service"]
        assert service["Restart"] == "always"
        assert int(service["TimeoutStopSec"]) > longest
        assert unit(name)["Unit"]["PartOf"] == "opportunities.target"
        assert unit(name)["Unit"]["StartLimitIntervalSec"] == "0", "it is tried again for as long as the database is away"


def test_nothing_migrates_by_itself() -> None:
    """A process of an older version that comes back must not take the read models back from the newer one."""
    assert [name for name in UNITS if "migrate" in unit(name)["Service"]["ExecStart"]] == ["opportunities-migrate.service"]
    text = "".join((FOLDER / name).read_text() for name in (*UNITS, "opportunities.target"))
    assert "migrate.service" not in text
