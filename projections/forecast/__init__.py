"""The forecast's ledger: every event that moves money posts what it takes away and what it adds, with the cause.

A deal contributes to the month of its close date (of the actual one once it is won). Deals without a date are
unscheduled, which is a month of its own, after all others: day ``infinity``. An event posts the difference between the
contributions before and after it, step by step, so that each step has one cause:

- The first event, a deletion or a restoration moves the whole contribution: ``created``, ``deleted``, ``restored``.
- Another date moves the contribution as it was, to an earlier day ``pulled_in``, to a later one ``pushed_out``. A date
  given to an unscheduled deal pulls it in, a date cleared pushes it out. A corrected actual date of a won deal does the same.
- Winning takes the open contribution out and puts the actual amount in, both ``won``; if the actual day differs from
  the scheduled one, the open amount is moved there first, so that the step ``won`` is only a difference in amount.
- Losing takes the contribution out: ``lost``. Reopening takes the won one out, if there was one, and puts the open one
  in, on its own day: ``reopened``.
- Otherwise a larger amount is ``increased``, at the probability as it was, a smaller one ``decreased``; then another
  probability does the same to the weighted sum alone. Another currency takes the old amount out (``decreased``) and puts
  the new one in (``increased``), because no rate may be used here. So neither step ever has the other's sign.
- What changes no contribution (stage at the same probability, tags, a lost deal) posts nothing.

Another owner posts a transfer, which is kept apart because it moves nothing where owners do not matter: before all other steps of
its event, the contribution as it was goes from the one (``transferred_out``) to the other (``transferred_in``).

Balances are the running sums of the ledger, by month and by day: the current ones, and by cause what moved in each month in
which events occurred. Movements are the same sums for each day on which events occurred, and the sums of owners those of each
owner for each month of events, transfers included; what is owned now are these without months of events and causes. There are no
rates here: every sum is in the deals' own currencies. How they are kept is in ``folding``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from domain.opportunity.events import State
from projections.forecast.money import Contribution, ForecastStatus, contribution

INFINITY = "infinity"
"""As a day: that of the unscheduled deals. As a period of balances: everything up to now."""

Cause = Literal["created", "reopened", "increased", "decreased", "pulled_in", "pushed_out", "won", "lost", "deleted", "restored"]

Transfer = Literal["transferred_in", "transferred_out"]

CAUSES: tuple[Cause, ...] = get_args(Cause)
TRANSFERS: tuple[Transfer, ...] = get_args(Transfer)
"""Causes of a change of owner, where that matters."""
SUMS = ("unweighted", "weighted", "n")
COLUMNS: Mapping[Cause | Transfer, tuple[str, str]] = {
    cause: (f"{cause}_unweighted", f"{cause}_weighted") for cause in (*CAUSES, *TRANSFERS)
}
"""The columns that say how much of a sum is due to each cause."""
AMOUNTS = tuple(name for cause in CAUSES for name in COLUMNS[cause])
AMOUNTS_OF_OWNERS = tuple(name for names in COLUMNS.values() for name in names)
SUMS_OF: Mapping[str, tuple[str, ...]] = {
    "forecast_balances": AMOUNTS,
    "forecast_movements": AMOUNTS,
    "forecast_owners": AMOUNTS_OF_OWNERS,
    "forecast_owned": (),
}
"""The sums, and their columns for causes."""


class Posting(NamedTuple):
    """One signed step; ``n`` is the number of deals that come (+1) or go (-1) with it."""

    cause: Cause | Transfer
    day: date | None
    currency: str
    status: ForecastStatus
    unweighted: Decimal
    weighted: Decimal
    n: int


def postings(before: State | None, after: State) -> Iterator[Posting]:
    """The steps from the deal's contribution before an event to the one after it; none if nothing moves."""
    old, new = contribution(before), contribution(after)
    if old == new:
        return
    turn = _turn(before, after)
    if turn in ("won", None) and old and new and old.day != new.day:
        moved = old._replace(day=new.day)
        yield from _step("pulled_in" if _earlier(new.day, old.day) else "pushed_out", old, moved)
        old = moved
    if turn:
        yield from _step(turn, old, new)
    elif old and new:
        yield from _changed(old, new)


def transfers(before: State | None, after: State) -> Iterator[tuple[UUID, Posting]]:
    """What an event moves from one owner to another, first of all; none if the owner is the same."""
    if before is None or before.owner_id == after.owner_id:
        return
    if old := contribution(before):
        yield before.owner_id, Posting("transferred_out", *old[:3], -old.amount, -old.weighted, -1)
        yield after.owner_id, Posting("transferred_in", *old[:3], old.amount, old.weighted, 1)


def _turn(before: State | None, after: State) -> Cause | None:
    """What happened to the deal as a whole; None if it is the same deal with other figures."""
    if before is None:
        return "created"
    if before.deleted != after.deleted:
        return "deleted" if after.deleted else "restored"
    if before.status == after.status:
        return None
    return "reopened" if after.status == "open" else after.status


def _changed(old: Contribution, new: Contribution) -> Iterator[Posting]:
    if old.currency != new.currency:
        yield from _step("decreased", old, None)
        yield from _step("increased", None, new)
        return
    resized = old._replace(amount=new.amount)
    yield from _step("increased" if new.amount > old.amount else "decreased", old, resized)
    yield from _step("increased" if new.probability > old.probability else "decreased", resized, new)


def _step(cause: Cause, old: Contribution | None, new: Contribution | None) -> Iterator[Posting]:
    if old and new and old[:3] == new[:3]:
        unweighted, weighted = new.amount - old.amount, new.weighted - old.weighted
        if unweighted or weighted:
            yield Posting(cause, *new[:3], unweighted, weighted, 0)
        return
    if old:
        yield Posting(cause, *old[:3], -old.amount, -old.weighted, -1)
    if new:
        yield Posting(cause, *new[:3], new.amount, new.weighted, 1)


def _earlier(day: date | None, than: date | None) -> bool:
    return day is not None and (than is None or day < than)
