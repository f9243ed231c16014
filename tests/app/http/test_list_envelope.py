"""The envelope of a page: its links, and what is beyond the last."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app.http import list_envelope
from app.http.paging import Page
from app.http.problems import Refused
from app.http.request_context import RequestContext
from domain.errors import NotFound


def envelope(page: Page, count: int, query: str = "", *, host: str = "crm.example", **more: Any) -> dict[str, Any]:
    call = RequestContext("GET", "https", "/api/opportunities/", [(b"host", host.encode())])
    results = list_envelope.joined(b'{"id":1},{"id":2}')
    answer = list_envelope.envelope(call, query.encode(), more.pop("public_url", ""), page, results, count, **more)
    found: dict[str, Any] = json.loads(msgspec.json.encode(answer))
    assert list(found) == ["count", "next", "previous", "results"]
    assert found["results"] == [{"id": 1}, {"id": 2}]
    return found


def test_links_keep_every_filter_and_name_the_next_page() -> None:
    found = envelope(Page(50, 50, 2), 1000, "stage=proposal&page=2&search=a%20b%26c&page_size=50")
    kept = "https://crm.example/api/opportunities/?stage=proposal&search=a%20b%26c&page_size=50"
    assert (found["next"], found["previous"]) == (f"{kept}&page=3", f"{kept}&page=1")
    assert found["count"] == 1000


def test_links_by_offset_and_by_cursor() -> None:
    found = envelope(Page(20, 30, None), 60, "limit=20&offset=30&stage=won")
    root = "https://crm.example/api/opportunities/?"
    assert found["next"] == f"{root}stage=won&limit=20&offset=50"
    assert found["previous"] == f"{root}stage=won&limit=20&offset=10"
    found = envelope(Page(20, 0, None, ""), 60, "cursor=&page_size=20", next_cursor="abc")
    assert (found["next"], found["previous"]) == (f"{root}page_size=20&cursor=abc", None)


def test_the_last_page_has_no_next_one() -> None:
    assert envelope(Page(50, 50, 2), 100)["next"] is None
    assert envelope(Page(50, 0, 1), 0)["next"] is None


def test_a_page_beyond_the_last_is_not_found() -> None:
    with pytest.raises(NotFound, match="the last one is 2"):
        envelope(Page(50, 100, 3), 100)
    with pytest.raises(NotFound, match="the last one is 1"):
        envelope(Page(50, 50, 2), 0)


def test_links_go_where_clients_reach_the_api() -> None:
    found = envelope(Page(1, 0, 1), 2, public_url="https://api.yours.com/")
    assert found["next"] == "https://api.yours.com/api/opportunities/?page=2"
    assert envelope(Page(1, 0, 1), 2, host="[::1]:8000")["next"].startswith("https://[::1]:8000/api")


@pytest.mark.parametrize("host", ["evil.example/path", "a b", "user@host", "", "host:port", "x" * 10 + '"'])
def test_a_strange_host_is_refused_and_not_repeated(host: str) -> None:
    if host:
        with pytest.raises(Refused, match="Host"):
            envelope(Page(1, 0, 1), 2, host=host)
