"""What a waterfall shows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from projections.forecast.entries import Step
from projections.forecast.groups import Card
from projections.forecast.limits import MAX_BEHIND, MAX_GROUPS
from projections.forecast.money import Number


class WaterfallSteps(Struct, kw_only=True):
    """Signed amounts by cause; ``start`` plus all of them is ``end``.

    Those that go from owner to owner are there with a filter on owners, and in groups; what filters include and exclude, with a
    filter on anything else.
    """

    start: Number
    created: Number
    reopened: Number
    increased: Number
    decreased: Number
    pulled_in: Number
    pushed_out: Number
    won: Number
    lost: Number
    deleted: Number
    restored: Number
    transferred_in: Number | UnsetType = UNSET
    transferred_out: Number | UnsetType = UNSET
    included: Number | UnsetType = UNSET
    excluded: Number | UnsetType = UNSET
    rate_change: Number
    end: Number


STEPS = WaterfallSteps.__struct_fields__[:-1]


class OpportunitiesBehind(Struct):
    """The opportunities behind a step: how many, and the ids of the first of them in their order."""

    count: int
    ids: Annotated[
        Raw, Meta(extra_json_schema={"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": MAX_BEHIND})
    ]


class WaterfallColumns(Struct, kw_only=True):
    """The steps of the plain amounts, and of those weighted by probability."""

    unweighted: WaterfallSteps
    weighted: WaterfallSteps


class WaterfallGroup(WaterfallColumns):
    """What changed for one owner."""

    owner: Card


class OtherWaterfallGroups(WaterfallColumns):
    """The groups that are not shown, added up; ``groups`` is the number of them."""

    groups: int


class GroupedColumns(WaterfallColumns, kw_only=True):
    """With ``group_by`` also the groups, the largest first, and the others if there are any."""

    groups: Annotated[list[WaterfallGroup], Meta(max_length=MAX_GROUPS)] | UnsetType = UNSET
    others: OtherWaterfallGroups | UnsetType = UNSET


class ExplainedColumns(GroupedColumns, kw_only=True):
    """``opportunities`` are those behind each step, by cause, if the question is expanded by them."""

    opportunities: dict[Step, OpportunitiesBehind] | UnsetType = UNSET


class WaterfallMonth(ExplainedColumns):
    month: str


class UnconvertedWaterfall(WaterfallColumns):
    """Deals in a currency without a known rate at the end, in that currency."""

    currency: str


class Waterfall(Struct, kw_only=True):
    """What changed. ``total`` is that of the months, without what is unscheduled or unconverted."""

    currency: str
    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    total: GroupedColumns
    months: list[WaterfallMonth]
    unscheduled: ExplainedColumns
    unconverted: list[UnconvertedWaterfall]
