"""How many deals there were at an instant: as many as now, without those created since, and with what was deleted or restored.

So what is counted follows what has happened since, and not the versions of all deals.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from projections.conditions import SqlStatement
from projections.opportunities import AS_OF, LIVE

# In the order of the index that is to be read: without statistics the planner may take another one.
_CREATED_SINCE = f"""
    SELECT count(*) FROM (
        SELECT FROM opportunities o WHERE o.org_id = %(org_id)s AND {LIVE} AND o.created_at > %(as_of)s
        ORDER BY o.created_at DESC, o.id DESC OFFSET 0
    ) o
"""
# Deals that were deleted at the instant and are not now, or have been deleted since: their deleted versions have an index.
_DELETED_OR_RESTORED = f"""
    SELECT count(*) FILTER (WHERE {AS_OF}) - count(*) FILTER (WHERE {LIVE})
    FROM (
        SELECT DISTINCT o.id FROM opportunities o
        WHERE o.org_id = %(org_id)s AND o.deleted AND o.valid_to > %(as_of)s AND o.created_at <= %(as_of)s
            AND (o.valid_from > %(as_of)s OR o.valid_to < 'infinity')
    ) d CROSS JOIN LATERAL (SELECT o.* FROM opportunities o WHERE o.id = d.id OFFSET 0) o
"""


def of_all(now: SqlStatement, org_id: UUID, as_of: datetime) -> SqlStatement:
    """The number of all deals of an org, from that of ``now``."""
    text = f"SELECT ({now.text}) - ({_CREATED_SINCE}) + ({_DELETED_OR_RESTORED})"
    return SqlStatement(text, now.params | {"org_id": org_id, "as_of": as_of})
