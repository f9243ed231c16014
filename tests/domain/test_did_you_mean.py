"""Names that are not known are answered with the nearest that is."""

from __future__ import annotations

from domain.did_you_mean import Hints, closest, nearest, suggestion


def test_the_nearest_name_is_offered_with_all_there_are() -> None:
    assert nearest("negotation", ["won", "negotiation"]) == "Did you mean 'negotiation'? Known: won, negotiation."
    assert nearest("xyz", []) == "Known: none."


def test_a_hint_names_some_of_very_many() -> None:
    text = nearest("option_8", [f"option_{n}" for n in range(200)])
    assert text.startswith("Did you mean 'option_8'? Known: option_0, ")
    assert text.endswith("option_49 and 150 more.")
    assert nearest("x", [f"option_{n}" for n in range(50)]).endswith("option_49.")


def test_what_is_very_long_is_compared_by_its_beginning() -> None:
    assert closest("clos_date" + "x" * 1_000_000, ["close_date", "name"], 0.2) == "close_date"


def test_case_and_marks_make_no_other_name() -> None:
    assert closest("CLOSE_DÄTE", ["name", "close_date"]) == "close_date"


def test_a_name_is_suggested_where_one_is_near() -> None:
    assert suggestion("clos_date", ["name", "close_date"]) == " Did you mean close_date?"
    assert suggestion("xyz", ["name", "close_date"]) == ""


def test_an_operator_that_a_filter_has_not_is_answered_with_one_that_it_has() -> None:
    assert suggestion("amount__near", ["amount", "amount__gte", "account"]) in (
        " Did you mean amount?",
        " Did you mean amount__gte?",
    )
    far = "z" * 30
    known = ["cf_a__b", "cf_a__b__in", far]
    assert suggestion(f"cf_a__b__{far}", known) in (" Did you mean cf_a__b?", " Did you mean cf_a__b__in?")


def test_a_name_that_is_half_another_one_is_near_enough() -> None:
    assert suggestion("abcdefghij", ["abcdexxxxx"]) == ""
    assert suggestion("abcdefghijklmn", ["abcdefghxxxxxx"]) == " Did you mean abcdefghxxxxxx?"


def test_a_request_is_given_so_many_hints_and_no_more() -> None:
    hints = Hints(["name"])
    assert [hints.meant("nam") for _ in range(11)] == [" Did you mean name?"] * 10 + [""]


def test_so_many_characters_of_a_name_are_compared() -> None:
    within, beyond = ("a" * 63 + end for end in "bc"), ("a" * 64 + end for end in "bc")
    assert closest("a" * 63 + "b", within) == "a" * 63 + "b"
    assert closest("a" * 64 + "b", beyond) == "a" * 64 + "c", "they are alike as far as they are compared, and the last one stands"
