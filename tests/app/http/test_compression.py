"""Answers are compressed for who takes it and secrets are not; bodies may come compressed, and nothing inflates without end."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator

import pytest

from app.http.compression import LEAST, chosen, inflated
from app.http.problems import Refused
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support.scenarios import OPPORTUNITIES, Org, made, refused
from tests.support.server import Reply, serving

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BROWSER = "gzip, deflate, br, zstd"


def plain(reply: Reply) -> bytes:
    match reply.headers.get("content-encoding"):
        case "gzip":
            return gzip.decompress(reply.body)
        case "zstd":
            return zstd.decompress(reply.body)
    return reply.body


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("gzip", "gzip"), ("x-gzip", "gzip"), ("GZIP", "gzip"), ("*", "gzip"), (BROWSER, "zstd"), ("zstd;q=0.5, gzip", "gzip"),
        ("zstd;q=0, gzip;q=0.1", "gzip"), ("gzip;q=0", None), ("gzip;q=0, *", None), ("identity", None), ("br", None), ("", None),
        ("gzip;q=nonsense", None), ("gzip;q=nan", None), (",;,", None),
    ],
)  # fmt: skip
def test_the_client_chooses(header: str, encoding: str | None) -> None:
    assert chosen(header) == encoding


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_large_answer_is_compressed_for_who_asks(org: Org, encoding: str) -> None:
    for n in range(5):
        org.opportunity(name=f"Annual {n}")
    whole = org.admin.get(OPPORTUNITIES)
    packed = org.admin.get(OPPORTUNITIES, Accept_Encoding=encoding)
    assert packed.headers["content-encoding"] == encoding
    assert int(packed.headers["content-length"]) == len(packed.body) < len(whole.body) / 2
    assert plain(packed) == whole.body
    assert "content-encoding" not in whole.headers
    assert packed.headers["vary"] == whole.headers["vary"] == "accept-encoding"
    head = org.admin.request("HEAD", OPPORTUNITIES, Accept_Encoding=encoding)
    assert (head.body, head.headers["content-encoding"]) == (b"", encoding)
    assert head.headers["content-length"] == packed.headers["content-length"]


def test_a_small_answer_a_stream_and_errors_are_as_they_were(org: Org) -> None:
    account = f"/api/accounts/{org.account()['id']}/"
    assert "content-encoding" not in org.admin.get(account, Accept_Encoding=BROWSER).headers
    assert refused(org.admin.get("/api/nothing/", Accept_Encoding=BROWSER), 404)
    head = org.admin.request("HEAD", "/api/events/", Accept_Encoding=BROWSER, Accept="text/event-stream")
    assert "content-encoding" not in head.headers
    wrong = org.admin.post(OPPORTUNITIES, {f"key{n}": n for n in range(50)}, Accept_Encoding="gzip")
    assert (wrong.status, wrong.headers["content-encoding"]) == (400, "gzip")
    assert len(json.loads(plain(wrong))["errors"]) == 50


def test_the_tag_of_a_compressed_answer_is_weak_and_good_for_every_precondition(org: Org) -> None:
    deal = org.opportunity(custom_fields={"note": "x" * LEAST})
    path = f"{OPPORTUNITIES}{deal['id']}/"
    strong = org.admin.get(path).headers["etag"]
    weak = f"W/{strong}"
    for encoding in ("gzip", "zstd"):
        assert weak == org.admin.get(path, Accept_Encoding=encoding).headers["etag"]
        for headers in ({}, {"Accept_Encoding": encoding}):
            assert org.admin.get(path, If_None_Match=weak, **headers).status == 304
            assert org.admin.get(path, If_None_Match=strong, **headers).status == 304
    changed = org.admin.patch(path, {"name": "B"}, If_Match=weak, Accept_Encoding="gzip")
    assert (changed.status, changed.headers["content-encoding"]) == (200, "gzip")
    refused(org.admin.patch(path, {"name": "C"}, If_Match=weak), 412)
    again = org.admin.patch(path, {"name": "C"}, If_Match=changed.headers["etag"])
    assert made(again, 200)["name"] == "C"


def test_an_answer_with_a_secret_is_never_compressed(org: Org) -> None:
    hook = {
        "url": "https://1.1.1.1/hooks",
        "events": ["opportunity.won"],
        "filters": {"stage": [f"stage_number_{n}" for n in range(100)]},
    }
    for reply in (
        created := org.admin.post("/api/webhooks/", hook, Accept_Encoding=BROWSER),
        org.admin.post(f"/api/webhooks/{created.json()['id']}/rotate-secret/", Accept_Encoding=BROWSER),
    ):
        assert reply.json()["secret"]
        assert len(reply.body) > LEAST
        assert "content-encoding" not in reply.headers


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


@pytest.fixture
def uncompressed(database_url: str) -> Iterator[Org]:
    committer = Committer(database_url)
    provisioned = create_org(committer, "Yours", "USD", "admin@yours.com")
    committer.close()
    with serving(database_url, OPPORTUNITIES_COMPRESSION="false") as server:
        org = Org(server, provisioned)
        yield org
        org.close()


def test_a_setting_turns_it_off(uncompressed: Org) -> None:
    deal = uncompressed.opportunity(custom_fields={"note": "x" * LEAST})
    reply = uncompressed.admin.get(f"{OPPORTUNITIES}{deal['id']}/", Accept_Encoding=BROWSER)
    assert not {"content-encoding", "vary"} & reply.headers.keys()
    assert not reply.headers["etag"].startswith("W/")
