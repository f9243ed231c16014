"""What changed in the forecast between two instants, by month and cause: one statement, and the response from its single row.

Start plus the steps is always the end. The start is valued as the forecast was at ``start``, the end as at ``end``. Steps of open
deals are valued at the rates of the start, so that they show what people did (at those of the end if the start had none), steps of
won deals at the rate of their day as known at the end. ``rate_change`` is the rest: what the rates did. A step shown is the
difference of two running totals, each rounded once, so that the shown numbers add up too. Deals for which the end has no rate are
listed apart, in their own currency.

Without filters it sums balances and movements, by owner their sums, and otherwise what ``filtered`` finds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from projections import questions
from projections.conditions import SqlStatement
from projections.forecast import INFINITY, TRANSFERS, by_owner, filtered, owners
from projections.forecast.balances import balances_at, month_start, moves, rate_period
from projections.forecast.current import OWN_CURRENCY, too_many_months
from projections.forecast.entries import MEMBERSHIPS, SOMETHING, SUMS, Step, WaterfallQuery, behind, ledger, rates
from projections.forecast.limits import MAX_MONTHS_WITH_DEALS
from projections.forecast.money import (
    ONE,
    SAME,
    ZERO,
    Currencies,
    Factor,
    ForecastStatus,
    Total,
    added,
    difference,
    rounded,
    shortest,
)
from projections.forecast.owners import ALL_MONTHS
from projections.forecast.periods import utc
from projections.forecast.waterfall_types import (
    STEPS,
    ExplainedColumns,
    GroupedColumns,
    OpportunitiesBehind,
    OtherWaterfallGroups,
    UnconvertedWaterfall,
    Waterfall,
    WaterfallColumns,
    WaterfallGroup,
    WaterfallMonth,
    WaterfallSteps,
)
from projections.questions import Question


def changes(query: WaterfallQuery) -> SqlStatement:
    """The steps for ``answer``: one row (the org's currency; the sums' rates, or with groups ``true``, NULL if there are too many
    months; the opportunities behind the steps; the steps, or with groups the columns of ``owners``)."""
    source = _steps(query)
    params = source.params
    if query.group_by:
        params |= {"groups_limit": query.groups_limit, "months": len(query.bounds.months())}
        tables, known, steps = (
            owners.tables(query, OWN_CURRENCY),
            f"CASE WHEN {_few_months('g')} THEN 'true' END",
            owners.columns(query),
        )
    else:
        tables, steps = _sums(query), f"({_STEPS}) AS steps"
        known = f"""
            CASE WHEN {_few_months("k")} THEN (SELECT coalesce(json_agg(json_build_array(
                k.month, k.currency, k.status, k.period, k.start_rate, k.start_report_rate, k.end_rate, k.end_report_rate
            )), '[]') FROM k) END
        """
    explained = behind(query, "c" if _deal_by_deal(query) else f"({entries(query).text})") if query.expanded else "'[]'"
    text = f"""
        WITH c AS {"MATERIALIZED" if _deal_by_deal(query) else ""} ({source.text}), {tables}
        SELECT {OWN_CURRENCY} AS own, ({known})::varchar AS rates, ({explained})::varchar AS behind, {steps}
    """
    return SqlStatement(text, params, _question(query))


def _few_months(table: str) -> str:
    return f"(SELECT count(DISTINCT x.month) FROM {table} x WHERE x.month > '{ALL_MONTHS}') <= {MAX_MONTHS_WITH_DEALS}"


def _sums(query: WaterfallQuery) -> str:
    """Common table expressions: from steps ``c`` the sums by cause ``g``, and with rates those of all causes ``k``."""
    period = f"coalesce({rate_period('c.status', 'c.day', query.bounds)}, -1)"
    keys = f"{month_start('c.day')} AS month, c.currency, c.status, {period} AS period"
    return f"""
        g AS MATERIALIZED (SELECT {keys}, c.cause, {SUMS} FROM c GROUP BY 1, 2, 3, 4, 5 HAVING {SOMETHING}),
        k AS MATERIALIZED (SELECT s.*, {rates(query)} FROM (
            SELECT g.month, g.currency, g.status, g.period, min(g.day) AS day FROM g GROUP BY 1, 2, 3, 4
        ) s)
    """


_STEPS = """
    SELECT coalesce(json_agg(json_build_array(
        g.month, g.currency, g.status, g.period, g.cause, g.unweighted, g.weighted
    )), '[]')::varchar FROM g
"""


def _steps(query: WaterfallQuery) -> SqlStatement:
    if by_owner.answers(query):
        return by_owner.steps(query)
    return filtered.steps(query) if query.filtered else _balances(query)


def _deal_by_deal(query: WaterfallQuery) -> bool:
    """Whether the steps are those of each deal, and not sums."""
    return query.filtered and not by_owner.answers(query)


def entries(query: WaterfallQuery) -> SqlStatement:
    """The steps of each deal."""
    if by_owner.answers(query):
        return by_owner.ledger(query)
    return filtered.steps(query) if query.filtered else SqlStatement(ledger(query), query.params())


def _balances(query: WaterfallQuery) -> SqlStatement:
    start = balances_at("before", query.start, query.today, query.bounds)
    moved = moves("moved", query.start, query.end, query.bounds)
    amounts = "c.currency, c.status, c.unweighted, c.weighted, c.n"
    text = f"SELECT c.* FROM ({moved.text}) c UNION ALL SELECT c.day, 'start', {amounts} FROM ({start.text}) c"
    return SqlStatement(text, start.params | moved.params | query.params())


def _question(query: WaterfallQuery) -> Question:
    if query.expanded:
        return questions.WATERFALL_EXPANDED
    if _deal_by_deal(query):
        return questions.WATERFALL_FILTERED
    if query.filtered:
        return questions.WATERFALL_GROUPED if query.group_by else questions.WATERFALL_OWNER
    return questions.WATERFALL_DAYS if query.bounds.cut_months("b.day") else questions.WATERFALL


class _Rates(Struct, array_like=True):
    month: str
    currency: str
    status: ForecastStatus
    period: int
    start_rate: Decimal | None
    start_report_rate: Decimal | None
    end_rate: Decimal | None
    end_report_rate: Decimal | None


class _Step(Struct, array_like=True):
    month: str
    currency: str
    status: ForecastStatus
    period: int
    cause: str
    unweighted: Decimal
    weighted: Decimal


class _BehindStep(Struct, array_like=True):
    month: str
    cause: Step
    count: int
    ids: Raw


_decode_rates = msgspec.json.Decoder(list[_Rates]).decode
_decode_steps = msgspec.json.Decoder(list[_Step]).decode
_decode_behind = msgspec.json.Decoder(list[_BehindStep]).decode


@dataclass(slots=True)
class _StepTotals:
    """The exact sum of each step of one column."""

    steps: defaultdict[str, Total] = field(default_factory=lambda: defaultdict(Total))

    def add(self, step: str, amount: Decimal, valued: Factor | None, at_end: Factor) -> None:
        if valued:
            self.steps[step].add(amount, valued)
        if valued != at_end:
            self.steps["rate_change"].add(amount, at_end)
            if valued:
                self.steps["rate_change"].add(amount.copy_negate(), valued)

    def shown(self, currency: str, told: Sequence[str]) -> WaterfallSteps:
        running = Total()
        before = running.rounded(currency)
        differences = dict.fromkeys(told, ZERO)
        for step in told:
            if not (total := self.steps.get(step)):
                continue
            after = running.merge(total).rounded(currency)
            differences[step] = shortest(difference(after, before))
            before = after
        return WaterfallSteps(**differences, end=shortest(before))


def _shown(causes: Sequence[str], amounts: Sequence[Decimal], currency: str, told: Sequence[str]) -> WaterfallSteps:
    """As ``_StepTotals`` shows them: of amounts in the currency, one for each cause. There may be thousands of these."""
    by_cause, differences = dict(zip(causes, amounts, strict=True)), dict.fromkeys(told, ZERO)
    running = before = rounded(ZERO, currency)
    for step in told:
        if amount := by_cause.get(step):
            running = added(running, amount)
            after = rounded(running, currency)
            differences[step] = shortest(difference(after, before))
            before = after
    return WaterfallSteps(**differences, end=shortest(before))


C = TypeVar("C", bound=WaterfallColumns)


def _columns(steps: owners.Steps, type_: type[C], currency: str, told: Sequence[str], /, **others: Any) -> C:
    """The columns of one group."""
    if any(by != ONE for by in steps.bys):
        totals = _ColumnTotals()
        totals.add_valued(steps)
        return totals.columns(type_, currency, told, **others)
    unweighted, weighted = (_shown(steps.causes, each, currency, told) for each in (steps.unweighted, steps.weighted))
    return type_(unweighted=unweighted, weighted=weighted, **others)


@dataclass(slots=True)
class _ColumnTotals:
    unweighted: _StepTotals = field(default_factory=_StepTotals)
    weighted: _StepTotals = field(default_factory=_StepTotals)
    behind: dict[Step, OpportunitiesBehind] = field(default_factory=dict)

    def add(self, step: _Step, valued: Factor | None, at_end: Factor) -> None:
        self.unweighted.add(step.cause, step.unweighted, valued, at_end)
        self.weighted.add(step.cause, step.weighted, valued, at_end)

    def add_valued(self, steps: owners.Steps) -> None:
        for cause, by, unweighted, weighted in zip(steps.causes, steps.bys, steps.unweighted, steps.weighted, strict=True):
            factor = Factor(ONE, by)
            self.unweighted.steps[cause].add(unweighted, factor)
            self.weighted.steps[cause].add(weighted, factor)

    def columns(self, type_: type[C], currency: str, told: Sequence[str], /, **others: Any) -> C:
        """As shown in a currency, with the other fields of the type."""
        return type_(unweighted=self.unweighted.shown(currency, told), weighted=self.weighted.shown(currency, told), **others)


class _Totals:
    """The sums of each month, of the unscheduled deals and of all months (``ALL_MONTHS``), in a currency; by place too."""

    def __init__(self, query: WaterfallQuery, currencies: Currencies) -> None:
        self._query = query
        self._currencies = currencies
        self.months = {f"{name}-01": _ColumnTotals() for name in query.bounds.months()}
        self.months |= {ALL_MONTHS: _ColumnTotals(), INFINITY: _ColumnTotals()}
        self.unconverted: defaultdict[str, _ColumnTotals] = defaultdict(_ColumnTotals)
        self._groups: defaultdict[str, list[WaterfallGroup]] = defaultdict(list)
        self._others: dict[str, OtherWaterfallGroups] = {}
        self._told_of_groups = [step for step in STEPS if query.of_others or step not in MEMBERSHIPS]
        self.told = [step for step in self._told_of_groups if query.of_owners or step not in TRANSFERS]

    def month(self, name: str) -> _ColumnTotals:
        if (found := self.months.get(name)) is None:
            found = self.months[name] = _ColumnTotals()
        return found

    def add(self, known: bytes, steps: bytes) -> None:
        """The steps of all deals, with the rates of each sum."""
        factor = self._currencies.factor
        values = {
            (each.month, each.currency, each.status, each.period): (
                factor(each.currency, each.start_rate, each.start_report_rate),
                factor(each.currency, each.end_rate, each.end_report_rate),
            )
            for each in _decode_rates(known)
        }
        for step in _decode_steps(steps):
            at_start, at_end = values[step.month, step.currency, step.status, step.period]
            if at_end is None:
                self.unconverted[step.currency].add(step, SAME, SAME)
                continue
            valued = at_start if step.cause == "start" else value(step.status, at_start, at_end)
            self.month(step.month).add(step, valued, at_end)
            if step.month != INFINITY:
                self.months[ALL_MONTHS].add(step, valued, at_end)

    def add_valued(self, found: owners.Found) -> None:
        """The steps of all deals, of the owners in their order, and of the others."""
        report, told = self._currencies.report, self._told_of_groups
        for month in found.all:
            self.month(month.month).add_valued(month)
            if month.month != INFINITY:
                self.months[ALL_MONTHS].add_valued(month)
        for currency in found.unconverted:
            self.unconverted[currency.currency].add_valued(currency)
        for each in found.owners:
            self._groups[each.month].append(_columns(each, WaterfallGroup, report, told, owner=found.cards[each.owner]))
        for rest in found.others:
            self._others[rest.month] = _columns(rest, OtherWaterfallGroups, report, told, groups=rest.number)

    def shown(self, type_: type[C], name: str, /, **more: Any) -> C:
        if self._query.group_by:
            more |= {"groups": self._groups[name], "others": self._others.get(name, UNSET)}
        return self.months[name].columns(type_, self._currencies.report, self.told, **more)

    def explained(self, name: str) -> dict[Step, OpportunitiesBehind] | UnsetType:
        behind = self.months[name].behind
        return {cause: behind[cause] for cause in self.told if cause in behind} if self._query.expanded else UNSET


def answer(query: WaterfallQuery, row: Sequence[Any]) -> Waterfall:
    """The response, from the row of ``changes``. Raises ``Invalid`` if there are too many months."""
    own, known, explained, *steps = row
    if known is None:
        raise too_many_months()
    currencies = Currencies(own, query.currency or own)
    totals = _Totals(query, currencies)
    if query.group_by:
        totals.add_valued(owners.decode(*steps))
    else:
        totals.add(known, *steps)
    for each in _decode_behind(explained):
        totals.month(each.month).behind[each.cause] = OpportunitiesBehind(each.count, each.ids)
    return Waterfall(
        currency=currencies.report,
        start=utc(query.start),
        end=utc(query.end),
        total=totals.shown(GroupedColumns, ALL_MONTHS),
        months=[
            totals.shown(WaterfallMonth, name, month=name[:7], opportunities=totals.explained(name))
            for name in sorted(totals.months)
            if name not in (ALL_MONTHS, INFINITY)
        ],
        unscheduled=totals.shown(ExplainedColumns, INFINITY, opportunities=totals.explained(INFINITY)),
        unconverted=[
            each.columns(UnconvertedWaterfall, name, totals.told, currency=name)
            for name, each in sorted(totals.unconverted.items())
        ],
    )


def value(status: ForecastStatus, at_start: Factor | None, at_end: Factor) -> Factor:
    """The rates at which a step is valued."""
    return at_end if status == "won" else at_start or at_end
