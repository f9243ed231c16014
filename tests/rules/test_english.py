"""Plain English: the words that must not come back, and what docstrings of modules say is refused."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.processes import ROOT
from tests.support.sources import modules, texts, tree

RIDDLES = re.compile(r"\b(anew|of late|mend(s|ed|ing)?|whatever the|let(s|ting)? go of|by and by)\b", re.IGNORECASE)
"""Each has a plain word: again or rebuilt, recently, fix, for any, drop, later."""
CLAIM = re.compile(r"\b[Rr]efuses\b")
SHOWN_BY = {
    "app/cli/serve.py": ("app/cli/test_main.py", "test_an_older_schema_is_refused_in_a_line"),
    "app/dev/kafka_retention.py": ("e2e/test_broker_retention.py", "test_nothing_goes_before_the_webhooks_have_taken_it"),
    "app/http/bodies.py": ("app/http/test_bodies.py", "test_other_media_types_are_refused"),
    "app/http/etag.py": ("app/http/test_preconditions.py", "test_a_precondition_that_cannot_be_read_is_refused"),
    "app/http/filters.py": ("app/resources/test_opportunity_lists.py", "test_an_unknown_parameter_is_named_with_the_nearest"),
    "app/http/idempotency_key.py": ("app/http/test_preconditions.py", "test_an_idempotency_key_is_visible_ascii"),
    "app/http/middleware.py": ("app/http/test_middleware.py", "test_nothing_under_api_answers_without_a_token"),
    "app/http/paging.py": ("app/http/test_paging.py", "test_the_three_ways_do_not_mix"),
    "app/reading/read_pool.py": ("app/reading/test_read_pool.py", "test_a_reader_cannot_write"),
    "app/resources/forecast_parameters.py": ("app/schema/test_bounds.py", "test_a_forecast_is_of_120_months_at_most"),
    "app/schema/openapi.py": ("app/schema/test_openapi.py", "test_every_route_describes_itself"),
    "app/server/chunks.py": ("app/server/test_requests.py", "test_a_chunked_body_that_is_framed_badly_is_400"),
    "consumers/kafka.py": ("consumers/test_kafka_settings.py", "test_without_the_c_checksum_nothing_starts"),
    "consumers/republish.py": (
        "consumers/test_relay.py",
        "test_a_range_sent_again_to_the_relays_topic_proves_nothing_and_is_never_ahead",
    ),
    "consumers/webhooks/redelivery.py": ("app/resources/test_webhooks.py", "test_what_is_asked_of_an_inactive_endpoint_is_refused"),
    "domain/catalog.py": ("domain/test_catalog.py", "test_every_stored_name_has_a_golden_file"),
    "domain/event_store.py": ("domain/test_event_store.py", "test_the_log_refuses_to_be_changed"),
    "domain/exchange_rate.py": ("domain/test_exchange_rate.py", "test_the_org_s_own_currency_and_unknown_ones_have_no_rate"),
    "domain/user.py": ("domain/test_user.py", "test_the_last_active_admin_stays_one"),
    "projections/forecast/money.py": ("projections/forecast/test_money.py", "test_digits_are_never_lost_silently"),
    "projections/history.py": ("projections/test_history.py", "test_neither_a_token_s_hash_nor_a_webhook_s_url_is_told"),
    "projections/idempotency_records.py": ("app/http/test_preconditions.py", "test_a_key_is_for_one_request_of_one_user"),
    "projections/opportunities/cursors.py": (
        "projections/opportunities/test_cursors.py",
        "test_a_cursor_is_good_for_its_ordering_alone",
    ),
}
"""The module that says it refuses something → the test that fails when it does not."""
DOCUMENTS = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"])


def prose() -> Iterator[tuple[str, str]]:
    """Every docstring, comment and text of the product, and every document, with its place."""
    for module in modules():
        source = (ROOT / module).read_text()
        yield from ((f"{module}:{number}", line) for number, line in enumerate(source.splitlines(), 1) if "#" in line)
        strings = [node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Expr)]
        yield from (
            (f"{module}:{each.lineno}", each.value)
            for each in strings
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        )
        yield from ((f"{module}:{line}", text) for line, text in texts(module))
    for document in DOCUMENTS:
        lines = enumerate(document.read_text().splitlines(), 1)
        yield from ((f"{document.relative_to(ROOT)}:{number}", line) for number, line in lines)


def test_words_that_make_readers_stop_do_not_come_back() -> None:
    found = {f"{place}: {match[0]}" for place, text in prose() if (match := RIDDLES.search(text))}
    assert found == set()


def test_a_module_says_that_it_refuses_something_only_where_a_test_shows_it() -> None:
    """As a flourish it teaches readers to skip the docstring."""
    saying = {str(module) for module in modules() if CLAIM.search(ast.get_docstring(tree(module)) or "")}
    assert saying == set(SHOWN_BY)


@pytest.mark.parametrize(("file", "name"), SHOWN_BY.values())
def test_the_test_that_shows_it_exists(file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()
