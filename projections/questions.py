"""The kinds of questions that the read models answer: each one's name in ``/metrics``, and its lane. This is the one place that
says what is dear.

A question is cheap if its cost is known to follow its answer, not the size of the org. Everything else is dear: it shares
connections with other dear questions, and waits for them (``app.reading.lane``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

LaneName = Literal["cheap", "dear"]


class Question(NamedTuple):
    """``kept`` is one whose answer is brought up to date from what is kept: cheap, but dearer than those through an index."""

    name: str
    lane: LaneName
    kept: bool = False


OTHER = Question("other", "dear")
"""Of a statement that does not say what it is."""

# Who asks, and whether we can serve. The gauges of ``/metrics`` take longer, but only one scrape at a time asks for them.
IDENTITY = Question("identity", "cheap")
PING = Question("ping", "cheap")
GAUGES = Question("gauges", "cheap")

# Records, settings and events, by their keys.
RECORD = Question("record", "cheap")
SETTINGS = Question("settings", "cheap")
CARDS = Question("cards", "cheap")
HISTORY = Question("history", "cheap")
FEED = Question("feed", "cheap")
RATES = Question("rates", "cheap")

# Lists of opportunities: a list is the first dear one of what it asks for.
LIST = Question("list", "cheap")
LIST_OWNER = Question("list_owner", "cheap")
LIST_ACCOUNT = Question("list_account", "cheap")
LIST_EXTERNAL_ID = Question("list_external_id", "cheap")
LIST_AS_OF = Question("list_as_of", "dear")
LIST_SEARCH = Question("list_search", "dear")
LIST_CONTAINS = Question("list_contains", "dear")
LIST_TAGS = Question("list_tags", "dear")
LIST_IMPORT = Question("list_import", "dear")
LIST_CUSTOM_FIELD = Question("list_custom_field", "dear")
LIST_SCANNED = Question("list_scanned", "dear")
LIST_ORDERED = Question("list_ordered", "dear")
LIST_DEEP = Question("list_deep", "dear")

# With a count that is kept, a page costs what finding its deals does: those of an instant come from an index in the default order,
# and few that terms find are put in order.
LIST_AS_OF_KEPT = Question("list_as_of_kept", "cheap", kept=True)
LIST_FEW = Question("list_few", "cheap", kept=True)
# With its first deals kept, it costs what has changed since.
LIST_KEPT = Question("list_kept", "cheap", kept=True)
# With its anchor kept, it costs what has changed since, and at most so many deals to pass over.
LIST_DEEP_KEPT = Question("list_deep_kept", "cheap", kept=True)
FEW = 1_000

LIST_FILTERS: Mapping[str, Question] = {
    "stage": LIST,
    "status": LIST,
    "close_date": LIST,
    "owner": LIST_OWNER,
    "owner_email": LIST_OWNER,
    "account": LIST_ACCOUNT,
    "external_id": LIST_EXTERNAL_ID,
    "search": LIST_SEARCH,
    "tags": LIST_TAGS,
    "import": LIST_IMPORT,
}
"""By field, compared in any way but ``isnull`` and ``icontains``; every other filter is ``LIST_SCANNED``."""
LIST_ORDERINGS = frozenset(
    {
        ("created_at", True),
        ("created_at", False),
        ("updated_at", True),
        ("updated_at", False),
        ("stage_entered_at", True),
        ("stage_entered_at", False),
        ("close_date", True),
        ("close_date", False),
        ("amount", True),
        ("amount", False),
        ("closed_at", True),
        ("closed_at", False),
        ("name", True),
        ("name", False),
    }
)
"""Field and whether it descends: alone, these come from an index; every other ordering is ``LIST_ORDERED``."""
DEEP = 2_000
"""The offset from which on a page is ``LIST_DEEP``."""

# Filtered accounts and contacts are counted one by one; of everything else in the directory there is little in an org or a deal.
DIRECTORY = Question("directory", "cheap")
DIRECTORY_LISTS: Mapping[str, Question] = {
    "account": Question("accounts", "dear"),
    "contact": Question("contacts", "dear"),
}

# From balances and movements, from sums of deals that are kept, or from the deals and the ledger; so are the days of a month that a
# waterfall's bound cuts. Groups of many owners or accounts take tens of milliseconds also from sums that are kept.
FORECAST = Question("forecast", "cheap")
FORECAST_FILTERED = Question("forecast_filtered", "dear")
FORECAST_AS_OF = Question("forecast_as_of", "dear")
FORECAST_KEPT = Question("forecast_kept", "cheap", kept=True)
FORECAST_GROUPS_KEPT = Question("forecast_groups_kept", "dear")
FORECAST_GROUPED = Question("forecast_grouped", "dear")
WATERFALL = Question("waterfall", "cheap")
WATERFALL_DAYS = Question("waterfall_days", "dear")
WATERFALL_OWNER = Question("waterfall_owner", "cheap")
WATERFALL_GROUPED = Question("waterfall_grouped", "dear")
WATERFALL_KEPT = Question("waterfall_kept", "cheap", kept=True)
WATERFALL_FILTERED = Question("waterfall_filtered", "dear")
WATERFALL_EXPANDED = Question("waterfall_expanded", "dear")
WATERFALL_OPPORTUNITIES = Question("waterfall_opportunities", "dear")

# Deliveries of webhooks; their list is in order of an index, but counted by scanning.
DELIVERY = Question("delivery", "cheap")
DELIVERIES = Question("deliveries", "cheap")
DELIVERIES_FILTERED = Question("deliveries_filtered", "dear")
DELIVERIES_COUNT = Question("deliveries_count", "dear")
