"""Whatever is done by whomever: the list, the record, the events, the past and the forecast tell one and the same story.

A state machine works through the API and keeps a small model beside it (``tests.support.deals``).
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, urlsplit
from uuid import UUID

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from app.writing.committer import Committer
from domain import event_store
from projections.rebuild import verify
from tests.support import deals
from tests.support.commands import Caller, Company, fold
from tests.support.deals import Deal, Refused
from tests.support.inprocess import InProcess, running
from tests.support.server import Reply

OPPORTUNITIES = "/api/opportunities/"
USERS = ("admin", "manager", "rep", "other rep", "reader")
STAKEHOLDERS = ("jane", "omar")

names = st.text("aB é%_'\"\\–", min_size=1, max_size=6).filter(str.strip).map(str.strip)
amounts = st.none() | st.integers(0, 10**12).map(str)
days = st.dates(date(2026, 1, 1), date(2026, 6, 30)).map(str)
edits = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "account_id": st.sampled_from(["first", "second"]),
        "amount": amounts,
        "currency": st.sampled_from(["USD", "EUR", "JPY"]),
        "close_date": st.none() | days,
        "probability": st.integers(0, 100),
        "stakeholder_ids": st.lists(st.sampled_from(STAKEHOLDERS), unique=True),
        "tags": st.lists(st.sampled_from(["a", "b", "c d"]), unique=True),
        "custom_fields": st.dictionaries(st.sampled_from(["x", "y"]), st.none() | st.integers(0, 9) | names, max_size=2),
    },
)
closings = st.fixed_dictionaries(
    {
        "stage": st.sampled_from(list(deals.STAGES)),
        "actual_amount": st.integers(0, 10**9).map(str),
        "actual_close_date": days,
        "lost_reason": st.sampled_from(["price", "timing"]),
    }
)
who = st.sampled_from(USERS)
owners = st.sampled_from(USERS[:-1])
which = st.integers(0, 99)


class Remembered(NamedTuple):
    """What the API said at an instant: of each live deal, of the list and of the forecast."""

    at: str
    records: dict[str, bytes]
    listed: Any
    forecasts: dict[str, Any]


class Sales(RuleBasedStateMachine):
    """An org at work. ``model`` has every deal there ever was, deleted ones marked."""

    process: ClassVar[InProcess]
    committer: ClassVar[Committer]
    url: ClassVar[str]

    @initialize()
    def begin(self) -> None:
        self.company = Company(self.committer)
        self.token = self.company.admin.token
        self.callers: dict[str, Caller] = {"admin": self.company.admin}
        for role, name in (("manager", "manager"), ("rep", "rep"), ("rep", "other rep"), ("read_only", "reader")):
            self.callers[name] = self.company.user(role, f"{name.replace(' ', '')}@acme.example")  # type: ignore[arg-type]
        self.ids = {name: str(caller.actor.user_id) for name, caller in self.callers.items()}
        self.account_names = {"first": "Acme Corp", "second": "Other Corp"}
        self.ids["first"] = str(self.company.account_id)
        self.ids["second"] = self.made("/api/accounts/", {"name": "Other Corp"})["id"]
        for name in STAKEHOLDERS:
            self.ids[name] = self.made("/api/contacts/", {"first_name": name, "last_name": "Doe"})["id"]
        self.model: dict[str, Deal] = {}
        self.rates: dict[str, dict[date, Decimal]] = defaultdict(dict)
        self.remembered: list[Remembered] = []

    # What people do

    @rule(by=who, edit=edits, name=names, closing=st.none() | closings)
    def create(self, by: str, edit: Deal, name: str, closing: Deal | None) -> None:
        body = {"account_id": "first", **edit, "name": name, **fitting(deals.EMPTY, {"stage": "discovery", **(closing or {})})}
        if deals.STAGES[body["stage"]][0] != "open":
            body.pop("probability", None)
        reply = self.ask("POST", OPPORTUNITIES, self.sent(body), by)
        if by == "reader":
            assert reply.status == 403
            return
        assert reply.status == 201, reply.body
        record = reply.json()
        assert reply.headers["location"] == f"{OPPORTUNITIES}{record['id']}/"
        deal = deals.changed(deals.EMPTY, {"owner_id": by, **body})
        version = 1 if deal["status"] == "open" else 2
        self.model[record["id"]] = deal | {"version": version, "deleted": False, "activities": []}
        self.model[record["id"]]["created_at"] = record["created_at"]
        self.agrees(record["id"], reply)

    @precondition(lambda self: self.model)
    @rule(by=who, n=which, edit=edits, closing=st.none() | closings, whole=st.booleans(), owner=st.none() | owners)
    def edit(self, by: str, n: int, edit: Deal, closing: Deal | None, whole: bool, owner: str | None) -> None:
        id_, deal = self.pick(n)
        body = edit | (fitting(deal, closing) if closing else {})
        stage: str = body.get("stage") or deal["stage"]
        if deals.STAGES[stage][0] != "open":
            body.pop("probability", None)
        if owner:
            body["owner_id"] = owner
        if whole:
            body = {"name": "Replaced", "account_id": "first", **kept(deal, body), **body}
        self.write(by, id_, "PUT" if whole else "PATCH", "", body, deals.replaced if whole else deals.changed)

    @precondition(lambda self: self.model)
    @rule(by=who, n=which, closing=closings, edit=edits)
    def transition(self, by: str, n: int, closing: Deal, edit: Deal) -> None:
        id_, deal = self.pick(n)
        body = {name: edit[name] for name in ("amount", "close_date", "tags") if name in edit} | fitting(deal, closing)
        self.write(by, id_, "POST", "transition/", {"stage": closing["stage"], **body}, deals.changed)

    @precondition(lambda self: self.model)
    @rule(by=who, n=which)
    def delete(self, by: str, n: int) -> None:
        id_, _ = self.pick(n)
        self.write(by, id_, "DELETE", "", None, lambda deal, _: deal | {"deleted": True})

    @precondition(lambda self: self.model)
    @rule(by=who, n=which)
    def restore(self, by: str, n: int) -> None:
        id_, _ = self.pick(n)
        self.write(by, id_, "POST", "restore/", None, lambda deal, _: deal | {"deleted": False})

    @precondition(lambda self: self.model)
    @rule(by=who, n=which)
    def say_what_is_so_already(self, by: str, n: int) -> None:
        id_, deal = self.pick(n)
        body = {name: deal[name] for name in ("name", "amount", "stage", "tags", "close_date", "custom_fields", "currency")}
        self.write(by, id_, "PATCH", "", body | {"probability": deal["probability"]}, lambda deal, _: deal)

    @precondition(lambda self: self.model)
    @rule(by=who, n=which)
    def log_activity(self, by: str, n: int) -> None:
        id_, deal = self.pick(n)
        subject = f"Activity {len(deal['activities'])}"
        reply = self.ask("POST", f"{OPPORTUNITIES}{id_}/activities/", {"type": "note", "subject": subject}, by)
        if self.permitted(by, deal, reply, 201):
            deal["activities"].insert(0, subject)
            self.agrees(id_, None)

    @rule(account=st.sampled_from(["first", "second"]), name=names)
    def rename_account(self, account: str, name: str) -> None:
        reply = self.ask("PATCH", f"/api/accounts/{self.ids[account]}/", {"name": name}, "rep")
        assert reply.status == 200
        self.account_names[account] = name

    @rule(currency=st.sampled_from(["EUR", "JPY"]), day=days, rate=st.decimals("0.0001", "200", places=4))
    def quote(self, currency: str, day: str, rate: Decimal) -> None:
        body = {"currency": currency, "valid_from": day, "rate": str(rate)}
        assert self.ask("PUT", "/api/exchange-rates/", body, "admin").status == 200
        self.rates[currency][date.fromisoformat(day)] = rate

    @precondition(lambda self: self.model and len(self.remembered) < 4)
    @rule()
    def remember(self) -> None:
        records = {id_: self.got(f"{OPPORTUNITIES}{id_}/").body for id_ in self.model if not self.model[id_]["deleted"]}
        listed = self.got(f"{OPPORTUNITIES}?page_size=200").json()
        forecasts = {query: self.got(f"{OPPORTUNITIES}forecast/{query}").json() for query in FORECASTS}
        self.the_forecast_is_the_sum_over_the_list()
        self.remembered.append(Remembered(quote(datetime.now(UTC).isoformat()), records, listed, forecasts))

    # What must be so

    @invariant()
    def the_list_is_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        listed = self.got(f"{OPPORTUNITIES}?page_size=200").json()
        live = {id_: deal for id_, deal in self.model.items() if not deal["deleted"]}
        assert listed["count"] == len(listed["results"]) == len(live)
        for item in listed["results"]:
            assert shown(item) == self.expected(item["id"])

    @precondition(lambda self: self.model)
    @rule(
        stage=st.none() | st.lists(st.sampled_from(list(deals.STAGES)), min_size=1, max_size=3, unique=True),
        status=st.none() | st.sampled_from(["open", "won", "lost"]),
        owner=st.none() | who,
        since=st.none() | days,
        until=st.none() | days,
        tag=st.none() | st.sampled_from(["a", "b", "c d"]),
        search=st.none() | names,
    )
    def filter_the_list(
        self,
        stage: list[str] | None,
        status: str | None,
        owner: str | None,
        since: str | None,
        until: str | None,
        tag: str | None,
        search: str | None,
    ) -> None:
        given = {
            "stage": ",".join(stage) if stage else None,
            "status": status,
            "owner": self.ids[owner] if owner else None,
            "close_date__gte": since,
            "close_date__lte": until,
            "tags": tag,
            "search": search,
        }
        query = "&".join(f"{name}={quote(value)}" for name, value in given.items() if value)
        found = self.got(f"{OPPORTUNITIES}?page_size=200&{query}").json()

        def meets(deal: Deal) -> bool:
            texts = deal["name"].lower(), self.account_names[deal["account"]].lower()
            return (
                not deal["deleted"]
                and (stage is None or deal["stage"] in stage)
                and (status is None or deal["status"] == status)
                and (owner is None or deal["owner"] == owner)
                and (since is None or (deal["close_date"] is not None and deal["close_date"] >= since))
                and (until is None or (deal["close_date"] is not None and deal["close_date"] <= until))
                and (tag is None or tag in deal["tags"])
                and (search is None or any(search.lower() in text for text in texts))
            )

        wanted = {id_ for id_, deal in self.model.items() if meets(deal)}
        assert {item["id"] for item in found["results"]} == wanted
        assert found["count"] == len(wanted)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        self.the_events_come_to_the_model()
        self.every_walk_meets_every_deal_once()
        self.the_forecast_is_the_sum_over_the_list()
        self.the_past_is_as_it_was()
        self.another_org_sees_nothing()

    def the_events_come_to_the_model(self) -> None:
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            streams = defaultdict(list)
            for recorded in event_store.load(cursor, {UUID(id_): 0 for id_ in self.model}):
                streams[str(recorded.stream_id)].append(recorded)
        for id_, deal in self.model.items():
            events = streams[id_]
            assert [recorded.version for recorded in events] == list(range(1, deal["version"] + 1))
            state: Any = fold(events)
            for name in ("name", "stage", "status", "probability", "currency", "custom_fields", "lost_reason", "deleted"):
                assert getattr(state, name) == deal[name], name
            for name in ("amount", "actual_amount"):
                assert getattr(state, name) == (None if deal[name] is None else Decimal(deal[name]))
            assert str(state.account_id) == self.ids[deal["account"]]
            assert str(state.owner_id) == self.ids[deal["owner"]]
            assert [str(one) for one in state.stakeholder_ids] == [self.ids[one] for one in deal["stakeholders"]]
            history = self.got(f"{OPPORTUNITIES}{id_}/history/?limit=200").json()
            assert [entry["version"] for entry in history["results"]] == list(range(1, deal["version"] + 1))

    def every_walk_meets_every_deal_once(self) -> None:
        live = sorted(id_ for id_, deal in self.model.items() if not deal["deleted"])
        for order in ("-created_at", "-close_date,name", "amount", "stage,-probability"):
            walks = []
            for start in (f"page=1&page_size=3&ordering={order}", f"cursor=&page_size=3&ordering={order}"):
                walked: list[str] = []
                following: str | None = f"{OPPORTUNITIES}?{start}"
                while following:
                    parts = urlsplit(following)
                    page = self.got(f"{parts.path}?{parts.query}").json()
                    walked += [item["id"] for item in page["results"]]
                    following = page["next"]
                walks.append(walked)
            assert walks[0] == walks[1]
            assert sorted(walks[0]) == live

    def the_forecast_is_the_sum_over_the_list(self) -> None:
        items = self.got(f"{OPPORTUNITIES}?page_size=200").json()["results"]
        for report in ("USD", "EUR", "JPY"):
            body = self.got(f"{OPPORTUNITIES}forecast/?currency={report}").body
            answer = json.loads(body, parse_float=Decimal, parse_int=Decimal)
            assert deals.told(answer) == deals.forecast(items, self.rates, report)

    def the_past_is_as_it_was(self) -> None:
        for at, records, listed, forecasts in self.remembered:
            then = self.got(f"{OPPORTUNITIES}?page_size=200&as_of={at}").json()
            assert then["results"] == listed["results"]
            assert then["count"] == listed["count"]
            for id_ in self.model:
                reply = self.ask("GET", f"{OPPORTUNITIES}{id_}/?as_of={at}", None, "reader")
                if id_ in records:
                    assert reply.body == records[id_]
                else:
                    assert reply.status == 404
            for query, forecast in forecasts.items():
                then = self.got(f"{OPPORTUNITIES}forecast/{query}{'&' if query else '?'}as_of={at}").json()
                assert then | {"as_of": None} == forecast

    def another_org_sees_nothing(self) -> None:
        for id_ in list(self.model)[:2]:
            assert self.process.request("GET", f"{OPPORTUNITIES}{id_}/", token=self.stranger).status == 404
        assert self.process.request("GET", OPPORTUNITIES, token=self.stranger).json()["count"] == 0

    stranger: ClassVar[str]

    # By what means

    def ask(self, method: str, path: str, body: Any, by: str, **headers: str) -> Reply:
        return self.process.request(method, path, body, token=self.callers[by].token, **headers)

    def got(self, path: str) -> Reply:
        reply = self.ask("GET", path, None, "reader")
        assert reply.status == 200, (path, reply.body)
        return reply

    def made(self, path: str, body: Any) -> Any:
        reply = self.ask("POST", path, body, "admin")
        assert reply.status == 201, reply.body
        return reply.json()

    def pick(self, n: int) -> tuple[str, Deal]:
        id_ = list(self.model)[n % len(self.model)]
        return id_, self.model[id_]

    def sent(self, body: Deal) -> Deal:
        """A body with real ids in the place of the model's names."""
        put: Deal = dict(body)
        for name in ("account_id", "owner_id"):
            if name in put:
                put[name] = self.ids[put[name]]
        if "stakeholder_ids" in put:
            put["stakeholder_ids"] = [self.ids[one] for one in put["stakeholder_ids"]]
        return put

    def permitted(self, by: str, deal: Deal, reply: Reply, expected: int, *, also_deleted: bool = False) -> bool:
        """Whether the model says that this user may do this now; the answer must say the same."""
        if refusal := refused(by, deal, also_deleted=also_deleted):
            assert reply.status == refusal, reply.body
            return False
        assert reply.status in (expected, 409), reply.body
        return reply.status == expected

    def write(self, by: str, id_: str, method: str, verb: str, body: Deal | None, outcome: Any) -> None:
        deal = self.model[id_]
        also_deleted = verb == "restore/"
        stale = self.ask(method, f"{OPPORTUNITIES}{id_}/{verb}", body and self.sent(body), by, If_Match='"99"')
        # Who may not do it is not told the version.
        assert stale.status == (refused(by, deal, also_deleted=also_deleted) or 412), stale.body
        version = f'"{deal["version"]}"'
        reply = self.ask(method, f"{OPPORTUNITIES}{id_}/{verb}", body and self.sent(body), by, If_Match=version)
        expected = 204 if method == "DELETE" else 200
        done = self.permitted(by, deal, reply, expected, also_deleted=also_deleted)
        try:
            new = outcome(deal, body)
        except Refused:
            assert reply.status in (409, 403, 404)
            return
        assert reply.status != 409, reply.body
        if done:
            new["version"] += new != deal
            self.model[id_] = new
            self.agrees(id_, reply)

    def agrees(self, id_: str, reply: Reply | None) -> None:
        """The record as the API shows it is the one in the answer, and the model's."""
        deal = self.model[id_]
        if deal["deleted"]:
            assert self.ask("GET", f"{OPPORTUNITIES}{id_}/", None, "reader").status == 404
            return
        read = self.got(f"{OPPORTUNITIES}{id_}/")
        assert read.headers["etag"].startswith(f'"{deal["version"]}.')
        if reply is not None:
            assert reply.body == read.body
            assert reply.headers["etag"] == read.headers["etag"]
        record = read.json()
        assert shown(record) == self.expected(id_)
        assert [activity["subject"] for activity in record["activities"]] == deal["activities"]

    def expected(self, id_: str) -> Deal:
        deal = self.model[id_]
        return {name: deal[name] for name in deal if name not in ("deleted", "activities")} | {
            "id": id_,
            "account": {"id": self.ids[deal["account"]], "name": self.account_names[deal["account"]]},
            "owner": {"id": self.ids[deal["owner"]], "email": f"{deal['owner'].replace(' ', '')}@acme.example"},
            "stakeholders": [self.ids[one] for one in deal["stakeholders"]],
        }


AS_FOUND = tuple(phase for phase in Phase if phase not in (Phase.shrink, Phase.explain))
"""A failure is told as it was found: to shrink it through a database takes longer than the test may, which hides it."""
FORECASTS = ("", "?currency=EUR", "?group_by=owner", "?currency=JPY&status=open")


def refused(by: str, deal: Deal, *, also_deleted: bool) -> int | None:
    """The status that a user is refused with who may not write this deal now: the role comes first, then whether it is there."""
    if by == "reader":
        return 403
    if deal["deleted"] and not also_deleted:
        return 404
    return 403 if by in ("rep", "other rep") and deal["owner"] != by else None


def fitting(deal: Deal, closing: Deal) -> Deal:
    """Of a change of stage, what fits: the actual fields for won, the reason for lost, and only where it is entered."""
    stage = closing["stage"]
    status = deals.STAGES[stage][0]
    if status == "open" or stage == deal["stage"]:
        return {"stage": stage}
    fields = ("actual_amount", "actual_close_date") if status == "won" else ("lost_reason",)
    return {"stage": stage, **{name: closing[name] for name in fields if name in closing}}


def kept(deal: Deal, body: Deal) -> Deal:
    """What a PUT must repeat of a closed deal that stays closed."""
    if "stage" in body and body["stage"] != deal["stage"]:
        return {}
    fields = {"won": ("actual_amount", "actual_close_date"), "lost": ("lost_reason",)}.get(deal["status"], ())
    return {name: deal[name] for name in fields}


def shown(item: Deal) -> Deal:
    """Of a list item or a record, what the model knows."""
    wanted = {name: item[name] for name in (*deals.EMPTY, "id", "version", "created_at")}
    return wanted | {"stakeholders": [one["id"] for one in item["stakeholders"]]}


def test_list_record_events_past_and_forecast_agree_whatever_is_done(database_url: str) -> None:
    with closing(Committer(database_url)) as committer, running(database_url) as process:
        Sales.process, Sales.committer, Sales.url = process, committer, database_url
        Sales.stranger = Company(committer, "Stranger").admin.token
        run_state_machine_as_test(
            Sales,
            settings=settings(
                max_examples=6,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=AS_FOUND,
            ),
        )
    assert verify(database_url) == []
