"""The limit on requests: a token bucket for each user and, for tokens that are no good, for each address."""

from __future__ import annotations

import pytest

from app.http import client_address
from app.http.problems import Refused
from app.http.rate_limit import MAX_BUCKETS, RateLimit
from app.settings import networks
from app.writing.committer import Committer
from tests.support.commands import Company
from tests.support.inprocess import InProcess, running
from tests.support.server import Reply

ME = "/api/users/me/"
PROXIES = networks("127.0.0.0/8, fd00::/8")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def waits(limit: RateLimit, who: object) -> int | None:
    try:
        limit.take(who)
    except Refused as refused:
        return int(refused.headers["retry-after"])
    return None


def test_two_seconds_worth_may_come_at_once_then_it_is_told_when_to_come_again() -> None:
    clock = Clock()
    limit = RateLimit(5, "requests", clock)
    assert [waits(limit, "one") for _ in range(11)] == [None] * 10 + [1]
    clock.now = 0.4
    assert [waits(limit, "one") for _ in range(3)] == [None, None, 1]


def test_one_does_not_slow_another() -> None:
    limit = RateLimit(1, "requests", Clock())
    while waits(limit, "one") is None:
        pass
    assert waits(limit, "other") is None


def test_a_slow_rate_tells_how_long_to_wait() -> None:
    limit = RateLimit(0.1, "requests", Clock())
    assert [waits(limit, "one"), waits(limit, "one")] == [None, 10]


def test_buckets_do_not_pile_up_and_who_still_asks_keeps_theirs() -> None:
    limit = RateLimit(1, "requests", Clock())
    for n in range(2 * MAX_BUCKETS):
        limit.take(n)
        if n % 1_000 == 0:
            waits(limit, "busy")
    assert len(limit._buckets) == MAX_BUCKETS
    assert waits(limit, "busy") == 1


# Who it is


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # by whom, nobody knows
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1, 127.0.0.2", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1, nonsense", "127.0.0.1"),
        ("127.0.0.1", ",,", "127.0.0.1"),
        ("::ffff:203.0.113.7", None, "203.0.113.7"),
        ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64"),
        ("fd00::1", "[2001:db8:1:2:ffff::9]:443", "2001:db8:1:2::/64"),
    ],
)
def test_the_address_is_the_last_one_that_is_no_proxy_of_ours(peer: str, forwarded: str | None, address: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    assert client_address.from_scope({"client": (peer, 1), "headers": headers}, PROXIES) == address


def test_without_a_setting_no_header_is_believed() -> None:
    scope = {"client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", b"198.51.100.1")]}
    assert client_address.from_scope(scope, ()) == "127.0.0.1"
    assert client_address.from_scope({"client": None, "headers": []}, ()) == ""


# Over HTTP


def test_all_tokens_of_a_user_share_one_limit(shared_database_url: str, committer: Committer) -> None:
    with running(shared_database_url) as process:
        company = Company(committer)
        tokens = [
            process.request("POST", "/api/tokens/", {"name": "x"}, token=company.admin.token).json()["token"] for _ in range(4)
        ]
    with running(shared_database_url, rate_limit=2) as process:
        statuses = [process.request("GET", ME, token=token).status for token in tokens * 3]
        assert statuses[:4] == [200] * 4
        assert statuses.count(429) >= 7
        assert process.request("GET", ME, token=company.user("rep").token).status == 200


def test_tokens_that_are_no_good_are_counted_by_address_and_a_good_one_passes(
    shared_database_url: str, committer: Committer
) -> None:
    def tried(process: InProcess, address: str) -> Reply:
        return process.request("GET", ME, token="opp_guessed", X_Forwarded_For=address)

    with running(shared_database_url, rate_limit=0.01, trusted_proxies="127.0.0.1") as process:
        company = Company(committer)
        assert tried(process, "198.51.100.1").status == 401
        refused = tried(process, "198.51.100.1")
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) == 100
        assert refused.json()["code"] == "too_many_requests"
        assert tried(process, "198.51.100.2").status == 401
        assert [tried(process, f"2001:db8::{n}").status for n in range(1, 3)] == [401, 429]
        assert process.request("GET", ME, token=company.admin.token, X_Forwarded_For="198.51.100.1").status == 200
