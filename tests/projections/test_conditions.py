"""Statements that become parts of others."""

from __future__ import annotations

from projections.conditions import SqlStatement, part
from projections.questions import Question


def test_a_part_of_another_statement_has_names_of_its_own_for_its_parameters() -> None:
    asked = Question("asked", "cheap")
    one = SqlStatement("a = %(a)s AND b = %(b)s::int", {"a": 1, "b": 2}, asked)
    assert one.renamed("less_") == ("a = %(less_a)s AND b = %(less_b)s::int", {"less_a": 1, "less_b": 2}, asked)


def test_the_first_page_has_its_limit_in_the_text_and_later_ones_share_a_statement() -> None:
    params = {"org": 1}
    assert (part(50, 0, params), params) == ("LIMIT 50", {"org": 1})
    assert part(50, 100, params) == "LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint"
    assert params == {"org": 1, "limit": 50, "offset": 100}
