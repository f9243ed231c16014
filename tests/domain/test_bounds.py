"""Every bound of the domain: taken at it, refused one beyond it, and named in the refusal. The numbers stand here once more on
purpose: a bound that moves is a change of the API.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from domain import (
    account,
    activity,
    contact,
    custom_field,
    opportunity,
    organization,
    pipeline,
    token,
    user,
    webhook_endpoint,
)
from domain.custom_field import Definition, Option
from domain.event import Command
from domain.pipeline import DEFAULT, LostReason, Stage
from domain.webhook_endpoint import WebhookFilters
from tests.support.domain import ACCOUNT, FACTS, Given, policy, uuid

MANY = tuple(uuid(1_000 + number) for number in range(101))
DEAL = uuid(500)
EVERYTHING = replace(FACTS, contacts=frozenset(MANY), opportunities=frozenset({DEAL}))
DEFINED = policy(
    Definition(key="site", label="Site", type="text"),
    Definition(key="notes", label="Notes", type="textarea"),
    Definition(key="modules", label="Modules", type="multiselect", options=tuple(map(str, range(200)))),
)


def deal(**fields: Any) -> Command:
    return opportunity.Create(**{"name": "A", "account_id": ACCOUNT, **fields})


def hook(**fields: Any) -> Command:
    return webhook_endpoint.Create(**{"url": "https://example.com", "events": ("opportunity.won",), **fields})


def hears(**filters: Any) -> Command:
    return hook(filters=WebhookFilters(**filters))


def stages(*more: Stage) -> Command:
    return pipeline.Replace(stages=(*DEFAULT.stages, *more))


def reasons(*reasons: LostReason) -> Command:
    return pipeline.Replace(stages=DEFAULT.stages, lost_reasons=reasons)


def field(**fields: Any) -> Command:
    return custom_field.Create(**{"key": "k", "label": "L", "type": "dropdown", "options": ("a",), **fields})


def line(length: int) -> str:
    return "x" * length


def keys(count: int) -> dict[str, Any]:
    return {f"k{number}": number for number in range(count)}


def texts(count: int) -> tuple[str, ...]:
    return tuple(f"k{number}" for number in range(count))


Make = Callable[[int], Command]
TEXTS: list[tuple[str, int, Make]] = [
    ("name", 255, lambda n: deal(name=line(n))),
    ("tags", 64, lambda n: deal(tags=(line(n),))),
    ("next_step", 255, lambda n: deal(next_step=line(n))),
    ("external_id", 255, lambda n: deal(external_id=line(n))),
    ("external_id", 255, lambda n: account.Create(name="A", external_id=line(n))),
    ("external_id", 255, lambda n: contact.Create(first_name="A", last_name="B", external_id=line(n))),
    ("lost_reason", 10_000, lambda n: deal(stage="lost", lost_reason=line(n))),
    ("custom_fields.site", 255, lambda n: deal(custom_fields={"site": line(n)})),
    ("custom_fields.notes", 10_000, lambda n: deal(custom_fields={"notes": line(n)})),
    ("name", 255, lambda n: account.Create(name=line(n))),
    ("domain", 255, lambda n: account.Create(name="A", domain=line(n))),
    ("first_name", 255, lambda n: contact.Create(first_name=line(n), last_name="B")),
    ("last_name", 255, lambda n: contact.Create(first_name="A", last_name=line(n))),
    ("phone", 255, lambda n: contact.Create(first_name="A", last_name="B", phone=line(n))),
    ("title", 255, lambda n: contact.Create(first_name="A", last_name="B", title=line(n))),
    ("subject", 255, lambda n: activity.Log(opportunity_id=DEAL, type="note", subject=line(n))),
    ("body", 10_000, lambda n: activity.Log(opportunity_id=DEAL, type="note", subject="A", body=line(n))),
    ("name", 255, lambda n: user.Create(email="a@b.example", name=line(n))),
    ("name", 255, lambda n: organization.Create(name=line(n))),
    ("name", 255, lambda n: token.Issue(name=line(n), hash="9f" * 32)),
    ("key", 64, lambda n: field(key=line(n))),
    ("label", 255, lambda n: field(label=line(n))),
    ("options", 255, lambda n: field(options=(line(n),))),
    ("options", 255, lambda n: field(options=(Option("a", line(n)),))),
    ("stages.6.key", 64, lambda n: stages(Stage(line(n), "A", "open"))),
    ("stages.6.label", 255, lambda n: stages(Stage("a", line(n), "open"))),
    ("lost_reasons.0.code", 64, lambda n: reasons(LostReason(line(n), "A"))),
    ("lost_reasons.0.label", 255, lambda n: reasons(LostReason("a", line(n)))),
    ("url", 2_048, lambda n: hook(url="https://example.com/".ljust(n, "x"))),
    ("description", 255, lambda n: hook(description=line(n))),
    ("filters.stage", 64, lambda n: hears(stage=(line(n),))),
    ("filters.custom_fields", 255, lambda n: hears(custom_fields={line(n): 1})),
]
COUNTS: list[tuple[str, int, Make]] = [
    ("stakeholder_ids", 100, lambda n: deal(stakeholder_ids=MANY[:n])),
    ("tags", 50, lambda n: deal(tags=texts(n))),
    ("custom_fields", 100, lambda n: deal(custom_fields=keys(n))),
    ("custom_fields", 100, lambda n: account.Create(name="A", custom_fields=keys(n))),
    ("options", 200, lambda n: field(options=texts(n))),
    ("stages", 50, lambda n: stages(*(Stage(f"s{number}", "A", "open") for number in range(n - 6)))),
    ("lost_reasons", 100, lambda n: reasons(*(LostReason(f"r{number}", "A") for number in range(n)))),
    ("filters.stage", 100, lambda n: hears(stage=texts(n))),
    ("filters.owner", 100, lambda n: hears(owner=MANY[:n])),
    ("filters.currency", 100, lambda n: hears(currency=("USD",) * n)),
    ("filters.custom_fields", 100, lambda n: hears(custom_fields=keys(n))),
    ("filters.custom_fields", 100, lambda n: hears(custom_fields={"k": list(range(n))})),
]


@pytest.mark.parametrize(("path", "most", "make"), TEXTS + COUNTS)
def test_a_bound_is_taken_at_it_and_refused_one_beyond_it_with_its_number(path: str, most: int, make: Make) -> None:
    given = Given(by="admin", facts=EVERYTHING, policy=DEFINED)
    assert given.when(make(most)).events
    ((refused, (message,)),) = Given(by="admin", facts=EVERYTHING, policy=DEFINED).refused(make(most + 1)).items()
    assert refused == path
    assert str(most) in message


def test_a_key_that_nobody_defined_has_64_characters_at_most() -> None:
    assert Given(by="admin").when(deal(custom_fields={line(64): 1})).events
    assert set(Given(by="admin").refused(deal(custom_fields={line(65): 1}))) == {f"custom_fields.{line(64)}"}


def test_so_many_options_can_be_chosen_as_there_can_be() -> None:
    chosen = [str(number) for number in range(200)]
    given = Given(by="admin", policy=DEFINED)
    assert given.when(deal(custom_fields={"modules": chosen})).events
    (message,) = Given(by="admin", policy=DEFINED).refused(deal(custom_fields={"modules": [*chosen, "0"]}))["custom_fields.modules"]
    assert "200" in message


def test_a_host_has_253_characters_at_most_and_each_part_63() -> None:
    for parts, taken in (((63, 63, 63, 61), True), ((63, 63, 63, 62), False), ((64, 3), False)):
        given = Given(by="admin")
        url = f"https://{'.'.join(map(line, parts))}/"
        if taken:
            assert given.when(hook(url=url)).events
        else:
            assert set(given.refused(hook(url=url))) == {"url"}


@pytest.mark.parametrize(("probability", "taken"), [(-1, False), (0, True), (100, True), (101, False)])
def test_a_probability_is_from_0_to_100(probability: int, *, taken: bool) -> None:
    for make, path in (
        (deal(probability=probability), "probability"),
        (stages(Stage("x", "X", "open", probability)), "stages.6.probability"),
    ):
        given = Given(by="admin")
        if taken:
            assert given.when(make).events
        else:
            assert set(given.refused(make)) == {path}


# What a body may list is counted while it is decoded, before anything looks at the items.
LISTS: list[tuple[type[Command], str, int]] = [
    *((command, "stakeholder_ids", 100) for command in (opportunity.Create, opportunity.Update, opportunity.Replace)),
    *((command, "tags", 50) for command in (opportunity.Create, opportunity.Update, opportunity.Replace, opportunity.ChangeStage)),
    (opportunity.ChangeStage, "stakeholder_ids", 100),
    (opportunity.ChangeStage, "stakeholder_external_ids", 100),
    (custom_field.Create, "options", 200),
    (custom_field.Update, "options", 200),
    (webhook_endpoint.Create, "events", 100),
    (webhook_endpoint.Update, "events", 100),
    (pipeline.Replace, "stages", 50),
    (pipeline.Replace, "lost_reasons", 100),
]
ITEMS: dict[str, Any] = {
    "stakeholder_ids": str(ACCOUNT),
    "stakeholder_external_ids": "a",
    "tags": "a",
    "options": "a",
    "events": "opportunity.won",
    "stages": ["a", "A", "open"],
    "lost_reasons": ["a", "A"],
}
MAPS: list[tuple[type[Command], str, int]] = [
    *((command, "custom_fields", 100) for command in (opportunity.Create, opportunity.Update, opportunity.Replace)),
    (opportunity.ChangeStage, "custom_fields", 100),
    (account.Create, "custom_fields", 100),
    (account.Update, "custom_fields", 100),
    (account.Replace, "custom_fields", 100),
    (pipeline.Replace, "transitions", 50),
]


def decoded(command: type[Command], name: str, value: Any) -> Any:
    (annotation,) = [one.type for one in msgspec.structs.fields(command) if one.name == name]
    return msgspec.convert(value, annotation)


@pytest.mark.parametrize(("command", "name", "most"), LISTS, ids=lambda value: getattr(value, "__qualname__", str(value)))
def test_a_list_is_counted_while_it_is_decoded(command: type[Command], name: str, most: int) -> None:
    item = ITEMS[name]
    value = dict(zip(("key", "label", "type"), item, strict=False)) if name == "stages" else item
    value = dict(zip(("code", "label"), item, strict=True)) if name == "lost_reasons" else value
    assert len(decoded(command, name, [value] * most)) == most
    with pytest.raises(msgspec.ValidationError, match=f"<= {most}"):
        decoded(command, name, [value] * (most + 1))


@pytest.mark.parametrize(("command", "name", "most"), MAPS, ids=lambda value: getattr(value, "__qualname__", str(value)))
def test_an_object_is_counted_while_it_is_decoded(command: type[Command], name: str, most: int) -> None:
    assert len(decoded(command, name, {key: ["a"] for key in texts(most)})) == most
    with pytest.raises(msgspec.ValidationError, match=f"<= {most}"):
        decoded(command, name, {key: ["a"] for key in texts(most + 1)})
