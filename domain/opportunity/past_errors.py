"""What is wrong with an event of a deal that is taken over: its kind, its values, and what it names."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from domain import adoption, custom_value
from domain.errors import Errors
from domain.fields import MAX_STAKEHOLDERS, key_error, limit_errors, line_error, tags_error
from domain.money import amount_error
from domain.opportunity.commands import Create
from domain.opportunity.events import Changing, Created, Lost, Reopened, StageChanged, State, Updated, Won
from domain.pipeline import MAX_CODE, REQUIRED_BY_TYPE
from domain.policy import PolicyContext

AMOUNTS = ("amount", "actual_amount")


def move_errors(before: State | None, happened: Changing, new: dict[str, Any], after: dict[str, Any]) -> Errors:
    """The kind of an event must be what it does to the stage and the status."""
    was, is_ = before.status if before is not None else None, after["status"]
    fits = {
        Created: True,
        StageChanged: is_ == was,
        Won: is_ == "won",
        Lost: is_ == "lost",
        Reopened: is_ == "open" and was != "open",
        Updated: "status" not in new,
    }
    if not fits[type(happened)] or ("stage" in new) == isinstance(happened, Updated):
        return {"stage": [f"{type(happened).__name__} does not fit a change from {was} to {is_}, stage {after['stage']!r}."]}
    return {name: [f"A {is_} deal needs this."] for name in REQUIRED_BY_TYPE[is_] if after.get(name) is None}


def value_errors(before: State | None, new: dict[str, Any], after: dict[str, Any]) -> Errors:
    errors = limit_errors(new, Create)
    if message := key_error(after["stage"]):
        errors["stage"] = [message]
    if isinstance(code := new.get("lost_reason_code"), str) and (message := line_error(code, MAX_CODE)):
        errors["lost_reason_code"] = [message]
    if message := tags_error(new.get("tags", ())):
        errors["tags"] = [message]
    if "currency" not in errors:
        for name in AMOUNTS:
            value: Decimal | None = after.get(name)
            if value is not None and (wrong := amount_error(value, after["currency"])):
                errors[name] = [wrong]
    return errors | custom_value.history_errors(before.custom_fields if before is not None else None, new.get("custom_fields", {}))


def reference_errors(new: dict[str, Any], context: PolicyContext) -> Errors:
    stakeholders = new.get("stakeholder_ids", ())
    found = {
        "account_id": adoption.missing("account", [new.get("account_id")], context),
        "owner_id": adoption.missing("user", [new.get("owner_id")], context),
        "stakeholder_ids": adoption.missing("contact", stakeholders, context),
    }
    if len(stakeholders) > MAX_STAKEHOLDERS:
        found["stakeholder_ids"] = [f"At most {MAX_STAKEHOLDERS} stakeholders; got {len(stakeholders)}."]
    return {name: messages for name, messages in found.items() if messages}
