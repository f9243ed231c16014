"""Another org sees nothing: on every path of the API, and, with the application's own filters taken away, by the database.

The paths are those of the application itself, and the statements those that it runs, so what is added is covered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg
import pytest
from litestar.routes import HTTPRoute

from app.reading.read_pool import Identity, ReadPool
from app.writing.committer import Committer
from projections.questions import OTHER, Question
from tests.support import postgres
from tests.support.commands import Company, log
from tests.support.inprocess import InProcess, running
from tests.support.server import Reply

Statement = tuple[str, dict[str, Any]]


class Listening(ReadPool):
    """Connections for reading that remember what was asked of them."""

    heard: dict[tuple[UUID, str], Statement]

    async def rows(
        self, identity: Identity, text: str, params: Mapping[str, Any], question: Question = OTHER
    ) -> list[tuple[Any, ...]]:
        self.heard[identity.org_id, text] = text, dict(params)
        return await super().rows(identity, text, params, question)


@dataclass
class Tenant:
    """An org with something of everything. Its word is in every text it has."""

    word: str
    id: UUID
    token: str
    process: InProcess
    ids: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return self.process.request(method, path, body, token=self.token, **headers)

    def make(self, kind: str, path: str, body: Any, status: int = 201) -> str:
        reply = self.ask("POST", path, body)
        assert reply.status == status, reply.body
        self.ids[kind] = reply.json()["id"]
        return self.ids[kind]

    def fill(self) -> None:
        word = self.word
        user = self.make("user", "/api/users/", {"email": f"{word}@rep.com", "name": word, "role": "rep"})
        self.make("token", "/api/tokens/", {"name": word, "user_id": user})
        account = self.make("account", "/api/accounts/", {"name": word, "domain": f"{word}.com"})
        person = {"first_name": word, "last_name": word, "email": f"{word}@person.com", "account_id": account}
        contact = self.make("contact", "/api/contacts/", person)
        for method, path, body in (
            ("POST", "/api/custom-fields/", {"key": f"{word}_field", "label": word, "type": "text"}),
            ("PUT", "/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.08"}),
            ("PATCH", "/api/organization/", {"name": word}),
        ):
            assert self.ask(method, path, body).status in (200, 201)
        deal = {
            "name": word,
            "account_id": account,
            "owner_id": user,
            "stakeholder_ids": [contact],
            "amount": "1000",
            "close_date": "2026-05-01",
            "tags": [word],
            "custom_fields": {f"{word}_field": word},
        }
        for kind in ("opportunity", "won", "lost", "deleted"):
            self.make(kind, "/api/opportunities/", deal)
        path = "/api/opportunities/"
        self.make("activity", f"{path}{self.ids['opportunity']}/activities/", {"type": "call", "subject": word})
        closing = {"stage": "won", "actual_amount": "900", "actual_close_date": "2026-05-02"}
        assert self.ask("POST", f"{path}{self.ids['won']}/transition/", closing).status == 200
        losing = {"stage": "lost", "lost_reason": word}
        assert self.ask("POST", f"{path}{self.ids['lost']}/transition/", losing).status == 200
        assert self.ask("DELETE", f"{path}{self.ids['deleted']}/").status == 204
        endpoint = {"url": f"https://hooks.example.com/{word}", "events": ["opportunity.won"], "description": word}
        hook = self.make("endpoint", "/api/webhooks/", endpoint)
        self.make("delivery", f"/api/webhooks/{hook}/test/", None, 202)


@dataclass
class World:
    url: str
    process: InProcess
    ours: Tenant
    theirs: Tenant
    heard: dict[tuple[UUID, str], Statement]

    def secrets(self) -> list[bytes]:
        """What only the other org may see."""
        return [self.theirs.word.encode(), *(id_.encode() for id_ in self.theirs.ids.values())]

    def leaks(self, told: bytes) -> list[bytes]:
        return [secret for secret in self.secrets() if secret in told]


@pytest.fixture(scope="module")
def world(template_database: str) -> Iterator[World]:
    heard: dict[tuple[UUID, str], Statement] = {}
    with (
        postgres.database(template_database) as url,
        closing(Committer(url)) as committer,
        running(url) as process,
    ):
        listening = Listening(url)
        listening.heard = heard
        own, process.app.shared.read_pool = process.app.shared.read_pool, listening
        tenants = []
        for word in ("ours", "theirs"):
            company = Company(committer, word)
            tenant = Tenant(f"{word}x", company.id, company.admin.token, process)
            tenant.ids = {
                "admin": str(company.admin.actor.user_id),
                "admin's token": str(company.admin.token_id),
                "first account": str(company.account_id),
                "org": str(company.id),
            }
            tenant.fill()
            tenants.append(tenant)
        ours, theirs = tenants
        yield World(url, process, ours, theirs, heard)
        process.wait(listening.close())
        process.app.shared.read_pool = own  # which closes with the process


def routes(process: InProcess, *, writing: bool) -> list[tuple[str, str, Any]]:
    """(verb, path template, example of a body) of every operation of the API."""
    found = []
    for route in process.app.routes:
        if not isinstance(route, HTTPRoute) or not route.path.startswith("/api/"):
            continue
        for handler in route.route_handlers:
            if (operation := handler.opt.get("operation")) is None:
                continue
            methods = handler.http_methods - {"HEAD", "OPTIONS"}
            found += [(each, route.path, operation.body_example) for each in methods if (each == "GET") != writing]
    return sorted(found, key=lambda one: one[:2])


def paths(template: str, tenant: Tenant) -> list[str]:
    """The paths of a template with every id the tenant has, and some it does not."""
    if "{delivery_id:uuid}" in template:
        template = template.replace("{id:uuid}", tenant.ids["endpoint"]).replace("delivery_id", "id")
    if "{id:uuid}" in template:
        return [template.replace("{id:uuid}", id_) for id_ in [*tenant.ids.values(), str(uuid4())]]
    if "{key:str}" in template:
        return [template.replace("{key:str}", f"{tenant.word}_field")]
    assert "{" not in template, f"which {template} are there of another org?"
    return [template]


def test_every_id_of_an_org_finds_something_of_its_own(world: World) -> None:
    """So that what is not found below is not found because it is another org's."""
    found = set()
    for method, template, _ in routes(world.process, writing=False):
        if "{" in template:
            for path in paths(template, world.theirs):
                if world.theirs.ask(method, path).status == 200:
                    found |= {kind for kind, id_ in world.theirs.ids.items() if id_ in path}
    assert found >= {"user", "account", "contact", "opportunity", "won", "lost", "deleted", "endpoint", "delivery"}


def test_no_get_path_finds_a_record_of_another_org(world: World) -> None:
    asked = 0
    for method, template, _ in routes(world.process, writing=False):
        if "{" in template:
            for path in paths(template, world.theirs):
                reply = world.ours.ask(method, path)
                assert reply.status == 404, path
                assert [secret for secret in world.leaks(reply.body) if secret not in path.encode()] == [], path
                asked += 1
    assert asked > 80


def test_no_collection_shows_anything_of_another_org(world: World) -> None:
    for _, template, _ in routes(world.process, writing=False):
        if "{" not in template:
            query = "?from=2020-01-01T00:00:00Z" if "/forecast/changes" in template else ""
            reply = world.ours.ask("GET", template + query)
            assert reply.status == 200, (template, reply.body)
            assert not world.leaks(reply.body), template


QUERIES = [
    "owner={user}",
    "owner={word}%40rep.com",
    "account={account}",
    "search={word}",
    "tags={word}",
    "tags__all={word}",
    "cf_{word}_field={word}",
    "cf_{word}_field__icontains={word}",
    "cf_{word}_field__isnull=false",
    "as_of={now}&account={account}",
    "as_of={now}&search={word}",
    "cursor=&owner={user}",
    "limit=200&offset=0&owner={user}&stage=won",
]


@pytest.mark.parametrize("query", QUERIES)
def test_no_filter_finds_a_deal_of_another_org(world: World, query: str) -> None:
    filled = query.format(word=world.theirs.word, now=quote(now_of(world)), **world.theirs.ids)
    path = f"/api/opportunities/?{filled}"
    assert world.theirs.ask("GET", path).json()["count"] > 0
    reply = world.ours.ask("GET", path)
    assert reply.status == 200
    assert (reply.json()["count"], reply.json()["results"]) == (0, [])


@pytest.mark.parametrize("group", ["", "&group_by=owner", "&group_by=account", "&group_by=tag"])
def test_no_forecast_counts_a_deal_of_another_org(world: World, group: str) -> None:
    for query in (
        f"owner={world.theirs.ids['user']}",
        f"account={world.theirs.ids['account']}",
        f"tags={world.theirs.word}",
    ):
        path = f"/api/opportunities/forecast/?{query}{group}"
        assert sum(month["count"] for month in world.theirs.ask("GET", path).json()["months"]) > 0
        reply = world.ours.ask("GET", path)
        assert reply.status == 200
        assert all(month["count"] == 0 for month in reply.json()["months"])
        assert not world.leaks(reply.body)
    plain = f"/api/opportunities/forecast/?{group.removeprefix('&')}"
    ours, theirs = (tenant.ask("GET", plain).json()["months"] for tenant in (world.ours, world.theirs))
    assert [month["count"] for month in ours] == [month["count"] for month in theirs] == [2]


@pytest.mark.parametrize("group", ["", "&group_by=owner"])
def test_no_waterfall_has_a_deal_of_another_org(world: World, group: str) -> None:
    for query in (
        f"owner={world.theirs.ids['user']}",
        f"account={world.theirs.ids['account']}",
        f"tags={world.theirs.word}",
        f"search={world.theirs.word}",
    ):
        asked = f"from=2020-01-01T00:00:00Z&{query}"
        path = f"/api/opportunities/forecast/changes/?{asked}{group}"
        assert world.theirs.ask("GET", path).json()["total"]["unweighted"]["created"] > 0
        reply = world.ours.ask("GET", path)
        assert reply.status == 200
        assert not any(reply.json()["total"]["unweighted"].values())
        assert not world.leaks(reply.body)
        behind = f"/api/opportunities/forecast/changes/opportunities/?{asked}"
        assert (world.theirs.ask("GET", behind).json()["count"] > 0, world.ours.ask("GET", behind).json()["count"]) == (True, 0)


def test_a_cursor_of_another_org_walks_ones_own_list(world: World) -> None:
    page = world.theirs.ask("GET", "/api/opportunities/?cursor=&page_size=1").json()
    reply = world.ours.ask("GET", page["next"].removeprefix("http://test"))
    assert reply.status == 200
    assert not world.leaks(reply.body)


def test_no_write_path_reaches_a_record_of_another_org(world: World) -> None:
    before = log(world.url), deliveries(world)
    asked = 0
    for method, template, body in routes(world.process, writing=True):
        if "{id:uuid}" in template:
            for path in paths(template, world.theirs):
                for precondition in ({}, {"If_Match": '"1"'}, {"Idempotency_Key": uuid4().hex}):
                    reply = world.ours.ask(method, path, body, **precondition)
                    assert reply.status in (404, 400), (method, path, reply.body)
                    asked += 1
    assert asked > 300
    assert (log(world.url), deliveries(world)) == before


def deliveries(world: World) -> list[tuple[Any, ...]]:
    """What is queued for webhooks, which is not in the log."""
    with psycopg.connect(world.url) as connection:
        return connection.execute("SELECT d::text FROM webhook_deliveries d ORDER BY 1").fetchall()


def test_settings_that_are_changed_are_ones_own(world: World) -> None:
    before = {path: world.theirs.ask("GET", path).body for path in SETTINGS}
    for method, template, body in routes(world.process, writing=True):
        if "{" not in template and template in SETTINGS and method != "POST":
            assert world.ours.ask(method, template, body).status in (200, 201), template
    for method in ("PATCH", "DELETE"):
        path = f"/api/custom-fields/{world.theirs.word}_field/"
        assert world.ours.ask(method, path, {"label": "Taken"} if method == "PATCH" else None).status == 404
    assert {path: world.theirs.ask("GET", path).body for path in SETTINGS} == before


SETTINGS = ("/api/pipeline", "/api/exchange-rates", "/api/organization", "/api/custom-fields")


def test_no_body_may_name_a_record_of_another_org(world: World) -> None:
    ours, theirs = world.ours.ids, world.theirs.ids
    deal = {"name": "Deal", "account_id": ours["account"]}
    mine = f"/api/opportunities/{ours['opportunity']}/"
    attempts: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", "/api/opportunities/", deal | {"account_id": theirs["account"]}, "account_id"),
        ("POST", "/api/opportunities/", deal | {"owner_id": theirs["user"]}, "owner_id"),
        ("POST", "/api/opportunities/", deal | {"stakeholder_ids": [theirs["contact"]]}, "stakeholder_ids"),
        ("PATCH", mine, {"account_id": theirs["account"]}, "account_id"),
        ("PATCH", mine, {"owner_id": theirs["user"]}, "owner_id"),
        ("PATCH", mine, {"stakeholder_ids": [theirs["contact"]]}, "stakeholder_ids"),
        ("PUT", mine, deal | {"account_id": theirs["account"]}, "account_id"),
        ("PUT", mine, deal | {"owner_id": theirs["user"]}, "owner_id"),
        ("PUT", mine, deal | {"stakeholder_ids": [theirs["contact"]]}, "stakeholder_ids"),
        (
            "POST",
            f"{mine}transition/",
            {"stage": "proposal", "stakeholder_ids": [theirs["contact"]]},
            "stakeholder_ids",
        ),
        (
            "POST",
            "/api/contacts/",
            {"first_name": "A", "last_name": "B", "account_id": theirs["account"]},
            "account_id",
        ),
        ("PATCH", f"/api/contacts/{ours['contact']}/", {"account_id": theirs["account"]}, "account_id"),
        ("POST", "/api/tokens/", {"name": "token", "user_id": theirs["user"]}, "user_id"),
    ]
    before = log(world.url)
    for method, path, body, name in attempts:
        reply = world.ours.ask(method, path, body)
        assert reply.status == 400, (method, path, body, reply.body)
        named = body[name] if isinstance(body[name], str) else body[name][0]
        assert named in reply.json()["errors"][name][0]
        assert world.theirs.word.encode() not in reply.body
    assert log(world.url) == before


def test_the_key_of_another_orgs_request_is_free(world: World) -> None:
    replies = [
        tenant.ask("POST", "/api/accounts/", {"name": f"{tenant.word} account"}, Idempotency_Key="the-same")
        for tenant in (world.theirs, world.ours)
    ]
    assert [reply.status for reply in replies] == [201, 201]
    assert "idempotent-replayed" not in replies[1].headers
    assert not world.leaks(replies[1].body)


# The second belt

OWN_FILTER = re.compile(r"(\b\w+\.)?\borg_id = %\(org_id\)s")


class Freed(NamedTuple):
    """A statement without its filter by org, and as it was."""

    text: str
    whole: str
    params: dict[str, Any]


@pytest.fixture(scope="module")
def statements(world: World) -> list[Freed]:
    """Every statement that answers a GET of ours, with its filter by org taken away."""
    world.heard.clear()
    for method, template, _ in routes(world.process, writing=False):
        for path in paths(template, world.ours):
            world.ours.ask(method, path)
    for query in QUERIES:
        filled = query.format(word=world.ours.word, now=quote(now_of(world)), **world.ours.ids)
        world.ours.ask("GET", f"/api/opportunities/?{filled}")
    for query in (
        "forecast/?group_by=owner",
        f"forecast/?as_of={quote(now_of(world))}",
        f"forecast/?tags={world.ours.word}",
        "forecast/changes/?from=2020-01-01T00:00:00Z&expand=opportunities",
        "forecast/changes/opportunities/?from=2020-01-01T00:00:00Z",
        "forecast/changes/?from=2020-01-01T00:00:00Z&group_by=owner",
        f"forecast/changes/?from=2020-01-01T00:00:00Z&owner={world.ours.ids['user']}",
        f"forecast/changes/opportunities/?from=2020-01-01T00:00:00Z&search={world.ours.word}",
        "?page=2&page_size=1",
        "?cursor=&page_size=1",
    ):
        assert world.ours.ask("GET", f"/api/opportunities/{query}").status == 200
    heard = [statement for (org_id, _), statement in world.heard.items() if org_id == world.ours.id]
    found = [Freed(OWN_FILTER.sub("true", text), text, params) for text, params in heard]
    assert sum(one.text != one.whole for one in found) > 30
    return found


def told(connection: psycopg.Connection[Any], text: str, params: dict[str, Any]) -> bytes:
    return repr(connection.execute(text.encode(), params).fetchall()).encode()


def test_without_its_own_filters_the_application_would_show_another_org(world: World, statements: list[Freed]) -> None:
    """To whom the database shows everything; so the filters taken away are those that matter."""
    with psycopg.connect(world.url) as connection:
        leaking = [text for text, _, params in statements if world.leaks(told(connection, text, params))]
    assert len(leaking) > 6


def test_without_its_own_filters_the_application_still_sees_nothing_of_another_org(world: World, statements: list[Freed]) -> None:
    with psycopg.connect(world.url) as connection:
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(world.ours.id),))
        for text, whole, params in statements:
            freed = told(connection, text, params)
            assert not world.leaks(freed), text
            assert freed == told(connection, whole, params), text


def test_without_an_org_the_application_sees_nothing_at_all(world: World, statements: list[Freed]) -> None:
    tenants = world.ours, world.theirs
    secrets = [text.encode() for tenant in tenants for text in (tenant.word, *tenant.ids.values())]
    with psycopg.connect(world.url) as connection:
        readable = tables(connection)
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("SET ROLE opportunities_reader")
        for org in (None, ""):  # never set, and set and taken back
            if org is not None:
                connection.execute("SELECT set_config('app.org_id', %s, false)", (org,))
            for text, _, params in statements:
                seen = told(connection, text, params)
                assert not [secret for secret in secrets if secret in seen], text
            for table in readable:
                assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,), table


FINDING = {
    "opportunities_with_terms": "SELECT * FROM opportunities_with_terms(%(groups)s::jsonb, NULL, true)",
    "dated_opportunities_with_terms": "SELECT * FROM dated_opportunities_with_terms(%(groups)s::jsonb)",
    "count_opportunities_with_terms": "SELECT count_opportunities_with_terms(%(groups)s::jsonb)",
    "directory_with_terms": "SELECT * FROM directory_with_terms('account', %(groups)s::jsonb, 10, true)",
    "accounts_with_word": "SELECT * FROM accounts_with_word(%(groups)s::jsonb -> 0 ->> 'word')",
    "count_directory_with_terms": "SELECT count_directory_with_terms('contact', %(groups)s::jsonb)",
}
"""Functions that look with the owner's rights in the org of the connection."""
ELSEWHERE = {
    "identity_of", "lag_of", "log_gauges", "lost_history",
    "webhook_gauges", "webhook_deliveries_added", "webhook_deliveries_changed",
}  # fmt: skip
"""Those that look across orgs: for the holder of a token, for numbers of all orgs together, for the end of the log, and for the
queues of senders."""


def test_no_function_finds_a_record_of_another_org(world: World) -> None:
    with psycopg.connect(world.url, autocommit=True) as connection:
        rows = connection.execute("SELECT terms FROM opportunity_terms UNION ALL SELECT terms FROM directory_terms").fetchall()
        anything: list[dict[str, Any]] = [{"terms": [term for row in rows for term in row[0]]}]
        anything += [{"field": field, "word": "%"} for field in ("name", "account", "contact")]
        connection.execute("SET ROLE opportunities_reader")
        for org in (None, "", str(uuid4()), str(world.ours.id)):
            if org is not None:
                connection.execute("SELECT set_config('app.org_id', %s, false)", (org,))
            ours = org == str(world.ours.id)
            for name, text in FINDING.items():
                asked = [*anything, {"field": "name", "word": "%", "account": "%"}] if "opportunities" in name else anything
                found = [told(connection, text, {"groups": json.dumps([group])}) for group in asked]
                assert not [one for one in found if world.leaks(one)], name
                assert any(one not in (b"[]", b"[(0,)]") for one in found) == ours, (name, org)


def test_the_functions_that_have_the_owners_rights_are_known(world: World) -> None:
    with psycopg.connect(world.url) as connection:
        rows = connection.execute(
            """
            SELECT p.proname FROM pg_proc p
            WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
              AND has_function_privilege('opportunities_reader', p.oid, 'EXECUTE')
            """
        ).fetchall()
        helpers = connection.execute(
            """
            SELECT p.proname FROM pg_proc p
            WHERE p.pronamespace = 'public'::regnamespace AND p.proname ~ '^(terms_|index_words)'
              AND has_function_privilege('opportunities_reader', p.oid, 'EXECUTE')
            """
        ).fetchall()
    assert {row[0] for row in rows} == FINDING.keys() | ELSEWHERE
    assert helpers == []


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables with an org in them that the reader may read."""
    found = [
        row[0]
        for row in connection.execute(
            """
            SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id'
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
              AND has_table_privilege('opportunities_reader', c.oid, 'SELECT')
            """
        )
    ]
    assert {"opportunities_events", "opportunities", "directory", "idempotency"} <= set(found)
    return found


def test_every_table_with_an_org_has_its_rows_guarded(world: World) -> None:
    with psycopg.connect(world.url) as connection:
        unguarded = connection.execute(
            """
            SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id'
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
              AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
            """
        ).fetchall()
        plain = connection.execute(
            """
            SELECT c.relname FROM pg_class c
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
              AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id')
              AND has_table_privilege('opportunities_reader', c.oid, 'SELECT')
            """
        ).fetchall()
    assert unguarded == []
    assert sorted(plain) == [("forecast_fold",), ("log_epochs",), ("read_models",)]


def now_of(world: World) -> str:
    """An instant after all that was made."""
    latest: str = world.theirs.ask("GET", "/api/events/?after=0&limit=500").json()["results"][-1]["occurred_at"]
    return latest
