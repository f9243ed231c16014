"""The list of opportunities as the contract has it: filters, order, pages, cursors, fields, and the past."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.scenarios import OPPORTUNITIES, Org, errors, made, now, refused


@pytest.fixture
def deals(org: Org) -> Org:
    """a (open, USD, all values), b (won, EUR), c (lost, JPY), d (open, bare); the owner of b is rob@yours.com, a and b have a next
    step."""
    rob = org.user("rep", email="rob@yours.com")
    acme, blue = org.account("Acme Corp"), org.account("Bluefin 100%")
    org.opportunity(
        "a",
        account_id=acme["id"],
        amount="100.50",
        close_date="2026-06-30",
        tags=["x", "y"],
        stage="proposal",
        next_step="Call Größe",
    )
    org.won(
        name="b", account_id=blue["id"], amount="200", currency="EUR", close_date="2026-07-01", tags=["y"],
        owner_id=rob["id"], next_step="Send 100% of the offer",
    )  # fmt: skip
    org.lost(name="c", account_id=blue["id"], amount="300", currency="JPY", close_date="2026-08-01", tags=["z"])
    org.opportunity("d", account_id=acme["id"])
    return org


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "abcd"),
        ("stage=proposal", "a"),
        ("stage=proposal,discovery", "ad"),
        ("stage=proposal&stage=discovery", "ad"),
        ("stage=nowhere", ""),
        ("status=open", "ad"),
        ("status=won,lost", "bc"),
        ("status=open&stage=proposal", "a"),
        ("status=won&stage=proposal", ""),
        ("owner=me", "acd"),
        ("owner=rob@yours.com", "b"),
        ("owner=ROB@Yours.com", "b"),
        ("owner=rob@yours.com,me", "abcd"),
        ("owner=nobody@yours.com", ""),
        ("currency=EUR", "b"),
        ("currency=eur,jpy", "bc"),
        ("tags=x", "a"),
        ("tags=x,z", "ac"),
        ("tags=y", "ab"),
        ("tags__all=x,y", "a"),
        ("tags__all=x&tags__all=y", "a"),
        ("tags__all=x,z", ""),
        ("close_date=2026-06-30", "a"),
        ("close_date=2026-06-30,2026-07-01", "ab"),
        ("close_date__gte=2026-07-01", "bc"),
        ("close_date__gt=2026-07-01", "c"),
        ("close_date__lte=2026-07-01", "ab"),
        ("close_date__lt=2026-07-01", "a"),
        ("close_date__isnull=true", "d"),
        ("close_date__isnull=false", "abc"),
        ("close_date__gte=2026-06-30&close_date__lte=2026-07-01", "ab"),
        ("amount=100.5", "a"),
        ("amount=100.50,200", "ab"),
        ("amount__gte=200", "bc"),
        ("amount__gt=200", "c"),
        ("amount__lte=200", "ab"),
        ("amount__lt=200", "a"),
        ("amount__isnull=true", "d"),
        ("actual_amount=900", "b"),
        ("actual_amount__isnull=false", "b"),
        ("actual_close_date=2026-05-05", "b"),
        ("actual_close_date__gte=2026-05-06", ""),
        ("probability=60", "a"),
        ("probability__gte=60", "ab"),
        ("probability__gt=60", "b"),
        ("probability__lte=20", "cd"),
        ("probability__lt=20", "c"),
        ("closed_at__isnull=true", "ad"),
        ("closed_at__isnull=false", "bc"),
        ("closed_at__gte=2020-01-01", "bc"),
        ("closed_at__gt=2020-01-01&status=won", "b"),
        ("closed_at__lt=2020-01-01", ""),
        ("closed_at__lte=2019-12-31T23:00:00Z", ""),
        ("closed_at=2020-01-01", ""),
        ("stage_entered_at__gte=2020-01-01", "abcd"),
        ("stage_entered_at__lte=2020-01-01", ""),
        ("next_step=Call%20Gr%C3%B6%C3%9Fe", "a"),
        ("next_step=call%20Gr%C3%B6%C3%9Fe", ""),
        ("next_step__icontains=GROSSE", "a"),
        ("next_step__icontains=L%20gr%C3%B6%C3%9F", "a"),
        ("next_step__icontains=OFFER", "b"),
        ("next_step__icontains=0%25%20of", "b"),
        ("next_step__icontains=0_%20of", ""),
        ("next_step__isnull=true", "cd"),
        ("next_step__isnull=false", "ab"),
        ("created_at__gte=2020-01-01", "abcd"),
        ("created_at__lt=2020-01-01T00:00:00Z", ""),
        ("updated_at__gt=2020-01-01T00:00:00%2B02:00", "abcd"),
        ("search=acme", "ad"),
        ("search=B", "bc"),
        ("search=100%25", "bc"),
        ("search=%25", "bc"),
        ("search=_", ""),
        ("search=", "abcd"),
    ],
)
def test_filters(deals: Org, query: str, names: str) -> None:
    page = deals.listed(f"{query}&ordering=name")
    assert "".join(item["name"] for item in page["results"]) == names
    assert page["count"] == len(names)


def test_ids_filter_accounts_and_owners(deals: Org) -> None:
    item = deals.listed("ordering=name")["results"][1]
    assert deals.names(f"account={item['account']['id']}&ordering=name") == ["b", "c"]
    assert deals.names(f"owner={item['owner']['id']}") == ["b"]
    assert deals.names(f"owner={item['owner']['id']},me&ordering=name") == ["a", "b", "c", "d"]
    assert deals.names("account=00000000-0000-7000-8000-000000000999") == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("status=opened", "status"), ("owner=bob", "owner"), ("account=5", "account"), ("currency=XXQ", "currency"),
        ("close_date=soon", "close_date"), ("close_date__gte=2026-02-30", "close_date__gte"),
        ("close_date__gte=2026-6-1", "close_date__gte"), ("amount__gte=many", "amount__gte"), ("amount__gte=NaN", "amount__gte"),
        ("amount=1e5", "amount"), ("probability=high", "probability"), ("probability__gte=1.5", "probability__gte"),
        ("created_at__gte=2026-01-01T00:00:00", "created_at__gte"), ("close_date__isnull=maybe", "close_date__isnull"),
        ("amount__gte=1&amount__gte=2", "amount__gte"), ("stage=", "stage"), ("stage=a,,b", "stage"), ("tags=", "tags"),
        ("ordering=colour", "ordering"), ("ordering=", "ordering"), ("fields=nam", "fields"), ("page=0", "page"),
        ("page=x", "page"), ("page=-1", "page"), ("page_size=0", "page_size"), ("page_size=201", "page_size"),
        ("limit=0", "limit"), ("limit=201", "limit"), ("offset=-1", "offset"), ("as_of=yesterday", "as_of"),
        ("as_of=2026-01-01", "as_of"), ("cursor=rubbish", "cursor"), ("page=1&page=2", "page"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named(org: Org, query: str, name: str) -> None:
    assert set(errors(org.admin.get(f"{OPPORTUNITIES}?{query}"))) == {name}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("stagee", "stage"), ("close_date_gte", "close_date__gte"), ("amount__min", "amount"), ("pagesize", "page_size"),
        ("order", "ordering"), ("owner_id", "owner"), ("stage__isnull", "stage"), ("currency__gte", "currency"),
        ("amount__gtee", "amount__gte"), ("next_step__contains", "next_step__icontains"),
    ],
)  # fmt: skip
def test_an_unknown_parameter_is_named_with_the_nearest(org: Org, name: str, nearest: str) -> None:
    wrong = errors(org.admin.get(f"{OPPORTUNITIES}?{name}=1"))
    assert set(wrong) == {name}
    assert nearest in wrong[name]


def test_all_bad_parameters_are_told_at_once(org: Org) -> None:
    wrong = errors(org.admin.get(f"{OPPORTUNITIES}?stagee=1&page=0&amount=x&ordering=x&fields=x&as_of=x"))
    assert set(wrong) == {"stagee", "page", "amount", "ordering", "fields", "as_of"}


# Order


@pytest.mark.parametrize(
    ("ordering", "names"),
    [
        ("name", "abcd"),
        ("-name", "dcba"),
        ("created_at", "abcd"),
        ("-created_at", "dcba"),
        ("amount", "abcd"),
        ("-amount", "cbad"),
        ("close_date", "abcd"),
        ("-close_date", "cbad"),
        ("actual_amount,name", "bacd"),
        ("-actual_amount,-name", "bdca"),
        ("actual_close_date,name", "bacd"),
        ("status,-name", "cdab"),
        ("stage,name", "dcab"),
        ("currency,-name", "bcda"),
        ("-probability,name", "badc"),
        ("name,name", "abcd"),
        ("closed_at,name", "bcad"),
        ("-closed_at,name", "cbad"),
        ("stage_entered_at", "abcd"),
        ("-stage_entered_at", "dcba"),
        ("next_step,name", "abcd"),
    ],
)
def test_order_with_nulls_last(deals: Org, ordering: str, names: str) -> None:
    assert "".join(deals.names(f"ordering={ordering}")) == names


def test_the_default_is_newest_first(deals: Org) -> None:
    assert deals.names() == ["d", "c", "b", "a"]


def test_ties_are_broken_by_id(org: Org) -> None:
    account = org.account()["id"]
    ids = [org.opportunity("same", account_id=account)["id"] for _ in range(4)]
    assert [item["id"] for item in org.listed("ordering=name")["results"]] == sorted(ids)
    assert [item["id"] for item in org.listed("ordering=-name")["results"]] == sorted(ids, reverse=True)


# Pages


@pytest.fixture
def seven(org: Org) -> Org:
    """Seven deals, 1 to 7, of which the even ones have an amount, falling."""
    account = org.account()["id"]
    for number in range(1, 8):
        amount = 100 - number if number % 2 == 0 else None
        org.opportunity(str(number), account_id=account, tags=["a b&c", "é"], amount=amount)
    return org


def walk(org: Org, query: str) -> list[list[str]]:
    """The names on every page, by following ``next``."""
    pages = []
    url: str | None = f"{OPPORTUNITIES}?{query}"
    while url is not None:
        page = made(org.admin.get(url), 200)
        assert page["count"] == 7
        pages.append([item["name"] for item in page["results"]])
        parts = urlsplit(page["next"] or "")
        if page["next"]:
            assert parts.netloc == f"127.0.0.1:{org.server.port}"
            assert parts.scheme == "http"
            assert parts.path == OPPORTUNITIES
        url = f"{parts.path}?{parts.query}" if page["next"] else None
    return pages


PAGES = [["1", "2", "3"], ["4", "5", "6"], ["7"]]


@pytest.mark.parametrize("paging", ["page_size=3", "page=1&page_size=3", "limit=3", "limit=3&offset=0", "cursor=&page_size=3"])
def test_next_walks_the_whole_list_and_keeps_every_filter(seven: Org, paging: str) -> None:
    filters = "tags__all=a%20b%26c,%C3%A9&status=open&ordering=name"
    assert walk(seven, f"{filters}&{paging}") == PAGES


@pytest.mark.parametrize(
    "ordering", ["name", "-name", "amount,name", "-amount,name", "amount,-name", "-created_at", "stage,-amount"]
)
@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_cursor_walk_is_the_list(seven: Org, ordering: str, size: int) -> None:
    expected = seven.names(f"ordering={ordering}")
    pages = walk(seven, f"ordering={ordering}&cursor=&page_size={size}")
    assert [name for page in pages for name in page] == expected
    assert all(len(page) == size for page in pages[:-1])


@pytest.mark.parametrize(
    "ordering", ["closed_at", "-closed_at", "-closed_at,name", "stage_entered_at", "-stage_entered_at", "-next_step"]
)
@pytest.mark.parametrize("size", [1, 3])
def test_a_cursor_walk_by_when_deals_moved_is_the_list(seven: Org, ordering: str, size: int) -> None:
    """Of deals 3 and 6 won and 5 lost, and 2 reopened."""
    by_name = {deal["name"]: deal for deal in seven.listed()["results"]}
    for name in ("6", "2", "3"):
        seven.moved(by_name[name], stage="won", actual_amount=1, actual_close_date="2026-05-05", next_step=name)
    seven.moved(by_name["5"], stage="lost", lost_reason="price")
    seven.moved(by_name["2"], stage="proposal")
    expected = seven.names(f"ordering={ordering}")
    if "closed_at" in ordering:
        assert expected[:3] == (["5", "3", "6"] if ordering.startswith("-") else ["6", "3", "5"])
    pages = walk(seven, f"ordering={ordering}&cursor=&page_size={size}")
    assert [name for page in pages for name in page] == expected


def test_previous_leads_back(seven: Org) -> None:
    page = seven.listed("ordering=name&page_size=3&page=2")
    query = parse_qs(urlsplit(page["previous"]).query)
    assert query == {"ordering": ["name"], "page_size": ["3"], "page": ["1"]}
    page = seven.listed("ordering=name&limit=3&offset=4")
    assert parse_qs(urlsplit(page["previous"]).query) == {"ordering": ["name"], "limit": ["3"], "offset": ["1"]}
    assert seven.listed("page_size=3")["previous"] is None


def test_a_cursor_walk_does_not_see_what_comes_in_between_twice(seven: Org) -> None:
    first = seven.listed("cursor=&page_size=3")
    seven.opportunity("8")
    second = made(seven.admin.get(urlsplit(first["next"])._replace(scheme="", netloc="").geturl()), 200)
    assert [item["name"] for item in first["results"]] == ["7", "6", "5"]
    assert [item["name"] for item in second["results"]] == ["4", "3", "2"]


def test_the_default_page_is_50_and_the_largest_200(org: Org) -> None:
    account = org.account()["id"]
    for number in range(51):
        org.opportunity(str(number), account_id=account)
    assert len(org.listed()["results"]) == 50
    assert len(org.listed("page_size=200")["results"]) == 51
    page = org.listed("page=2")
    assert (page["count"], len(page["results"]), page["next"]) == (51, 1, None)


def test_a_page_out_of_range_is_404(seven: Org) -> None:
    refused(seven.admin.get(f"{OPPORTUNITIES}?page=4&page_size=3"), 404)
    refused(seven.admin.get(f"{OPPORTUNITIES}?page=1000000&page_size=200"), 404)
    assert seven.listed("stage=won&page=1")["results"] == []
    assert seven.listed("offset=100&limit=5")["results"] == []


def test_ways_to_page_do_not_mix(org: Org) -> None:
    assert set(errors(org.admin.get(f"{OPPORTUNITIES}?page=1&limit=5"))) == {"page", "limit"}
    assert set(errors(org.admin.get(f"{OPPORTUNITIES}?page=1&cursor="))) == {"page", "cursor"}


# Fields


def test_fields_picks_keys_in_their_order(deals: Org) -> None:
    items = deals.listed("fields=amount,name,id&ordering=name")["results"]
    assert [list(item) for item in items] == [["id", "name", "amount"]] * 4
    assert items[0]["amount"] == "100.50"


# The past


def test_as_of_is_the_list_and_the_record_as_they_stood(org: Org) -> None:
    before = now()
    account = org.account("Acme")
    one = org.opportunity("one", account_id=account["id"], amount=1)
    two = org.opportunity("two", account_id=account["id"], amount=2)
    middle = now()
    made(org.admin.patch(f"{OPPORTUNITIES}{one['id']}/", {"name": "uno", "amount": 10}), 200)
    made(org.admin.patch(f"/api/accounts/{account['id']}/", {"name": "Acme Inc"}), 200)
    org.moved(two, stage="lost", lost_reason="price")
    org.admin.delete(f"{OPPORTUNITIES}{two['id']}/")
    after = now()

    assert org.listed(f"as_of={before}")["count"] == 0
    refused(org.admin.get(f"{OPPORTUNITIES}{one['id']}/?as_of={before}"), 404)

    then = org.listed(f"as_of={middle}&ordering=name")
    assert then["count"] == 2
    assert [(item["name"], item["amount"]) for item in then["results"]] == [("one", "1.00"), ("two", "2.00")]
    assert then["results"][0]["account"]["name"] == "Acme"
    assert org.read(one, f"?as_of={middle}") == one
    assert org.read(two, f"?as_of={middle}") == two
    assert (org.names(f"as_of={middle}&closed_at__isnull=false"), two["closed_at"]) == ([], None)
    assert org.names(f"as_of={middle}&amount__gte=2") == ["two"]
    assert org.names(f"as_of={middle}&status=lost") == []
    assert org.listed(f"as_of={middle}&page_size=1&ordering=name&page=2")["results"][0]["name"] == "two"
    cursor: Any = org.listed(f"as_of={middle}&page_size=1&ordering=name&cursor=")
    assert parse_qs(urlsplit(cursor["next"]).query)["as_of"]

    assert org.names(f"as_of={after}") == org.names() == ["uno"]
    assert org.read(one, f"?as_of={after}") == org.read(one)
    refused(org.admin.get(f"{OPPORTUNITIES}{two['id']}/?as_of={after}"), 404)


def test_a_name_that_changes_shows_at_once(org: Org) -> None:
    account, contact = org.account("Acme"), org.contact("Jane")
    record = org.opportunity(account_id=account["id"], stakeholder_ids=[contact["id"]])
    made(org.admin.patch(f"/api/accounts/{account['id']}/", {"name": "Acme Inc"}), 200)
    made(org.admin.patch(f"/api/contacts/{contact['id']}/", {"first_name": "Janet"}), 200)
    made(org.admin.patch(f"/api/users/{org.admin_id}/", {"email": "boss@yours.com"}), 200)
    item = org.listed()["results"][0]
    assert item["account"]["name"] == org.read(record)["account"]["name"] == "Acme Inc"
    assert item["stakeholders"][0]["first_name"] == org.read(record)["stakeholders"][0]["first_name"] == "Janet"
    assert item["owner"]["email"] == org.read(record)["owner"]["email"] == "boss@yours.com"
    assert org.names("search=acme%20inc") == [record["name"]]


def test_parameters_of_a_record(org: Org) -> None:
    path = f"{OPPORTUNITIES}{org.opportunity()['id']}/"
    assert "as_of" in errors(org.admin.get(f"{path}?asof=2026-01-01T00:00:00Z"))["asof"]
    assert set(errors(org.admin.get(f"{path}?as_of=soon"))) == {"as_of"}
