"""Bodies may come compressed, and nothing inflates without end."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from app.http.decompression import inflated
from app.http.problems import Refused
from tests.support.scenarios import Org, made, refused


def test_a_body_may_come_compressed(org: Org) -> None:
    body = json.dumps({"name": "Acme Corp"}).encode()
    headers = {"Content_Type": "application/json", "Content_Encoding": "gzip"}
    first = org.admin.post("/api/accounts/", gzip.compress(body), Idempotency_Key="k", **headers)
    assert made(first)["name"] == "Acme Corp"
    # The same request, packed in another way or not at all, is the same one.
    for again in (gzip.compress(body, 1, mtime=1), gzip.compress(body[:5]) + gzip.compress(body[5:])):
        reply = org.admin.post("/api/accounts/", again, Idempotency_Key="k", **headers)
        assert (reply.body, reply.headers["idempotent-replayed"]) == (first.body, "true")
    assert org.admin.post("/api/accounts/", body, Idempotency_Key="k").body == first.body


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "compress"])
def test_another_encoding_of_a_body_is_415_and_told_what_is_taken(org: Org, encoding: str) -> None:
    reply = org.admin.post("/api/accounts/", b'{"name": "A"}', Content_Encoding=encoding)
    assert refused(reply, 415)["code"] == "unsupported_content_encoding"
    assert reply.headers["accept-encoding"] == "gzip"


def test_who_may_not_send_a_body_has_none_inflated(org: Org) -> None:
    refused(org.client(org.user("read_only")).post("/api/accounts/", b"x", Content_Encoding="br"), 403)


def test_a_bomb_is_refused_at_the_limit_of_a_body(org: Org) -> None:
    bomb = gzip.compress(bytes(100_000_000), 9)
    assert len(bomb) < 200_000
    assert refused(org.admin.post("/api/accounts/", bomb, Content_Encoding="gzip"), 413)["code"] == "too_large"
    assert made(org.admin.post("/api/accounts/", {"name": "A"}))


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


GOOD = packed(b'{"name": "A"}')


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (GOOD[:-1], 400), (GOOD[:12], 400), (GOOD[:5], 400), (GOOD + b"x", 400), (GOOD + GOOD[:7], 400), (b'{"name": "A"}', 400),
        (zlib.compress(b"{}"), 400), (GOOD[:-8] + bytes(8), 400), (packed(b"") * 17, 400), (packed(bytes(101)), 413),
        (packed(bytes(60)) + packed(bytes(60)), 413), (packed(bytes(50)) * 3, 413),
    ],
)  # fmt: skip
def test_what_is_no_gzip_or_too_much_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        inflated(raw, "gzip", 100)
    assert caught.value.status == status


def test_a_body_of_just_the_limit_is_taken() -> None:
    assert inflated(packed(bytes(100)), "gzip", 100) == bytes(100)
    assert inflated(packed(bytes(40)) + packed(bytes(60)), "x-gzip", 100) == bytes(100)
    assert inflated(b"{}", "identity", 100) == b"{}"
