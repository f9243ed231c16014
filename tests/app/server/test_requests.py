"""What is accepted as a request, byte by byte: every refusal is a problem, and no connection gets out of step."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from contextlib import suppress

import pytest

from tests.support.scenarios import Org, raw, refused
from tests.support.server import Reply, Server

LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n"


def answers(port: int, *pieces: bytes) -> list[int]:
    """The statuses of all answers to what is sent in pieces; the connection must then be closed by the server."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        with suppress(ConnectionError):
            while more := connection.recv(65_536):
                received += more
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", received)]


def each_byte(request: bytes) -> list[bytes]:
    return [request[at : at + 1] for at in range(len(request))]


def test_an_answer_arrives_in_one_piece(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for _ in range(200):
            connection.sendall(LIVE + b"\r\n")
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")


@pytest.mark.parametrize(
    "head",
    [
        LIVE + b"x: " + b"y" * 66_000 + b"\r\n\r\n",
        LIVE + b"x: y\r\n" * 101 + b"\r\n",
        LIVE + b"x: y\r\n" * 20_000 + b"\r\n",
        b"GET /health/live?" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        LIVE + b"x: " + b"y" * 1_000_000,
    ],
    ids=["one line", "many lines", "very many lines", "target", "without end"],
)
def test_a_large_head_is_refused(server: Server, head: bytes) -> None:
    assert refused(raw(server.port, head), 431)["code"] == "head_too_large"


def test_a_head_within_the_limits_is_taken(server: Server) -> None:
    assert raw(server.port, LIVE + b"x: y\r\n" * 98 + b"\r\n").status == 200
    assert raw(server.port, LIVE + b"x: " + b"y" * 65_000 + b"\r\n\r\n").status == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost:\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: a b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        LIVE + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
        b"GET /health/live HTTP/2.0\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health/live\r\n\r\n",
        b"GET /health/live HTTP/1.1\nhost: x\n\n",
        b"GET /health/live HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
        LIVE + b"x: a\0b\r\n\r\n",
        "GET /hé HTTP/1.1\r\nhost: x\r\n\r\n".encode("latin-1"),
        b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_not_a_request_is_400(server: Server, request_: bytes) -> None:
    assert refused(raw(server.port, request_))["code"] == "bad_request"


POST = b"POST /api/accounts/ HTTP/1.1\r\nhost: x\r\n"
SMUGGLED = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 0\r\ncontent-length: 5\r\n\r\n",
        POST + b"content-length: 0, 5\r\n\r\n",
        POST + b"content-length: +5\r\n\r\n",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length:\r\n\r\n",
        POST + b"content-length: 99999999999999999999999\r\n\r\n",
        POST + b"transfer-encoding: identity\r\n\r\n",
        POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/accounts/ HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_a_body_whose_length_two_servers_could_read_differently_is_400(server: Server, request_: bytes) -> None:
    assert answers(server.port, request_ + SMUGGLED) == [400]


@pytest.mark.parametrize(
    "body",
    [
        b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"5\nabcde\r\n0\r\n\r\n",
        b"-1\r\n",
        b"\r\n",
        b"3\r\nabcde\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"1;" + b"x" * 2_000 + b"\r\na\r\n0\r\n\r\n",
        b"0\r\n" + b"x: y\r\n" * 3_000 + b"\r\n",
    ],
)
def test_a_chunked_body_that_is_framed_badly_is_400(org: Org, body: bytes) -> None:
    head = (
        POST + f"authorization: Bearer {org.token}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    )
    for pieces in ([head + body + SMUGGLED], [head, body + SMUGGLED]):
        assert answers(org.server.port, *pieces) == [400]


def test_requests_are_taken_in_pieces_of_any_size(org: Org) -> None:
    name = b'{"name": "In pieces"}'
    head = POST + f"authorization: Bearer {org.token}\r\ncontent-type: application/json\r\n".encode()
    plain = head + b"content-length: %d\r\n\r\n" % len(name) + name
    chunked = head + b"transfer-encoding: chunked\r\n\r\n" + b"1;a=b\r\n{\r\n%x\r\n" % (len(name) - 1) + name[1:]
    chunked += b"\r\n0\r\nx: trailer\r\n\r\n"
    last = LIVE + b"connection: close\r\n\r\n"
    whole = b"\r\n" + plain + b"\r\n\r\n" + chunked + SMUGGLED + chunked + plain + last
    expected = [201, 201, 200, 201, 201, 200]
    assert answers(org.server.port, whole) == expected
    assert answers(org.server.port, *each_byte(whole)) == expected
    assert answers(org.server.port, whole[: len(plain) // 2], whole[len(plain) // 2 :]) == expected


def test_an_offer_to_upgrade_is_ignored(org: Org) -> None:
    """Java's client makes one with its first request."""
    name = b'{"name": "Upgraded"}'
    upgrade = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAB\r\n"
    head = POST + f"authorization: Bearer {org.token}\r\ncontent-type: application/json\r\n".encode() + upgrade
    post = head + b"content-length: %d\r\n\r\n" % len(name) + name
    last = LIVE + b"connection: close\r\n\r\n"
    assert answers(org.server.port, LIVE + upgrade + b"\r\n" + post + last) == [200, 201, 200]


def test_http_1_0_needs_no_host(server: Server) -> None:
    assert answers(server.port, b"GET /health/live HTTP/1.0\r\n\r\n") == [200]


def test_a_refusal_is_logged_and_counted_as_any_other_answer(server: Server) -> None:
    def counted() -> float:
        text = raw(server.port, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").body.decode()
        name = 'http_request_duration_seconds_count{method="other",route="(none)",status="431"} '
        return float(next((line.removeprefix(name) for line in text.splitlines() if line.startswith(name)), "0"))

    before = counted()
    raw(server.port, LIVE + b"x: y\r\n" * 101 + b"\r\n")
    assert counted() == before + 1


def test_who_sends_all_of_a_body_that_is_too_large_sees_why_not(org: Org) -> None:
    url = f"http://127.0.0.1:{org.server.port}/api/accounts/"
    for headers in ({}, {"Authorization": f"Bearer {org.token}", "Content-Type": "application/json"}):
        request = urllib.request.Request(url, data=b"x" * 12_000_000, headers=headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        with caught.value as answer:
            reply = Reply(answer.code, {name.lower(): value for name, value in answer.headers.items()}, answer.read())
        assert refused(reply, 413 if headers else 401)
        assert reply.headers["connection"] == "close"


def test_who_sends_chunks_without_end_sees_why_not(org: Org) -> None:
    head = (
        POST + f"authorization: Bearer {org.token}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    )
    chunk = b"%x\r\n" % 65_536 + b"x" * 65_536 + b"\r\n"
    assert refused(raw(org.server.port, head + chunk * 180), 413)["code"] == "too_large"


def test_an_expectation_is_met_only_where_the_body_is_wanted(org: Org) -> None:
    """Else the refusal comes instead of the 100, which HTTPResponse would pass over."""

    def first_line(expect: str, length: int, token: str) -> bytes:
        lines = ["POST /api/accounts/ HTTP/1.1", "host: x", f"expect: {expect}", f"authorization: Bearer {token}"]
        lines += ["content-type: application/json", f"content-length: {length}", "", ""]
        with socket.create_connection(("127.0.0.1", org.server.port), timeout=30) as connection:
            connection.sendall("\r\n".join(lines).encode())
            return connection.recv(4096).partition(b"\r\n")[0]

    assert first_line("100-continue", 10, org.token) == b"HTTP/1.1 100 Continue"
    assert first_line("100-Continue", 10, org.token) == b"HTTP/1.1 100 Continue"
    assert first_line("100-continue", 12_000_000, org.token).startswith(b"HTTP/1.1 413")
    assert first_line("100-continue", 10, "unknown").startswith(b"HTTP/1.1 401")
    assert first_line("200-maybe", 10, org.token).startswith(b"HTTP/1.1 417")


def test_who_hangs_up_in_the_middle_of_a_body_is_no_internal_error(org: Org) -> None:
    head = f"authorization: Bearer {org.token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    with socket.create_connection(("127.0.0.1", org.server.port), timeout=30) as connection:
        connection.sendall(POST + head.encode() + b'{"name":')
    counted = 'method="POST",route="/api/accounts",status='
    while counted not in (text := raw(org.server.port, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").body.decode()):
        pass
    assert f'{counted}"400"' in text
