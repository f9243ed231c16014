"""Alerts and dashboard against the product: every metric and label that they use is one that ``/metrics`` exports."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.process.children import wait_until
from consumers import checkpoints
from tests.support import postgres
from tests.support.processes import ROOT
from tests.support.server import Client, serving

ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/opportunities.json").read_text())
TARGETS: list[dict[str, Any]] = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
OF_PROMETHEUS = {"up": {"job", "instance"}}
"""It adds these itself, and the labels ``job`` and ``instance`` to every series."""
WORDS = {"and", "or", "unless", "on", "by", "without", "ignoring", "offset", "bool", "group_left", "group_right", "le"}

SELECTOR = re.compile(r"([a-z_:][\w:]*)\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on|without|ignoring) \(([^)]*)\)")


def expressions() -> Iterator[tuple[str, str]]:
    yield from ((rule["alert"], rule["expr"]) for rule in ALERTS)
    yield from ((panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", ()))


def names(expression: str) -> set[str]:
    """The metrics of an expression: names that are neither a function nor a word of the language."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", GROUPING.sub(" ", expression))
    return {name for name, call in re.findall(r"(?<![\w.])([a-z_]\w*)\s*(\()?", bare) if not call and name not in WORDS}


def labels(expression: str) -> dict[str, set[str]]:
    """The labels that each metric of an expression is asked for, in its selector or in a grouping."""
    grouped = {name.strip() for names in GROUPING.findall(expression) for name in names.split(",")} - {""}
    return {
        metric: grouped | set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', selector)) for metric, selector in SELECTOR.findall(expression)
    }


@pytest.fixture(scope="module")
def exported(template_database: str) -> Iterator[dict[str, set[str]]]:
    """The series of ``/metrics``, once relay and webhooks have run and somebody has asked something, with the labels of each."""
    with postgres.database(template_database) as url, serving(url) as server, Client(server.port, None) as client:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            checkpoints.save_all(cursor, {checkpoints.RELAY: (0, {}), "webhooks/0": (0, {"lag": 0})})
            cursor.execute("INSERT INTO webhook_outcomes VALUES ('delivered', 1)")
        assert client.get("/api/accounts/").status == 401
        found: defaultdict[str, set[str]] = defaultdict(set)

        def complete() -> bool:
            for family in text_string_to_metric_families(client.get("/metrics").body.decode()):
                for sample in family.samples:
                    found[sample.name] |= sample.labels.keys() | {"job", "instance"}
            return "read_questions_total" in found  # what is measured of reads is published a few times a second

        assert wait_until(complete, 30)
        yield dict(found) | OF_PROMETHEUS


def test_every_metric_and_label_that_is_used_is_exported(exported: dict[str, set[str]]) -> None:
    used = {(place, name) for place, expression in expressions() for name in names(expression)}
    assert {(place, name) for place, name in used if name not in exported} == set()
    unknown = {
        (place, metric, label)
        for place, expression in expressions()
        for metric, asked in labels(expression).items()
        for label in asked
        if label not in exported[metric]
    }
    assert unknown == set()


def test_every_metric_of_ours_is_on_the_dashboard(exported: dict[str, set[str]]) -> None:
    """What nobody looks at need not be measured."""
    ours = re.compile(r"(?!.*_(created|sum)$)(http|read|write|relay|webhook|schema)_")
    shown = {name for target in TARGETS for name in names(target["expr"])}
    assert {name for name in exported if ours.match(name)} - shown == set()


def test_every_expression_looks_at_our_job_alone() -> None:
    for place, expression in expressions():
        selectors = SELECTOR.findall(expression)
        assert {name for name, _ in selectors} == names(expression), place
        assert all('job="opportunities"' in selector for _, selector in selectors), place


def test_the_dashboard_fixes_no_data_source_and_no_panel_twice() -> None:
    sources = {each["datasource"]["uid"] for each in [*DASHBOARD["panels"], *TARGETS] if "datasource" in each}
    assert sources == {"${datasource}"}
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_reader_of_expressions_sees_what_is_there() -> None:
    expression = 'sum by (lane, x) (rate(a_total{job="j", lane!~"b, c"}[5m])) / on () min(b_now{job="j"} offset 10m) > 0.5'
    assert names(expression) == {"a_total", "b_now"}
    assert labels(expression) == {"a_total": {"job", "lane", "x"}, "b_now": {"job", "lane", "x"}}
