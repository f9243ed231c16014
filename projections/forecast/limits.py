"""How large an answer of the forecast may become."""

from __future__ import annotations

MAX_MONTHS = 120
"""The most months between two bounds that a caller should allow: each of them is in the response."""
MAX_MONTHS_WITH_DEALS = 1_200
"""The most months in an answer without two bounds, where only those with deals are."""
MAX_BYTES = 2_000_000
"""Of an answer. Where groups would take more, each month shows fewer of them."""

GROUPS_LIMIT = 50
"""The groups of a month that are shown if the caller does not say how many."""
MAX_GROUPS = 500

MAX_BEHIND = 100
"""The most opportunities that a waterfall lists behind one step of one month; ``count`` is the number of all."""
MAX_LISTED = 5_000
"""The most that it lists in all, the steps of earlier months first."""
MAX_MOVED = 500_000
"""The most entries of the ledger between the two instants of a list of opportunities behind a waterfall: it ranks all of them."""
