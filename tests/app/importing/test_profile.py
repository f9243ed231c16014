"""What columns hold, and where the table ends."""

from __future__ import annotations

import io

from app.importing.profile import Profile, profile
from app.importing.table import understand


def of(text: str) -> Profile:
    return profile(understand(io.BytesIO(text.encode())))


def test_a_column_holds_what_most_of_its_cells_are() -> None:
    found = of('name,amount,day,closed,empty\nA,"1,200.50",3/13/2026,true,\nB,(3),2026-01-01,false,\n2026,17,1/2/2026,true,\n')
    assert [column.holds for column in found.columns] == ["text", "number", "date", "truth", "nothing"]
    assert (found.rows, found.mark, found.order, found.ambiguous_dates) == (3, ".", "mdy", False)


def test_dates_that_may_be_either_are_said_to_be_ambiguous() -> None:
    assert of("day,x,y\n1/2/2026,a,b\n3/4/2026,a,b\n").ambiguous_dates


def test_totals_and_remarks_at_the_end_are_no_rows() -> None:
    found = of('name,owner,amount\nA,x,1\nB,y,2\nTotal,,3\n\n"Copyright"\n"Confidential, all of it"\n')
    assert (found.rows, found.footer_line) == (2, 4)


def test_a_deal_called_total_is_a_row() -> None:
    found = of("name,owner,amount\nA,x,1\nTotal,y,2\n")
    assert (found.rows, found.footer_line) == (2, None)


def test_distinct_texts_are_counted_up_to_a_number() -> None:
    found = of("stage,id\n" + "".join(f"s{n % 3},i{n}\n" for n in range(1_500)))
    assert found.columns[0].distinct == {"s0": 500, "s1": 500, "s2": 500}
    assert (found.columns[1].distinct, found.columns[1].samples) == (None, ("i0", "i1", "i2", "i3", "i4"))
