"""The form in which texts are searched, and the patterns that find a word in it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest

from projections.search import containing, containing_name, like, runs, searchable, split, words


@pytest.mark.parametrize(
    ("name", "more", "stored"),
    [
        ("Acme Corp", "", " acme corp"),
        ("  Söhne\tGmbH ", "", " sohne gmbh"),
        ("Acme (Berlin)", "", " acme (berlin)\n berlin"),
        ("a-b-c", "", " a-b-c\n b c"),
        ("Acme", "x@acme.example", " acme\n x@acme.example acme example"),
        ("a/b", " C ", " a/b\n c b"),
        ("", "", " "),
    ],
)
def test_a_text_is_stored_folded_with_what_begins_inside_of_words(name: str, more: str, stored: str) -> None:
    assert searchable(name, more) == stored
    assert searchable(name) == searchable(name, "")


@pytest.mark.parametrize(
    ("word", "pattern"),
    [
        ("acme", "%acme%"), ("ACM", "%acm%"), ("ac", "% ac%"), ("a", "% a%"), ("é", "% e%"), ("&", "%&%"), ("+x", "%+x%"),
        ("東", "%東%"), ("東京", "%東京%"), ("50%", "%50\\%%"), ("a_b", "%a\\_b%"), ("c:\\d", "%c:\\\\d%"),
    ],
)  # fmt: skip
def test_a_short_word_is_looked_for_where_words_begin_and_a_long_one_anywhere(word: str, pattern: str) -> None:
    params: dict[str, Any] = {}
    assert words(word, "p", params, lambda mark: f"t LIKE {mark}") == "t LIKE %(pw0)s"
    assert params == {"pw0": pattern}


def test_every_word_must_be_found_and_each_is_looked_for_once() -> None:
    params: dict[str, Any] = {"org_id": 1}
    assert words(" Acme  corp ACME", "p", params, lambda mark: f"t LIKE {mark}") == "t LIKE %(pw0)s AND t LIKE %(pw1)s"
    assert params == {"org_id": 1, "pw0": "%acme%", "pw1": "%corp%"}
    assert words("  ", "p", {}, str) == "true"


def test_a_phrase_is_looked_for_as_it_is() -> None:
    assert containing("Söhne  50%_\\") == "%sohne  50\\%\\_\\\\%"
    assert containing_name(" Söhne  50%") == "%sohne 50\\%%"
    assert like("\\%_") == "\\\\\\%\\_"


@pytest.mark.parametrize(("phrase", "found"), [("ber", True), ("be", True), ("er", False), ("acme ber", True), ("bern", False)])
def test_what_is_stored_is_found(phrase: str, *, found: bool) -> None:
    params: dict[str, Any] = {}
    words(phrase, "p", params, str)
    stored = searchable("Acme (Berlin)")
    assert all(fnmatchcase(stored, pattern.replace("%", "*")) for pattern in params.values()) is found


def test_a_text_is_split_into_its_words_each_once_in_order() -> None:
    assert split(" b-c a b-c\n c a") == ["b-c", "a", "c"]


def test_a_word_with_signs_has_parts_without_any() -> None:
    assert runs("jane.doe+x@acme_corp.example") == ["jane", "doe", "x", "acme_corp", "example"]
    assert runs("acme") == ["acme"]
    assert runs("&") == []
