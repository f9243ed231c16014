"""What comes of a request, whatever the receiver does: in time, in bounds, and never where it must not go."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from consumers.webhooks.ssrf_guard import Lookup, name_error
from consumers.webhooks.transport import BODY_SECONDS, MAX_KEPT, Response, Transport
from domain.webhook_url import STRICT, Rules, rules
from tests.support.receiver import Receiver, receiving
from tests.support.webhooks import LOCAL, leading_to

SECONDS = 1.0
HEADERS = {"webhook-id": "evt_1"}
BODY = b'{"id":"evt_1"}'


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def post(*urls: str, allowed: Rules = LOCAL, lookup: Lookup = socket.getaddrinfo, seconds: float = SECONDS) -> list[Response]:
    """What comes of posting to one after the other."""

    async def run() -> list[Response]:
        transport = Transport(allowed, seconds=seconds, lookup=lookup)
        try:
            return [await transport.post(url, HEADERS, BODY) for url in urls]
        finally:
            await transport.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "outcome", "status"),
    [
        ("/", "delivered", 200),
        ("/slow/0.2", "delivered", 200),
        ("/status/204", "delivered", 204),
        ("/status/299", "delivered", 299),
        ("/huge", "delivered", 200),
        ("/stalled", "delivered", 200),
        ("/slow/5", "timeout", None),
        ("/never", "timeout", None),
        ("/half", "timeout", None),
        ("/status/304", "redirect", 304),
        ("/redirect", "redirect", 302),
        ("/status/400", "client_error", 400),
        ("/later/7", "client_error", 429),
        ("/status/410", "gone", 410),
        ("/status/500", "server_error", 500),
        ("/status/503", "server_error", 503),
        ("/endless", "broken", None),
        ("/garbage", "broken", None),
        ("/drop", "unreachable", None),
    ],
)
def test_a_receiver_is_taken_for_what_it_does(receiver: Receiver, path: str, outcome: str, status: int | None) -> None:
    began = time.monotonic()
    (answer,) = post(receiver.url(path))
    assert (answer.outcome, answer.status) == (outcome, status), answer
    assert (answer.error is None) == (outcome == "delivered")
    assert time.monotonic() - began < SECONDS + BODY_SECONDS + 0.5


def test_the_first_of_an_answer_is_kept_as_text(receiver: Receiver) -> None:
    plain, huge, stalled = post(*map(receiver.url, ("/status/500", "/huge", "/stalled")), seconds=5)
    assert plain.body == "as you wished\N{REPLACEMENT CHARACTER}"
    assert huge.body == "x" * MAX_KEPT
    assert stalled.body == "first"
    assert max(plain.ms, huge.ms, stalled.ms) < 1_000


def test_what_is_sent_arrives_to_the_byte_with_our_headers_and_no_others(receiver: Receiver) -> None:
    receiver.clear()
    post(receiver.url("/hooks?token=a%20b"))
    (received,) = receiver.at("/hooks?token=a%20b")
    assert received.body == BODY
    assert received.headers.keys() == {
        "host", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "webhook-id",
    }  # fmt: skip
    assert received.headers["accept-encoding"] == "identity"


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.clear()
    (answer,) = post(receiver.url("/redirect/target"))
    assert answer.outcome == "redirect"
    assert receiver.at("target") == receiver.at("/redirect/target/target") == []


def test_a_retry_after_is_told(receiver: Receiver) -> None:
    assert [answer.retry_after for answer in post(*map(receiver.url, ("/later/7", "/later/soon", "/")))] == [7, None, None]


def test_nobody_at_an_address_is_no_fault_of_ours() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        (answer,) = post(f"http://127.0.0.1:{bound.getsockname()[1]}/")
    assert answer.outcome == "unreachable"


def test_a_name_without_an_address_says_so() -> None:
    def lookup(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert post("http://nowhere.example/", lookup=lookup)[0].outcome == "unresolved"


def test_a_name_server_that_does_not_answer_is_not_waited_for() -> None:
    def lookup(*_: Any, **__: Any) -> Any:
        time.sleep(3)
        return []

    began = time.monotonic()
    (answer,) = post("http://slow.example/", lookup=lookup)
    assert answer.outcome == "timeout"
    assert time.monotonic() - began < 2


def test_a_receiver_that_speaks_no_tls_says_so() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read(1)
        writer.close()

    async def run() -> Response:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transport = Transport(LOCAL, seconds=SECONDS)
        answer = await transport.post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", HEADERS, BODY)
        await transport.close()
        server.close()
        return answer

    assert asyncio.run(run()).outcome == "tls"


@pytest.mark.parametrize("place", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_a_name_that_leads_inside_is_refused_when_it_connects(receiver: Receiver, place: str) -> None:
    receiver.clear()
    allowed = rules(True, "any", "")
    (answer,) = post(receiver.url("/", "rebound.example"), allowed=allowed, lookup=leading_to(place))
    assert answer.outcome == "refused", answer
    assert receiver.received == []


def test_a_name_that_was_public_when_it_was_judged_is_refused_once_it_leads_inside(receiver: Receiver) -> None:
    lookup = leading_to("93.184.215.14", "127.0.0.1")
    url = receiver.url("/", "rebound.example")
    allowed = rules(True, "any", "")
    assert asyncio.run(name_error(url, allowed, lookup)) is None
    receiver.clear()
    assert post(url, allowed=allowed, lookup=lookup)[0].outcome == "refused"
    assert receiver.received == []


def test_a_name_that_leads_inside_is_refused_when_it_is_judged() -> None:
    for place in ("127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1"):
        assert asyncio.run(name_error("https://inside.example/", STRICT, leading_to(place)))
    assert asyncio.run(name_error("https://outside.example/", STRICT, leading_to("1.1.1.1"))) is None


def test_a_name_that_cannot_be_looked_up_yet_is_not_judged() -> None:
    def lookup(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    assert asyncio.run(name_error("https://later.example/", STRICT, lookup)) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0177.0.0.1", "localhost"])
def test_an_address_in_a_url_is_refused_however_it_got_there(receiver: Receiver, host: str) -> None:
    """The rules may have become stricter since the endpoint was made, and an address is never looked up."""
    receiver.clear()
    assert post(receiver.url("/", host), allowed=rules(True, "any", ""))[0].outcome == "refused"
    assert post(f"http://user:secret@127.0.0.1:{receiver.port}/")[0].outcome == "refused"
    assert post(receiver.url("/"), allowed=rules(True, "443", "127.0.0.0/8"))[0].outcome == "refused"
    assert receiver.received == []


def test_proxies_of_the_environment_are_not_for_us(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(receiver.url("/"))[0].outcome == "delivered"


@pytest.mark.parametrize("kept", [1, 3])
def test_a_connection_that_was_closed_while_it_was_kept_is_no_failure(kept: int) -> None:
    """As after a restart of the receiver: whichever is used again, it is a dead one."""
    requests: list[bytes] = []
    together, again = asyncio.Barrier(kept), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer once, and close the connection when it is used again."""
        requests.append(await reader.readuntil(BODY))
        if not again.is_set():
            await together.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        with suppress(asyncio.IncompleteReadError):
            requests.append(await reader.readuntil(BODY))
        writer.close()

    async def run() -> list[Response]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        transport = Transport(LOCAL, seconds=SECONDS)
        answers = await asyncio.gather(*(transport.post(url, HEADERS, BODY) for _ in range(kept)))
        again.set()
        answers.append(await transport.post(url, HEADERS, BODY))
        await transport.close()
        server.close()
        return answers

    assert [answer.outcome for answer in asyncio.run(run())] == ["delivered"] * (kept + 1)
    assert len(requests) == kept + 2, "it was sent once more, and no more than that"
