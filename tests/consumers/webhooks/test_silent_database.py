"""The database falls silent under a sender: it says so in time and goes on, and what was sent is neither lost nor sent again."""

from __future__ import annotations

import asyncio
from time import monotonic

from structlog.testing import capture_logs

from app.process import children as processes
from tests.support.commands import Company
from tests.support.proxy import proxied
from tests.support.receiver import Receiver, Writer, reply
from tests.support.webhooks import endpoint, execute, queue, sending, states, until_attempted

TIMEOUT_MS = 1_000
SECONDS = 2 * TIMEOUT_MS / 1000 + 1.5


def test_a_sender_notices_a_silent_database_and_goes_on(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = endpoint(company, receiver.url("/slow/0.1"))
    queue(database_url, company, hooks, 30)
    with (
        proxied(database_url) as proxy,
        capture_logs() as lines,
        sending(proxy.url, statement_timeout_ms=TIMEOUT_MS),
    ):
        receiver.wait(3)
        proxy.silent = True
        began = monotonic()
        assert processes.wait_until(lambda: any(line.get("error") == "Silent" for line in lines), 60)
        assert monotonic() - began < SECONDS
        proxy.silent = False
        assert processes.wait_until(lambda: all(each.status == "delivered" for each in states(database_url, hooks)), 60)
    assert len({one.id for one in receiver.received}) == len(receiver.received) == 30
    assert all(each.outcomes == ["delivered"] for each in states(database_url, hooks))


def test_an_attempt_whose_commit_was_not_heard_of_is_written_down_once(
    database_url: str, company: Company, receiver: Receiver
) -> None:
    with proxied(database_url) as proxy, sending(proxy.url, statement_timeout_ms=TIMEOUT_MS):

        async def unheard(writer: Writer, _: str) -> None:
            await asyncio.sleep(1)  # until the sender has looked for more, so that the next commit is of what came of this
            proxy.at_commit.append("hang after")
            writer.write(reply(500))

        receiver.behaviours["unheard"] = unheard
        hooks = endpoint(company, receiver.url("/unheard"))
        queue(database_url, company, hooks)
        until_attempted(database_url, hooks)
        assert proxy.hanging.wait(10)
        # What is sent next is written down after that.
        other = endpoint(company, receiver.url("/other"))
        queue(database_url, company, other)
        until_attempted(database_url, other)
    (waiting,) = states(database_url, hooks)
    assert (waiting.attempts, waiting.outcomes) == (1, ["server_error"])
    assert execute(database_url, "SELECT n FROM webhook_outcomes WHERE outcome = 'server_error'") == [(1,)]
    assert execute(database_url, "SELECT tries FROM webhook_deliveries WHERE endpoint_id = %s", hooks) == [(1,)]
