"""Whatever the OpenAPI document allows, sent to records that are there, is answered as the document says.

``tests/app/test_schema.py`` makes up ids as well, and so seldom gets past a 404; here every id leads to a record, in
whatever state deals can be, so that what is made up reaches the rules and the SQL behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from app.main import create_app
from app.schema import openapi
from app.settings import Settings
from tests.support.scenarios import OPPORTUNITIES, Json, Org, made

EXAMPLES = 8
MANY_EXAMPLES = 500

DOCUMENT: Json = msgspec.json.decode(
    msgspec.json.encode(openapi.document(create_app(Settings(database_url="postgresql://nowhere/none"))))
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)}
# A 400 is right for what no schema can say (a rule of the org, two parameters that do not go together).
CHECKS = [
    schemathesis.checks.CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


def test_the_document_is_openapi_3_1() -> None:
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)] == []


class Records:
    """Records of an org for made-up requests to be about. A deal is used once, for the request may be its end."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.kept: dict[str, str] = {}
        made(org.admin.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"}), 200)
        self.account, self.contact, self.user = org.account()["id"], org.contact()["id"], org.user("manager")["id"]
        self.kinds = cycle(("open", "won", "lost", "deleted", "bare"))
        for _ in range(5):
            self.deal()

    def deal(self) -> str:
        kind = next(self.kinds)
        fields: Json = {"account_id": self.account}
        if kind != "bare":
            fields |= {
                "amount": "1000",
                "currency": "EUR",
                "close_date": "2026-06-30",
                "tags": ["a"],
                "stakeholder_ids": [self.contact],
                "custom_fields": {"tier": "gold", "free": {"a": [1]}},
            }
        if kind == "won":
            fields |= {"stage": "won", "actual_amount": 900, "actual_close_date": "2026-05-05"}
        if kind == "lost":
            fields |= {"stage": "lost", "lost_reason": "price"}
        record = self.org.opportunity(**fields)
        if kind == "open":
            made(self.org.admin.post(f"{OPPORTUNITIES}{record['id']}/activities/", {"type": "note", "subject": "x"}))
        if kind == "deleted":
            self.org.admin.delete(f"{OPPORTUNITIES}{record['id']}/")
        return str(record["id"])

    def id_for(self, path: str) -> str:
        match path.split("/")[2]:
            case "opportunities":
                return self.deal()
            case "accounts":
                return str(self.org.account()["id"])
            case "contacts":
                return str(self.org.contact()["id"])
            case "users":
                return str(self.user)
            case "tokens":
                return str(made(self.org.admin.post("/api/tokens/", {"name": "x", "user_id": self.user}))["id"])
            case "webhooks":
                return self.until_gone("/api/webhooks/", self.endpoint)
        return self.until_gone("/api/custom-fields/", self.field)

    def field(self) -> str:
        return str(self.org.custom_field("tier", "dropdown", options=["gold", "silver"])["key"])

    def endpoint(self) -> str:
        body = {"url": "https://hooks.example.com/x", "events": ["opportunity.won"]}
        return str(made(self.org.admin.post("/api/webhooks/", body))["id"])

    def until_gone(self, path: str, make: Callable[[], str]) -> str:
        """The same record for as long as it is there: an org has only so many of these."""
        if path not in self.kept or self.org.admin.get(f"{path}{self.kept[path]}/").status == 404:
            self.kept[path] = make()
        return self.kept[path]

    def fill(self, case: Any) -> None:
        """Give a made-up request ids of records, and take preconditions from it that would only end it early."""
        for name in case.path_parameters:
            case.path_parameters[name] = self.id_for(case.path)
        for name in ("If-Match", "Idempotency-Key"):
            case.headers.pop(name, None)
        if isinstance(case.body, dict):
            for name, id_ in [("account_id", self.account), ("owner_id", self.user), ("user_id", self.user)]:
                if case.body.get(name):
                    case.body[name] = id_
            if case.body.get("stakeholder_ids"):
                case.body["stakeholder_ids"] = [self.contact]


def exercise(org: Org, label: str, examples: int) -> None:
    records = Records(org)
    operation = OPERATIONS[label]
    url = f"http://127.0.0.1:{org.server.port}"

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def ask(case: Any) -> None:
        records.fill(case)
        case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {org.token}"}, checks=CHECKS)

    ask()


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_operation_on_records_that_are_there(org: Org, label: str) -> None:
    exercise(org, label, EXAMPLES)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_operation_at_length(org: Org, label: str) -> None:
    exercise(org, label, MANY_EXAMPLES)
