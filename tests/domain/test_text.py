"""Text is kept in one form and compared without what people do not tell apart."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest

from consumers.webhooks.endpoints import Deal, Owner, passes
from domain import account, custom_field, opportunity, webhook_endpoint
from domain.text import LINE_PATTERN, breaking, caseless, folded, is_blank, json_nfc, nfc, normal
from domain.webhook_endpoint import WebhookFilters
from tests.support.domain import ACCOUNT, REP, Given, created

EVERY_CHARACTER = [
    character for number in range(sys.maxunicode + 1) if not 0xD800 <= number <= 0xDFFF and (character := chr(number))
]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("SÖHNE", "sohne"), ("So\u0308hne", "sohne"), ("Straße", "strasse"), ("İstanbul", "istanbul"), ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("ﬁne", "fine"), ("Ａｃｍｅ", "acme"), ("ЁЛКА", "елка"), ("so\u00adft", "soft"), ("a\u200bb", "ab"),
        ("❤️", "❤"), ("Plain", "plain"),
    ],
)  # fmt: skip
def test_folded_text_has_neither_case_nor_marks_nor_anything_invisible(text: str, form: str) -> None:
    assert folded(text) == form


def test_folding_twice_is_folding_once_and_the_normal_form_folds_the_same() -> None:
    for character in EVERY_CHARACTER:
        if not unicodedata.decomposition(character) and character.casefold() == character:
            continue
        form = folded(character)
        assert folded(form) == form, hex(ord(character))
        assert folded(nfc(character)) == form, hex(ord(character))


def test_what_differs_in_case_alone_is_the_same_caseless() -> None:
    assert caseless("JÜRGEN@X.DE") == caseless("ju\u0308rgen@x.de") == "jürgen@x.de"
    assert caseless("jurgen@x.de") != caseless("jürgen@x.de")
    assert caseless("\N{KELVIN SIGN}@X.DE") == caseless("K@X.DE") == "k@x.de"


def test_normal_text_is_composed_and_has_no_space_around_it() -> None:
    assert normal(" \u00a0So\u0308hne\n") == "Söhne"
    assert json_nfc({"o\u0308": ["o\u0308", 1, {"a": None}]}) == {"ö": ["ö", 1, {"a": None}]}


def test_text_without_a_visible_character_is_blank() -> None:
    for text in ("", " ", "\u200b", "\ufeff", "\u3164", "\u2800", "\u00ad\u2060", "\t\u2003"):
        assert is_blank(text), ascii(text)
    for text in ("a", "·", "日", "👍", "\u200ba"):
        assert not is_blank(text), ascii(text)


def test_a_line_has_no_character_that_breaks_it_or_turns_it_round() -> None:
    controls = {character for character in EVERY_CHARACTER if unicodedata.category(character) in ("Cc", "Zl", "Zp")}
    overrides = {character for character in EVERY_CHARACTER if unicodedata.bidirectional(character) in DIRECTIONS}
    assert {character for character in EVERY_CHARACTER if breaking(character)} == controls | overrides


DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def test_the_pattern_of_a_line_takes_what_a_line_takes() -> None:
    for text in ("Acme", " a b ", "\nAcme\n", "שלום", "\u200ba"):
        assert re.search(LINE_PATTERN, text), ascii(text)
    for text in ("", " ", "a\nb", "a\u202eb", "\u2066"):
        assert not re.search(LINE_PATTERN, text), ascii(text)


OLD = "So\u0308hne\n"
"""A name as it may stand in an old log."""


def test_old_text_that_comes_back_as_it_was_is_no_change() -> None:
    deal = Given(created(name=OLD, tags=(OLD,), custom_fields={"o\u0308": "o\u0308"}))
    deal.when(opportunity.Update(name=OLD, tags=(OLD,), custom_fields={"o\u0308": "o\u0308"})).then()
    company = Given(account.Created(name=OLD, domain=OLD))
    company.when(account.Update(name=OLD, domain=OLD)).then()
    company.when(account.Update(name=OLD, domain="a\n")).then(account.Updated(domain="a"))
    field = Given(custom_field.Created(definition=custom_field.Definition(key="k", label="a\nb", type="text")), by="admin")
    field.when(custom_field.Update(field="k", label="a\nb", required=True)).then(custom_field.Updated(key="k", required=True))


def test_a_filter_of_a_webhook_is_compared_in_one_form() -> None:
    command = webhook_endpoint.Create(
        url="https://x.com", events=("opportunity.won",), filters=WebhookFilters(custom_fields={"o\u0308": ["o\u0308"]})
    )
    endpoint = Given(by="admin").when(command).state
    assert endpoint.filters.custom_fields == {"ö": ["ö"]}
    assert passes(endpoint.filters, deal_with({"o\u0308": "o\u0308"}))


def deal_with(custom_fields: dict[str, str]) -> Deal:
    return Deal(ACCOUNT, "won", "USD", None, Owner(REP), custom_fields)
