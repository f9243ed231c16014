"""The alerts: as promtool reads and tests them, each with a state that sets it off, and with a section of the runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_metrics_used import ALERTS, TARGETS
from tests.rules.test_documents import slug
from tests.support.processes import ROOT

FOLDER = ROOT / "deploy/prometheus"
CASES: dict[str, Any] = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())
RUNBOOK = (ROOT / "docs/runbook.md").read_text()

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian: apt-get install prometheus)")


def run(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@promtool
def test_prometheus_reads_the_alerts() -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in run("check", "rules", "alerts.yml")


@promtool
def test_the_alerts_go_off_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in run("test", "rules", "alerts.test.yml")


@promtool
def test_prometheus_reads_what_the_dashboard_asks(tmp_path: Path) -> None:
    expressions = [target["expr"].replace("$__rate_interval", "5m") for target in TARGETS]
    rules = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in run("check", "rules", str(tmp_path / "rules.yml"))


def test_every_alert_has_a_state_that_sets_it_off() -> None:
    expected = re.findall(r"alertname=\"(\w+)\"", " ".join(
        sample["labels"] for case in CASES["tests"] for test in case["promql_expr_test"] for sample in test["exp_samples"]
    ))  # fmt: skip
    assert set(expected) == {rule["alert"] for rule in ALERTS}


def test_every_alert_has_its_section_of_the_runbook_and_no_section_is_of_none() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE) == names
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{slug(rule['alert'])}"
    sections = re.split(r"^###? .+$", RUNBOOK, flags=re.MULTILINE)
    assert all(len(section.split()) > 20 for section in sections[1:] if section.strip())


def test_every_alert_says_whom_it_is_for_and_what_is_the_matter() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "runbook"}
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
