"""The sender with a real database and real receivers: each delivery ends as it should, and nobody waits for anybody."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine

from app.process import children
from consumers.webhooks.schedule import DELAYS
from consumers.webhooks.signing import OVERLAP
from domain.webhook_endpoint import Delete, RotateSecret, Update
from tests.support.commands import Company, state
from tests.support.proxy import proxied
from tests.support.receiver import Receiver, reply
from tests.support.webhooks import LOCAL, endpoint, execute, queue, secret, sending, states, until_attempted


def due(url: str, endpoint_id: UUID) -> None:
    """Let everything that waits for an endpoint be due."""
    execute(url, "UPDATE webhook_deliveries SET due_at = clock_timestamp() WHERE endpoint_id = %s", endpoint_id)


def test_a_delivery_arrives_once_signed_and_to_the_byte(database_url: str, company: Company, receiver: Receiver) -> None:
    body = '{"name":"Acme — Annual","n":1.50}'
    hooks = endpoint(company, receiver.url("/hooks"))
    queue(database_url, company, hooks, body=body)
    with sending(database_url):
        (delivered,) = until_attempted(database_url, hooks)
    (received,) = receiver.at("/hooks")
    assert received.body == body.encode()
    assert received.id == delivered.event_id
    assert received.verify(secret(database_url, hooks)) == {"name": "Acme — Annual", "n": 1.5}
    assert (delivered.status, delivered.outcomes) == ("delivered", ["delivered"])


def test_an_attempt_is_signed_and_logged_at_the_databases_time(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = endpoint(company, receiver.url("/hooks"))
    queue(database_url, company, hooks)
    began = datetime.now(UTC)
    with time_machine.travel(began + timedelta(days=1), tick=True), sending(database_url):
        until_attempted(database_url, hooks)
    (received,) = receiver.at("/hooks")
    ((logged,),) = execute(database_url, "SELECT at FROM webhook_attempts")
    for instant in (datetime.fromtimestamp(int(received.headers["webhook-timestamp"]) + 1, UTC), logged):
        assert began < instant < began + timedelta(minutes=2)


WORST = {
    "/status/500": "server_error",
    "/redirect": "redirect",
    "/later/0": "client_error",
    "/drop": "unreachable",
    "/half": "timeout",
    "/never": "timeout",
    "/slow/9": "timeout",
    "/garbage": "broken",
    "/endless": "broken",
}


def test_a_failure_is_tried_again_with_the_same_id_and_bytes_until_it_is_dead(
    database_url: str, company: Company, receiver: Receiver
) -> None:
    hooks = {path: endpoint(company, receiver.url(path)) for path in WORST}
    for each in hooks.values():
        queue(database_url, company, each)
    # Those which take their time have most of their tries behind them.
    before = {path: 8 if outcome == "timeout" else 0 for path, outcome in WORST.items()}
    for path, tries in before.items():
        execute(database_url, "UPDATE webhook_deliveries SET tries = %s WHERE endpoint_id = %s", tries, hooks[path])
    with sending(database_url, seconds=1.5):
        for number in range(1, len(DELAYS) + 1):
            for path, each in hooks.items():
                tries = number + before[path]
                if tries <= len(DELAYS):
                    (now,) = until_attempted(database_url, each, number)
                    assert now.status == ("dead" if tries == len(DELAYS) else "pending")
                    assert now.status == "dead" or now.due == pytest.approx(DELAYS[tries], abs=5)
            for each in hooks.values():
                due(database_url, each)
    for path, outcome in WORST.items():
        (last,) = states(database_url, hooks[path])
        tries = len(DELAYS) - before[path]
        assert (last.status, last.outcomes) == ("dead", [outcome] * tries)
        received = receiver.at(path)
        assert len(received) >= tries  # a reset connection may be tried twice
        assert len({(one.id, one.body) for one in received}) == 1


def test_an_answer_that_is_slow_huge_or_without_an_end_is_one_all_the_same(
    database_url: str, company: Company, receiver: Receiver
) -> None:
    hooks = [endpoint(company, receiver.url(path)) for path in ("/slow/0.5", "/huge", "/stalled")]
    for each in hooks:
        queue(database_url, company, each)
    with sending(database_url, seconds=5):
        for each in hooks:
            (delivered,) = until_attempted(database_url, each)
            assert (delivered.status, delivered.outcomes) == ("delivered", ["delivered"])
    assert len(receiver.received) == 3


def test_a_retry_after_is_obeyed(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = endpoint(company, receiver.url("/later/3600"))
    queue(database_url, company, hooks)
    with sending(database_url):
        (waiting,) = until_attempted(database_url, hooks)
    assert waiting.status == "pending"
    assert 3_590 < waiting.due < 3_600 * 1.2


def test_a_410_disables_the_endpoint_and_what_waits_is_held(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = endpoint(company, receiver.url("/status/410"))
    queue(database_url, company, hooks, 3)
    with sending(database_url):
        assert children.wait_until(lambda: not state(database_url, hooks).active, 10)
        assert state(database_url, hooks).disabled_reason == "gone"
        assert children.wait_until(lambda: states(database_url, hooks)[0].status == "dead", 5)
        # Enabled with another address, it gets the rest.
        company.do(Update(url=receiver.url("/better"), active=True, rules=LOCAL), hooks)
        receiver.wait(2, "/better")
    assert len(receiver.at("/status/410")) == 1
    assert [each.status for each in states(database_url, hooks)] == ["dead", "delivered", "delivered"]


def test_five_days_of_nothing_but_failures_disable_the_endpoint(database_url: str, company: Company, receiver: Receiver) -> None:
    failing, mixed = endpoint(company, receiver.url("/status/500")), endpoint(company, receiver.url("/status/503"))
    for hooks in (failing, mixed):
        queue(database_url, company, hooks)
    with sending(database_url):
        for hooks in (failing, mixed):
            until_attempted(database_url, hooks)
        long_ago = "UPDATE webhook_failing SET since = clock_timestamp() - %s::interval WHERE endpoint_id = %s"
        made = "UPDATE directory SET valid_from = valid_from - interval '9 days' WHERE id = %s"
        for hooks, days in ((failing, 5), (mixed, 4)):
            execute(database_url, made, hooks)
            execute(database_url, long_ago, timedelta(days=days), hooks)
            due(database_url, hooks)
            until_attempted(database_url, hooks, 2)
        assert children.wait_until(lambda: not state(database_url, failing).active, 10)
    assert state(database_url, failing).disabled_reason == "failing"
    assert state(database_url, mixed).active


def test_a_success_and_a_change_begin_the_five_days_anew(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = endpoint(company, receiver.url("/status/500"))
    since = "SELECT clock_timestamp() - since < interval '1 minute' FROM webhook_failing WHERE endpoint_id = %s"
    queue(database_url, company, hooks)
    with sending(database_url):
        until_attempted(database_url, hooks)
        execute(database_url, "UPDATE webhook_failing SET since = since - interval '9 days' WHERE endpoint_id = %s", hooks)
        company.do(Update(description="mended"), hooks)
        due(database_url, hooks)
        until_attempted(database_url, hooks, 2)
        assert execute(database_url, since, hooks) == [(True,)]
        company.do(Update(url=receiver.url("/well"), rules=LOCAL), hooks)
        due(database_url, hooks)
        until_attempted(database_url, hooks, 3)
    assert execute(database_url, since, hooks) == []
    assert state(database_url, hooks).active


def test_a_paused_endpoint_gets_nothing_until_it_goes_on(database_url: str, company: Company, receiver: Receiver) -> None:
    paused, other = endpoint(company, receiver.url("/paused"), active=False), endpoint(company, receiver.url("/other"))
    queue(database_url, company, paused, 2)
    with sending(database_url):
        queue(database_url, company, other)
        receiver.wait(1, "/other")
        assert receiver.at("/paused") == []
        company.do(Update(active=True), paused)
        receiver.wait(2, "/paused")


def test_a_deleted_endpoint_gets_nothing_and_what_waited_is_dead(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = endpoint(company, receiver.url("/deleted"))
    company.do(Delete(), hooks)
    queue(database_url, company, hooks)
    with sending(database_url):
        assert children.wait_until(lambda: states(database_url, hooks)[0].status == "dead", 10)
    assert receiver.received == []


def test_for_a_day_after_a_rotation_both_secrets_sign(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = endpoint(company, receiver.url("/rotated"))
    company.do(RotateSecret(), hooks)
    queue(database_url, company, hooks)
    with sending(database_url):
        (during,) = receiver.wait(1, "/rotated")
    for generation in (1, 2):
        during.verify(secret(database_url, hooks, generation))
    receiver.clear()
    rotated = "UPDATE directory SET doc = (doc::jsonb || jsonb_build_object('secret_rotated_at', %s::text))::text WHERE id = %s"
    long_ago = state(database_url, hooks).secret_rotated_at - OVERLAP
    execute(database_url, rotated, long_ago.isoformat(), hooks)
    queue(database_url, company, hooks)
    with sending(database_url):
        (after,) = receiver.wait(1, "/rotated")
    assert len(after.headers["webhook-signature"].split()) == 1
    after.verify(secret(database_url, hooks, 2))


def test_slow_and_dead_endpoints_do_not_delay_the_others(database_url: str, company: Company, receiver: Receiver) -> None:
    """Four of every five endpoints do their worst, each with a backlog; the fifth hears at once, again and again."""
    worst = ["/never", "/half", "/slow/1.5", "/stalled", "/endless", "/status/500", "/drop", "/later/1", "/huge", "/never"] * 4
    for path in worst:
        queue(database_url, company, endpoint(company, receiver.url(path)), 20)
    well = [endpoint(company, receiver.url(f"/well/{number}")) for number in range(10)]
    with sending(database_url, seconds=5.0, concurrency=128):
        receiver.wait(len(worst))
        for number in range(1, 7):
            for hooks in well:
                queue(database_url, company, hooks)
            for place in range(10):
                receiver.wait(number, f"/well/{place}")
        for hooks in well:
            until_attempted(database_url, hooks)
    ((slowest,),) = execute(
        database_url,
        """
        SELECT max(a.at - d.created_at) FROM webhook_deliveries d JOIN webhook_attempts a ON a.delivery_id = d.id
        WHERE d.endpoint_id = ANY(%s)
        """,
        well,
    )
    assert slowest < timedelta(seconds=2), slowest


def test_an_endpoint_has_no_more_requests_at_once_than_it_earned(database_url: str, company: Company, receiver: Receiver) -> None:
    at_once: list[int] = []
    now = 0
    lock = threading.Lock()

    async def counted(writer: asyncio.StreamWriter, _: str) -> None:
        nonlocal now
        with lock:
            now += 1
            at_once.append(now)
        await asyncio.sleep(0.05)
        with lock:
            now -= 1
        writer.write(reply(200))

    receiver.behaviours["counted"] = counted
    hooks = endpoint(company, receiver.url("/counted"))
    queue(database_url, company, hooks, 60)
    with sending(database_url, seconds=15):
        receiver.wait(60, "/counted")
    assert at_once[0] == 1
    assert 2 <= max(at_once) <= 8


def test_two_senders_share_the_work_and_nothing_is_sent_twice(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = [endpoint(company, receiver.url(f"/shared/{number}")) for number in range(20)]
    for each in hooks:
        queue(database_url, company, each, 20)
    with sending(database_url, seconds=15), sending(database_url, seconds=15):
        receiver.wait(400)
        for each in hooks:
            until_attempted(database_url, each)
    assert len(receiver.received) == len({one.id for one in receiver.received}) == 400


def test_what_a_dead_sender_had_leased_is_sent_by_another_when_the_lease_is_over(
    database_url: str, company: Company, receiver: Receiver
) -> None:
    hooks = endpoint(company, receiver.url("/leased"))
    queue(database_url, company, hooks)
    lease = "UPDATE webhook_deliveries SET leased_until = clock_timestamp() + interval '1 second' WHERE endpoint_id = %s"
    execute(database_url, lease, hooks)
    began = time.monotonic()
    with sending(database_url):
        receiver.wait(1, "/leased")
    assert time.monotonic() - began > 0.9


def test_a_stop_lets_what_is_under_way_end_and_gives_back_the_rest(database_url: str, company: Company, receiver: Receiver) -> None:
    ending, hanging = endpoint(company, receiver.url("/slow/0.5")), endpoint(company, receiver.url("/never"))
    for hooks in (ending, hanging):
        queue(database_url, company, hooks)
    began = time.monotonic()
    with sending(database_url, seconds=10, grace=1.5):
        receiver.wait(2)
    assert time.monotonic() - began < 5
    assert states(database_url, ending)[0].status == "delivered"
    (left,) = states(database_url, hanging)
    assert (left.status, left.attempts) == ("pending", 0)
    assert execute(database_url, "SELECT leased_until FROM webhook_deliveries WHERE endpoint_id = %s", hanging) == [(None,)]


def test_a_database_that_goes_away_and_comes_back_costs_nothing_but_time(
    database_url: str, company: Company, receiver: Receiver
) -> None:
    hooks = endpoint(company, receiver.url("/slow/0.1"))
    queue(database_url, company, hooks, 30)
    with proxied(database_url) as proxy, sending(proxy.url):
        receiver.wait(3)
        proxy.away()
        time.sleep(0.5)
        proxy.back()
        assert children.wait_until(lambda: all(each.status == "delivered" for each in states(database_url, hooks)), 90)
    assert len({one.id for one in receiver.received}) == 30
    assert all(each.outcomes == ["delivered"] for each in states(database_url, hooks))
