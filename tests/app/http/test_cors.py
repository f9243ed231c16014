"""Pages of the origins in the setting may use the API, others may not, and what they are told is told of errors too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.settings import origins
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support import postgres
from tests.support.scenarios import OPPORTUNITIES, Org, made, refused
from tests.support.server import Client, Reply, serving

PAGE = "https://app.example.com"
OTHER = "https://app.example.com.evil.example"
EXPOSED = {"ETag", "Location", "Retry-After", "X-Request-Id", "Idempotent-Replayed"}


@pytest.fixture(scope="module")
def ours(template_database: str) -> Iterator[Org]:
    """An org behind a server with two origins and a rate limit of one request a second."""
    with postgres.database(template_database) as url:
        committer = Committer(url)
        provisioned = create_org(committer, "Yours", "USD", "admin@yours.com")
        committer.close()
        with serving(url, OPPORTUNITIES_CORS_ORIGINS=f"{PAGE}, http://localhost:5173", OPPORTUNITIES_RATE_LIMIT="5") as server:
            org = Org(server, provisioned)
            yield org
            org.close()


def ask(client: Client, path: str, method: str = "PATCH", origin: str = PAGE) -> Reply:
    asked = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": "authorization,if-match"}
    return client.request("OPTIONS", path, Origin=origin, **asked)


def listed(reply: Reply, name: str) -> set[str]:
    return {part.strip() for part in reply.headers[name].split(",")}


def allowed(reply: Reply, origin: str = PAGE) -> bool:
    assert "origin" in listed(reply, "vary")
    assert "access-control-allow-credentials" not in reply.headers
    assert ("access-control-expose-headers" in reply.headers) == ("access-control-allow-origin" in reply.headers)
    return reply.headers.get("access-control-allow-origin") == origin


@pytest.mark.parametrize("path", [OPPORTUNITIES, "/api/", "/api/nothing/", "/schema/openapi.json", "/api//opportunities/"])
@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173"])
def test_a_preflight_needs_no_token_and_no_place_under_the_rate_limit(ours: Org, path: str, origin: str) -> None:
    nobody = ours.with_token(None)
    replies = [ask(nobody, path, origin=origin) for _ in range(20)]
    reply = replies[-1]
    for reply in replies:
        assert (reply.status, reply.body, allowed(reply, origin)) == (204, b"", True)
    assert listed(reply, "access-control-allow-methods") == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
    assert {
        "Authorization",
        "Content-Type",
        "If-Match",
        "If-None-Match",
        "Idempotency-Key",
        "Last-Event-ID",
        "X-Request-Id",
    } <= listed(reply, "access-control-allow-headers")
    assert int(reply.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize("origin", [OTHER, "http://app.example.com", f"{PAGE}:8443", f"{PAGE}/", "null", "", PAGE.upper(), "*"])
def test_another_origin_is_told_nothing(ours: Org, origin: str) -> None:
    nobody = ours.with_token(None)
    replies = [ask(nobody, OPPORTUNITIES, origin=origin), nobody.get("/health/live", Origin=origin)]
    for reply in replies:
        assert "access-control-allow-origin" not in reply.headers
        assert "access-control-allow-methods" not in reply.headers
        assert not allowed(reply)


def test_answers_and_errors_are_for_the_page_to_read(ours: Org) -> None:
    nobody = ours.with_token(None)
    unauthenticated = nobody.get(OPPORTUNITIES, Origin=PAGE)
    refused(unauthenticated, 401)
    replies = [unauthenticated]
    statuses = {401}
    for n in range(200):
        path = OPPORTUNITIES if n % 2 else "/api/nothing/"
        replies.append(ours.admin.get(path, Origin=PAGE, Accept_Encoding="gzip"))
        statuses.add(replies[-1].status)
        if replies[-1].status == 429:
            break
    assert statuses >= {200, 401, 404, 429}
    assert "retry-after" in replies[-1].headers
    for reply in replies:
        assert allowed(reply)
        assert listed(reply, "access-control-expose-headers") == EXPOSED
        assert listed(reply, "vary") == {"accept-encoding", "origin"}
    without = nobody.get("/health/live")
    assert not allowed(without)  # the answer varies all the same, and so do caches
    assert listed(nobody.get("/schema/openapi.json", Origin=PAGE), "vary") == {"accept-encoding", "origin"}


def test_without_the_setting_there_is_no_cors(org: Org) -> None:
    nobody = org.with_token(None)
    for reply in (ask(nobody, OPPORTUNITIES), nobody.get(OPPORTUNITIES, Origin=PAGE), org.admin.get(OPPORTUNITIES, Origin=PAGE)):
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        assert "origin" not in reply.headers.get("vary", "")
    assert made(org.admin.get(OPPORTUNITIES, Origin=PAGE), 200)["count"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "*", "https://*.example.com", "app.example.com", "https://app.example.com/", "https://app.example.com/x", "null",
        "https://App.example.com", "https://app.example.com:443", "http://app.example.com:80", "ftp://app.example.com",
        "https://user@app.example.com", "https://app.example.com:x", "https://app.example.com:", "https://", "https://a b",
        "https://app.example.com https://b.example.com", "https://app.example.com,*", "https://app.example.com?x", "https://bücher.example",
        "https://app.example.com:99999", "https://app.example.com#", "http://[::1",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="such as https"):
        origins(text)


def test_origins_are_taken_as_browsers_send_them() -> None:
    text = "https://app.example.com, http://localhost:5173,http://127.0.0.1:8080 ,http://[::1]:3000,https://xn--bcher-kva.example,"
    assert len(origins(text)) == 5
    assert origins("") == origins(" , ") == frozenset()
