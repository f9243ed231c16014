"""A list knows which of its parameters are not filters."""

from __future__ import annotations

from app.http.filters import Filters
from app.http.list_spec import ListSpec
from projections.conditions import Order

ORDER = (Order("name", False),)


def test_every_list_has_pages_and_fields() -> None:
    assert ListSpec(Filters(), (), (), ("id",)).others == ("page", "page_size", "limit", "offset", "fields")


def test_ordering_cursors_and_as_of_are_where_the_list_has_them() -> None:
    assert ListSpec(Filters(), ("name",), ORDER, ("id",)).others[-1] == "ordering"
    assert "cursor" in ListSpec(Filters(), (), (), ("id",), cursors=True).others
    assert ListSpec(Filters(), (), (), ("id",), as_of=True).others[-1] == "as_of"
