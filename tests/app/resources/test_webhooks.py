"""Webhook endpoints over HTTP: made, changed, tested, and what became of what they were sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import jsonschema_rs
import psycopg
import pytest

from app.main import create_app
from app.schema import openapi
from app.settings import Settings
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from consumers import database
from consumers.event_reader import EventReader
from consumers.webhooks import deal_event, deliveries
from domain.webhook_endpoint import EVENT_TYPES
from tests.support.inprocess import InProcess, running
from tests.support.receiver import Receiver, receiving
from tests.support.scenarios import Json, Org, errors, made, refused
from tests.support.server import Reply
from tests.support.webhooks import execute, leading_to, sending

PATH = "/api/webhooks/"
URL = "https://1.1.1.1/hooks"
WON: Json = {"stage": "won", "actual_amount": "5", "actual_close_date": "2026-03-01"}


def endpoint(org: Org, **fields: Any) -> Json:
    return made(org.admin.post(PATH, {"url": URL, "events": ["opportunity.won"], **fields}))


def one(record: Json, rest: str = "") -> str:
    return f"{PATH}{record['id']}/{rest}"


# What admins say of endpoints.


def test_an_endpoint_is_made_and_its_secret_shown_once(org: Org) -> None:
    body = {"url": URL, "events": ["opportunity.won"], "description": "Commission", "filters": {"amount__gte": "10000"}}
    reply = org.admin.post(PATH, body)
    record = made(reply)
    assert reply.headers["location"] == one(record)
    assert reply.headers["cache-control"] == "no-store"
    assert record["secret"].startswith("whsec_")
    assert (record["active"], record["disabled_reason"], record["secret_generation"]) == (True, None, 1)
    assert record["filters"] == {
        "stage": [], "owner": [], "currency": [], "amount__gte": "10000", "amount__lte": None, "custom_fields": {},
    }  # fmt: skip
    read = org.admin.get(one(record))
    assert read.json() == {name: value for name, value in record.items() if name != "secret"}
    assert org.admin.get(one(record), If_None_Match=read.headers["etag"]).status == 304
    assert org.listed("search=1.1.1.1&active=true", PATH)["results"] == [read.json()]


def test_a_repeated_request_gets_its_first_answer_again_without_the_secret(org: Org) -> None:
    body = {"url": URL, "events": ["opportunity.won"]}
    first, again = (made(org.admin.post(PATH, body, Idempotency_Key="once")) for _ in range(2))
    assert again == {**first, "secret": None}
    assert org.listed("", PATH)["count"] == 1
    refused(org.admin.post(PATH, {**body, "description": "x"}, Idempotency_Key="once"), 422)


def test_the_secret_and_the_key_it_comes_from_are_nowhere_to_be_read(org: Org, shared_database_url: str) -> None:
    record = endpoint(org)
    secret = record["secret"].removeprefix("whsec_")
    with psycopg.connect(shared_database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            state = "convert_from(state, 'UTF8')" if table == "opportunities_events" else f"{table}::text"
            rows = connection.execute(f"SELECT count(*) FROM {table} WHERE {state} LIKE %s", (f"%{secret}%",)).fetchone()
            assert rows == (0,), table
        connection.execute("SET ROLE opportunities_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM webhook_keys")
    assert secret not in org.admin.get("/api/events/?limit=500").body.decode()


def test_the_address_is_not_in_the_feed(org: Org) -> None:
    record = endpoint(org, url=f"{URL}/capability")
    made(org.admin.patch(one(record), {"url": f"{URL}/other-capability", "description": "moved"}), 200)
    feed = org.admin.get("/api/events/?limit=500").body.decode()
    assert "webhook_endpoint.updated" in feed
    assert "capability" not in feed
    assert "webhook_endpoint" not in org.client(org.user("read_only")).get("/api/events/?limit=500").body.decode()


def requests_about(record: Json, delivery_id: object) -> list[tuple[str, str, Any]]:
    """Every request about an endpoint and one of its deliveries: method, path and body."""
    return [
        ("GET", one(record), None),
        ("PATCH", one(record), {"active": False}),
        ("DELETE", one(record), None),
        ("POST", one(record, "rotate-secret/"), None),
        ("POST", one(record, "test/"), None),
        ("GET", one(record, "deliveries/"), None),
        ("POST", one(record, "replay/"), {"from_position": 1}),
        ("GET", f"{PATH}deliveries/{delivery_id}/", None),
        ("POST", f"{PATH}deliveries/{delivery_id}/redeliver/", None),
    ]


@pytest.mark.parametrize("role", ["manager", "rep", "read_only"])
def test_webhooks_are_for_admins_alone(org: Org, role: Any) -> None:
    record = endpoint(org)
    client = org.client(org.user(role))
    created = {"url": URL, "events": ["opportunity.won"]}
    for method, path, body in [("GET", PATH, None), ("POST", PATH, created), *requests_about(record, uuid4())]:
        refused(client.request(method, path, body), 403)


def test_another_orgs_endpoints_and_deliveries_are_not_there(org: Org, other_org: Org) -> None:
    record = endpoint(org)
    delivery = made(org.admin.post(one(record, "test/")), 202)
    for method, path, body in requests_about(record, delivery["id"]):
        refused(other_org.admin.request(method, path, body), 404)
    assert other_org.listed("", PATH)["count"] == 0
    assert org.admin.get(one(record)).json()["active"]


def test_a_role_taken_away_counts_at_once(org: Org) -> None:
    user = org.user("admin")
    client = org.client(user)
    assert client.get(PATH).status == 200
    made(org.admin.patch(f"/api/users/{user['id']}/", {"role": "manager"}), 200)
    refused(client.get(PATH), 403)
    refused(client.post(one(endpoint(org), "test/")), 403)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hooks",
        "https://user:secret@example.com/",
        "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://example.com:22/",
        "https://localhost/",
        "ftp://example.com/",
        "hooks",
    ],
)
def test_an_address_that_leads_inside_is_refused_when_made_and_when_changed(org: Org, url: str) -> None:
    assert set(errors(org.admin.post(PATH, {"url": url, "events": ["opportunity.won"]}))) == {"url"}
    assert set(errors(org.admin.patch(one(endpoint(org)), {"url": url}))) == {"url"}


def test_bad_input_is_told_by_field(org: Org) -> None:
    assert set(errors(org.admin.post(PATH, {}))) == {"url", "events"}
    bad: Json = {"url": URL, "events": ["opportunity.wonn"], "filters": {"stages": ["won"], "amount__gte": "much"}, "activ": True}
    assert {name.partition(".0")[0] for name in errors(org.admin.post(PATH, bad))} == {
        "events", "filters.stages", "filters.amount__gte", "activ",
    }  # fmt: skip
    assert set(errors(org.admin.post(PATH, {"url": URL, "events": []}))) == {"events"}
    record = endpoint(org)
    assert set(errors(org.admin.post(one(record, "replay/"), {}))) == {"since"}
    assert set(errors(org.admin.post(one(record, "replay/"), {"from_position": 0}))) == {"from_position"}
    assert set(errors(org.admin.get(one(record, "deliveries/?status=lost")))) == {"status"}
    assert set(errors(org.admin.get(f"{PATH}?owner=me"))) == {"owner"}


def test_a_change_is_only_of_what_is_sent_and_heeds_if_match(org: Org) -> None:
    record = endpoint(org, filters={"stage": ["won"]})
    changed = made(org.admin.patch(one(record), {"description": "x"}, If_Match='"1"'), 200)
    assert (changed["description"], changed["filters"]["stage"]) == ("x", ["won"])
    refused(org.admin.patch(one(record), {"description": "y"}, If_Match='"1"'), 412)
    paused = made(org.admin.patch(one(record), {"active": False, "filters": {}}), 200)
    assert (paused["active"], paused["disabled_reason"], paused["filters"]["stage"]) == (False, "paused", [])
    assert org.listed("active=true", PATH)["count"] == 0
    assert made(org.admin.patch(one(record), {"active": True}), 200)["disabled_reason"] is None
    assert org.admin.delete(one(record)).status == 204
    refused(org.admin.get(one(record)), 404)
    refused(org.admin.get(one(record, "deliveries/")), 404)
    refused(org.admin.delete(one(record)), 404)


def test_a_rotated_secret_is_another_and_shown_once(org: Org) -> None:
    record = endpoint(org)
    first, again = (made(org.admin.post(one(record, "rotate-secret/"), Idempotency_Key="r"), 200) for _ in range(2))
    assert again == {**first, "secret": None}
    assert first["secret"] != record["secret"]
    assert first["secret_generation"] == 2
    assert "secret" not in org.admin.get(one(record)).json()


# What is sent.


class Shop:
    """An org whose API may send to this machine, with a receiver."""

    def __init__(self, url: str, api: InProcess, receiver: Receiver, token: str) -> None:
        self.url = url
        self.receiver = receiver
        self._api = api
        self._token = token
        self.account = made(self.ask("POST", "/api/accounts/", {"name": "Acme"}))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return self._api.request(method, path, body, token=self._token, **headers)

    def endpoint(self, path: str = "/hooks", **fields: Any) -> Json:
        body = {"url": self.receiver.url(path), "events": list(EVENT_TYPES), **fields}
        return made(self.ask("POST", PATH, body))

    def deal(self, **fields: Any) -> Json:
        return made(self.ask("POST", "/api/opportunities/", {"name": "Annual", "account_id": self.account["id"], **fields}))

    def fan_out(self) -> None:
        """All of the log, as the topic would bring it."""
        with database.connect(self.url, "test") as connection, connection.cursor() as cursor:
            chunk = EventReader().read(cursor, 0, 10_000)
            assert chunk is not None
            events = [event for record in chunk.records if (event := deal_event.parse(record.value))]
            deliveries.queue(cursor, deal_event.rows(cursor, events))

    def listed(self, endpoint: Json, query: str = "") -> Json:
        return made(self.ask("GET", one(endpoint, f"deliveries/?{query}")), 200)

    def delivery(self, id_: str) -> Json:
        return made(self.ask("GET", f"{PATH}deliveries/{id_}/"), 200)


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    committer = Committer(database_url)
    org = create_org(committer, "Yours", "USD", "admin@yours.com")
    committer.close()
    settings: Json = {"webhook_allow_http": True, "webhook_ports": "any", "webhook_networks": "127.0.0.0/8"}
    with running(database_url, **settings) as api, receiving() as receiver:
        yield Shop(database_url, api, receiver, org.token)


def test_a_test_is_sent_like_any_other_and_its_answer_told(shop: Shop) -> None:
    hooks = shop.endpoint("/status/500")
    first, again = (made(shop.ask("POST", one(hooks, "test/"), Idempotency_Key="t"), 202) for _ in range(2))
    assert first == again
    assert (first["status"], first["type"], first["attempts"]) == ("pending", "webhook.test", [])
    with sending(shop.url):
        (received,) = shop.receiver.wait(1)
    assert received.verify(hooks["secret"])["type"] == "webhook.test"
    assert received.json()["data"]["opportunity"]["name"]
    delivery = shop.delivery(first["id"])
    (attempt,) = delivery["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["status"]) == (1, "server_error", 500)
    assert attempt["answer"].startswith("as you wished")
    assert attempt["ms"] >= 0
    assert delivery["body"] == received.json()
    assert (delivery["attempt_count"], delivery["status"]) == (1, "pending")
    assert delivery["next_attempt_at"] > attempt["at"]
    (listed,) = shop.listed(hooks, "type=webhook.test&status=pending")["results"]
    assert listed == {name: value for name, value in delivery.items() if name != "body"}


def test_every_request_is_as_the_document_says_and_its_delivery_is_at_two_addresses(shop: Shop) -> None:
    document = openapi.document(create_app(Settings(database_url="postgresql://nowhere/none")))
    hooks, other = shop.endpoint(), shop.endpoint("/other", events=["opportunity.won"])
    deal = shop.deal(amount="5")
    assert shop.ask("DELETE", f"/api/opportunities/{deal['id']}/").status == 204
    made(shop.ask("POST", one(hooks, "test/")), 202)
    shop.fan_out()
    listed = shop.listed(hooks)["results"]
    assert {delivery["type"] for delivery in listed} == {"opportunity.created", "opportunity.deleted", "webhook.test"}
    for delivery in listed:
        record = shop.delivery(delivery["id"])
        assert made(shop.ask("GET", one(hooks, f"deliveries/{delivery['id']}/")), 200) == record
        refused(shop.ask("GET", one(other, f"deliveries/{delivery['id']}/")), 404)
        body = document["webhooks"][delivery["type"]]["post"]["requestBody"]["content"]["application/json"]["schema"]
        jsonschema_rs.validator_for({**body, "components": document["components"]}, validate_formats=True).validate(record["body"])
    made(shop.ask("POST", one(hooks, f"deliveries/{listed[0]['id']}/redeliver/")), 202)
    refused(shop.ask("POST", one(other, f"deliveries/{listed[0]['id']}/redeliver/")), 404)


def test_a_redelivery_has_the_same_id_and_bytes_and_is_one_more_attempt(shop: Shop) -> None:
    hooks = shop.endpoint(events=["opportunity.created"])
    shop.deal()
    shop.fan_out()
    with sending(shop.url):
        shop.receiver.wait(1)
        (first,) = shop.listed(hooks)["results"]
        for number in (2, 3):
            made(shop.ask("POST", f"{PATH}deliveries/{first['id']}/redeliver/"), 202)
            shop.receiver.wait(number)
    assert len({(one.id, one.body) for one in shop.receiver.received}) == 1
    delivery = shop.delivery(first["id"])
    assert (delivery["status"], [attempt["number"] for attempt in delivery["attempts"]]) == ("delivered", [3, 2, 1])


def test_a_range_is_replayed_with_the_same_ids_and_bytes_and_with_what_was_missed(shop: Shop) -> None:
    hooks = shop.endpoint(events=["opportunity.created", "opportunity.won"])
    deals = [shop.deal(name=f"Deal {number}") for number in range(4)]
    shop.fan_out()
    late = shop.endpoint("/late", events=["opportunity.created"])
    with sending(shop.url):
        shop.receiver.wait(4, "/hooks")
        assert made(shop.ask("POST", one(late, "replay/"), {"from_position": 1}), 202)["queued"] == 4
        shop.receiver.wait(4, "/late")
        positions = sorted(each["position"] for each in shop.listed(hooks)["results"])
        body = {"from_position": positions[1], "to_position": positions[2]}
        assert made(shop.ask("POST", one(hooks, "replay/"), body), 202) == {
            "queued": 2, "complete": True, "next_position": None,
        }  # fmt: skip
        shop.receiver.wait(6, "/hooks")
    sent, caught_up = shop.receiver.at("/hooks"), shop.receiver.at("/late")
    assert len({(one.id, one.body) for one in sent}) == 4
    assert {(one.id, one.body) for one in caught_up} == {(one.id, one.body) for one in sent}
    assert [one.json()["data"]["opportunity"]["id"] for one in sent[4:]] == [deal["id"] for deal in deals[1:3]]
    assert execute(shop.url, "SELECT count(*), count(DISTINCT (endpoint_id, event_id)) FROM webhook_deliveries") == [(8, 8)]


def test_a_range_in_time_and_only_what_was_not_delivered(shop: Shop) -> None:
    hooks = shop.endpoint(events=["opportunity.created"])
    deals = [shop.deal(name=f"Deal {number}") for number in range(3)]
    shop.fan_out()
    with sending(shop.url):
        shop.receiver.wait(3)
    execute(shop.url, "UPDATE webhook_deliveries SET status = 'dead' WHERE opportunity_id = %s", UUID(deals[1]["id"]))

    def replay(**body: Any) -> int:
        return int(made(shop.ask("POST", one(hooks, "replay/"), body), 202)["queued"])

    assert replay(since="2020-01-01T00:00:00Z", undelivered=True) == 1
    assert replay(since="2020-01-01T00:00:00Z", until="2020-01-02T00:00:00Z") == 0
    assert replay(since="2099-01-01T00:00:00Z") == 0
    assert replay(since=deals[1]["created_at"], until=deals[2]["created_at"]) == 1
    assert replay(since=deals[1]["created_at"]) == 2
    assert replay(from_position=10**15) == 0


def test_a_replay_by_an_endpoint_as_it_is_now(shop: Shop) -> None:
    hooks = shop.endpoint(events=["opportunity.created"])
    shop.deal(amount="10")
    shop.deal(**WON, amount="20000")
    made(shop.ask("PATCH", one(hooks), {"events": ["opportunity.won"], "filters": {"amount__gte": 100}}), 200)
    assert made(shop.ask("POST", one(hooks, "replay/"), {"from_position": 1}), 202)["queued"] == 1
    assert [each["type"] for each in shop.listed(hooks)["results"]] == ["opportunity.won"]


def test_what_is_asked_of_an_inactive_endpoint_is_refused(shop: Shop) -> None:
    hooks = shop.endpoint()
    delivery = made(shop.ask("POST", one(hooks, "test/")), 202)
    made(shop.ask("PATCH", one(hooks), {"active": False}), 200)
    for path, body in (
        (one(hooks, "test/"), None),
        (one(hooks, "replay/"), {"from_position": 1}),
        (f"{PATH}deliveries/{delivery['id']}/redeliver/", None),
    ):
        reply = shop.ask("POST", path, body)
        assert (reply.status, reply.json()["code"]) == (409, "endpoint_inactive")


def test_deliveries_are_listed_in_pages_the_latest_first(shop: Shop) -> None:
    hooks = shop.endpoint(events=["opportunity.created"])
    for _ in range(5):
        shop.deal()
    shop.fan_out()
    page = shop.listed(hooks, "page_size=2&fields=id,position")
    assert (page["count"], page["previous"]) == (5, None)
    positions = [each["position"] for each in shop.listed(hooks)["results"]]
    assert positions == sorted(positions, reverse=True)
    assert [each["position"] for each in page["results"]] == positions[:2]
    assert "page=2" in page["next"]
    assert shop.listed(hooks, "status=dead")["count"] == 0
    assert shop.listed(hooks, "created_at__lt=2020-01-01")["count"] == 0


def test_a_name_that_leads_inside_today_is_refused(database_url: str) -> None:
    committer = Committer(database_url)
    org = create_org(committer, "Yours", "USD", "admin@yours.com")
    committer.close()
    with running(database_url) as api:
        api.app.state.webhook_requests.lookup = leading_to("93.184.215.14", "10.0.0.1")
        body = {"url": "https://rebound.example/hooks", "events": ["opportunity.won"]}
        record = made(api.request("POST", PATH, body, token=org.token))
        assert set(errors(api.request("POST", PATH, body, token=org.token))) == {"url"}
        assert set(errors(api.request("PATCH", one(record), {"url": "https://other.example"}, token=org.token))) == {"url"}
        made(api.request("PATCH", one(record), {"description": "as it is"}, token=org.token), 200)


def test_metrics_tell_how_the_webhooks_are_doing(shop: Shop) -> None:
    hooks, paused = shop.endpoint("/status/500", events=["opportunity.created"]), shop.endpoint(events=["opportunity.created"])
    shop.deal()
    shop.fan_out()
    made(shop.ask("PATCH", one(paused), {"active": False}), 200)
    made(shop.ask("POST", one(hooks, "test/")), 202)
    told = metrics(shop)
    assert (told["webhook_deliveries_due"], told["webhook_deliveries_held"], told["webhook_deliveries_dead"]) == (2, 1, 0)
    with sending(shop.url):
        shop.receiver.wait(2)
    execute(shop.url, "UPDATE webhook_deliveries SET status = 'dead' WHERE type = 'webhook.test'")
    told = metrics(shop)
    assert (told["webhook_deliveries_due"], told["webhook_deliveries_waiting"], told["webhook_deliveries_dead"]) == (0, 1, 1)
    assert told['webhook_attempts_total{outcome="server_error"}'] == 2
    assert told['webhook_unseen_seconds{part="sender"}'] < 60


def metrics(shop: Shop) -> dict[str, float]:
    lines = shop.ask("GET", "/metrics").body.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}
