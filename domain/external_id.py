"""External ids: what other systems call a deal, an account or a contact, and by which commands may name them.

A text that is compared exactly, and that one live record of a kind has in an org. A deleted record keeps its own, and another may
take it meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from domain.adoption import Adopt
from domain.errors import Conflict, Errors
from domain.facts import Facts, Named
from domain.fields import MAX_EMAIL, MAX_STAKEHOLDERS, Line, line_error
from domain.text import caseless, normal

ExternalId = Line
ExternalIds = Annotated[tuple[ExternalId, ...], Meta(max_length=MAX_STAKEHOLDERS)]


def named(kind: str, *texts: str | UnsetType | None) -> frozenset[Named]:
    """The records of a kind with these external ids; values that are none are skipped."""
    return frozenset((kind, normal(text)) for text in texts if isinstance(text, str))


def of_events(kind: str, command: Adopt) -> frozenset[Named]:
    """All that a record with a past was ever called."""
    given = (getattr(getattr(one.event, "changes", one.event), "external_id", None) for one in command.happened)
    return named(kind, *given)


def address(email: str | UnsetType | None) -> frozenset[str]:
    """An email address in the form that is looked up; a value that is none is skipped."""
    return frozenset([caseless(normal(email))]) if isinstance(email, str) else frozenset()


def require_free(kind: str, text: str | None, id_: UUID | None, facts: Facts) -> None:
    """Raises ``Conflict`` if another live record than ``id_``, which is None before it is created, has the external id."""
    holder = facts.named.get((kind, text)) if text is not None else None
    if holder is not None and holder != id_:
        raise Conflict(
            "external_id_taken",
            f"Another {kind}, {holder}, has the external id {text!r}: change that one, or give it another external id first.",
            holder=str(holder),
        )


def resolve(wanted: dict[str, Any], fields: Mapping[str, str], errors: Errors, facts: Facts) -> None:
    """Put ids in the place of the names that are wanted. ``fields`` has for each field with names the one with the ids."""
    for name, field in fields.items():
        given = wanted.pop(name, UNSET)
        if given is UNSET:
            continue
        if field in wanted:
            errors[name] = [f"Send {field} or {name}, not both."]
        elif given is None:
            wanted[field] = None
        elif name == "owner_email":
            found = facts.by_email.get(caseless(normal(given)))
            _set(wanted, field, found, name, f"There is no active user {given[:MAX_EMAIL]!r}.", errors)
        elif isinstance(given, str):
            _set(wanted, field, facts.named.get(("account", normal(given))), name, _missing("account", given), errors)
        else:
            _resolve_all(wanted, field, given, name, errors, facts)


def _set(wanted: dict[str, Any], field: str, found: UUID | None, name: str, missing: str, errors: Errors) -> None:
    if found is None:
        errors[name] = [missing]
    else:
        wanted[field] = found


def _resolve_all(wanted: dict[str, Any], field: str, given: tuple[str, ...], name: str, errors: Errors, facts: Facts) -> None:
    ids = [facts.named.get(("contact", normal(text))) for text in given]
    missing = [text for text, id_ in zip(given, ids, strict=True) if id_ is None]
    if missing:
        errors[name] = [_missing("contact", missing[0])]
    else:
        wanted[field] = tuple(ids)


def _missing(kind: str, text: str) -> str:
    return line_error(text) or f"There is no {kind} with the external id {text!r}."
