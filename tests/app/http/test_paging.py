"""Pages, orderings, fields and the envelope."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app.http import paging
from app.http.paging import Page
from app.http.problems import Refused
from app.http.request_context import RequestContext
from domain.errors import Errors, NotFound
from projections.conditions import Order


def asked(**given: str) -> Page:
    errors: Errors = {}
    page = paging.parse_page(given, errors)
    assert not errors
    return page


def complaint(**given: str) -> Errors:
    errors: Errors = {}
    paging.parse_page(given, errors)
    return errors


def envelope(page: Page, count: int, query: str = "", *, host: str = "crm.example", **more: Any) -> dict[str, Any]:
    call = RequestContext("GET", "https", "/api/opportunities/", [(b"host", host.encode())])
    results = paging.joined(b'{"id":1},{"id":2}')
    answer = paging.envelope(call, query.encode(), more.pop("public_url", ""), page, results, count, **more)
    found: dict[str, Any] = json.loads(msgspec.json.encode(answer))
    assert list(found) == ["count", "next", "previous", "results"]
    assert found["results"] == [{"id": 1}, {"id": 2}]
    return found


def test_the_first_page_has_fifty_records() -> None:
    assert asked() == Page(50, 0, 1)


def test_pages_are_asked_for_by_number_by_offset_or_by_cursor() -> None:
    assert asked(page="3", page_size="20") == Page(20, 40, 3)
    assert asked(limit="20", offset="40") == Page(20, 40, None)
    assert asked(cursor="", page_size="20") == Page(20, 0, None, "")


@pytest.mark.parametrize("given", [{"page": "1", "limit": "5"}, {"cursor": "", "page": "1"}, {"cursor": "", "offset": "1"}])
def test_the_three_ways_do_not_mix(given: dict[str, str]) -> None:
    assert set(complaint(**given)) == set(given)


@pytest.mark.parametrize("name", ["page", "page_size", "limit", "offset"])
@pytest.mark.parametrize("text", ["-1", "", "x", "1.5", "9" * 30, "٣"])
def test_a_bad_number_is_refused_with_its_bounds(name: str, text: str) -> None:
    (message,) = complaint(**{name: text})[name]
    assert message.startswith("Must be a whole number from")


def test_a_page_has_at_most_200_records() -> None:
    assert complaint(page_size="201") == {"page_size": ["Must be a whole number from 1 to 200."]}
    assert complaint(limit="0") == {"limit": ["Must be a whole number from 1 to 200."]}


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


def order(text: str) -> tuple[tuple[Order, ...], Errors]:
    errors: Errors = {}
    return paging.parse_order(text, ("name", "close_date"), (Order("name", False),), errors), errors


def test_an_ordering_is_a_list_of_fields_each_up_or_down() -> None:
    assert order("-close_date,name") == ((Order("close_date", True), Order("name", False)), {})
    assert order("name,-name")[0] == (Order("name", False),)


@pytest.mark.parametrize("text", ["", "close_dat", "name,", "--name", "id; DROP TABLE"])
def test_an_ordering_by_anything_else_is_refused(text: str) -> None:
    _, errors = order(text)
    assert "Possible: close_date, name." in errors["ordering"][0]


def test_fields_pick_keys_in_the_records_own_order() -> None:
    errors: Errors = {}
    names = paging.parse_fields("name,id", ("id", "name", "amount"), errors)
    rendered = paging.joined(b'{"id":1,"amount":"2","name":"x"},{"id":2,"name":"y"}')
    records = [{"id": 1, "amount": "2", "name": "x"}, {"id": 2, "name": "y"}]
    for results in (rendered, records):
        assert msgspec.json.encode(paging.select_fields(results, names)) == b'[{"id":1,"name":"x"},{"id":2,"name":"y"}]'
    assert paging.select_fields(paging.joined(None), names) == []
    paging.parse_fields("nam", ("id", "name"), errors)
    assert errors == {"fields": ["No field 'nam'. Did you mean name?"]}


def test_of_many_unknown_fields_some_are_told() -> None:
    errors: Errors = {}
    assert paging.parse_fields(",".join(["nam"] * 20_000), ("id", "name"), errors) == ()
    assert len(errors["fields"]) == 10
