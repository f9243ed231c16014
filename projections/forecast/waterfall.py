"""What changed in the forecast between two instants, by month and cause: SQL for one statement with one row, from which
``waterfall_answer`` makes the response.

Without filters it sums balances and movements, by owner their sums, and otherwise what ``filtered`` finds.
"""

from __future__ import annotations

from projections import questions
from projections.conditions import SqlStatement
from projections.forecast import by_owner, filtered, owners
from projections.forecast.balances import AS_START, balances_at, month_start, moves, rate_period, start_and_moves
from projections.forecast.current import OWN_CURRENCY
from projections.forecast.entries import SOMETHING, SUMS, WaterfallQuery, behind, ledger, rates
from projections.forecast.limits import MAX_MONTHS_WITH_DEALS
from projections.forecast.owners import ALL_MONTHS
from projections.questions import Question


def changes(query: WaterfallQuery, first: str = "") -> SqlStatement:
    """The steps: one row (the org's currency; the sums' rates, or with groups ``true``, NULL if there are too many months; the
    opportunities behind the steps; the steps, or with groups the columns of ``owners``). Columns ``first`` (SQL) come before."""
    source = _steps(query)
    params = source.params
    if query.group_by:
        params |= {"groups_limit": query.groups_limit, "months": len(query.bounds.months())}
        tables, known, steps = owners.tables(query, OWN_CURRENCY), "'true'", owners.columns(query)
    else:
        tables, known, steps = _sums(query), f"({_RATES})", f"({_STEPS}) AS steps"
    few_months = f"(SELECT count(DISTINCT x.month) FROM g x WHERE x.month > '{ALL_MONTHS}') <= {MAX_MONTHS_WITH_DEALS}"
    explained = behind(query, "c" if deal_by_deal(query) else f"({entries(query).text})") if query.expanded else "'[]'"
    text = f"""
        WITH c AS {"MATERIALIZED" if deal_by_deal(query) else ""} ({source.text}), {tables}
        SELECT {first}{OWN_CURRENCY} AS own, (CASE WHEN {few_months} THEN {known} END)::varchar AS rates,
            ({explained})::varchar AS behind, {steps}
    """
    return SqlStatement(text, params, _question(query))


def written_since(query: WaterfallQuery, tables: str, first: str, when: str) -> SqlStatement:
    """As ``changes``, what the events after ``%(kept_position)s`` do to the steps, with all owners. ``tables`` are other common
    table expressions, which the condition ``when`` (SQL) may name."""
    source = by_owner.written_since(query)
    if query.group_by:
        sums, known, steps = owners.valued(query, OWN_CURRENCY), "'true'", owners.columns_of_few(query)
    else:
        sums, known, steps = _sums(query), f"({_RATES})", f"({_STEPS}) AS steps"
    text = f"""
        WITH {tables}, c AS ({source.text} AND {when}), {sums}
        SELECT {first}{OWN_CURRENCY} AS own, {known}::varchar AS rates, '[]'::varchar AS behind, {steps}
    """
    return SqlStatement(text, source.params)


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


_RATES = """
    SELECT coalesce(json_agg(json_build_array(
        k.month, k.currency, k.status, k.period, k.start_rate, k.start_report_rate, k.end_rate, k.end_report_rate
    )), '[]') FROM k
"""
_STEPS = """
    SELECT coalesce(json_agg(json_build_array(
        g.month, g.currency, g.status, g.period, g.cause, g.unweighted, g.weighted, g.n
    )), '[]')::varchar FROM g
"""


def _steps(query: WaterfallQuery) -> SqlStatement:
    if by_owner.answers(query):
        return by_owner.steps(query)
    return filtered.steps(query) if query.filtered else _balances(query)


def deal_by_deal(query: WaterfallQuery) -> bool:
    """Whether the steps are those of each deal, and not sums."""
    return query.filtered and not by_owner.answers(query)


def entries(query: WaterfallQuery) -> SqlStatement:
    """The steps of each deal."""
    if by_owner.answers(query):
        return by_owner.ledger(query)
    return filtered.steps(query) if query.filtered else SqlStatement(ledger(query), query.params())


def _balances(query: WaterfallQuery) -> SqlStatement:
    if query.until_now:
        found = start_and_moves("moved", query.start, query.today, query.bounds)
        return SqlStatement(found.text, found.params | query.params())
    start = balances_at("before", query.start, query.today, query.bounds)
    moved = moves("moved", query.start, query.end, query.bounds)
    text = f"SELECT c.* FROM ({moved.text}) c UNION ALL SELECT {AS_START} FROM ({start.text}) c"
    return SqlStatement(text, start.params | moved.params | query.params())


def _question(query: WaterfallQuery) -> Question:
    if query.expanded:
        return questions.WATERFALL_EXPANDED
    if deal_by_deal(query):
        return questions.WATERFALL_FILTERED
    if query.filtered:
        return questions.WATERFALL_GROUPED if query.group_by else questions.WATERFALL_OWNER
    return questions.WATERFALL_DAYS if query.bounds.cut_months("b.day") else questions.WATERFALL
