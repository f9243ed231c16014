"""Answers are compressed for who takes it, and secrets are not."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator

import pytest

from app.http.compression import LEAST, chosen
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
