"""A sales opportunity (deal): its events and state in ``events``, the rules of its commands in ``decisions``."""

from domain.opportunity.decisions import (
    ChangeStage,
    Create,
    Delete,
    Replace,
    Restore,
    Update,
    decide,
)
from domain.opportunity.events import (
    Changes,
    Created,
    Deleted,
    Lost,
    OpportunityEvent,
    Reopened,
    Restored,
    StageChanged,
    State,
    Status,
    Updated,
    Won,
    evolve,
)

__all__ = [
    "ChangeStage",
    "Changes",
    "Create",
    "Created",
    "Delete",
    "Deleted",
    "Lost",
    "OpportunityEvent",
    "Reopened",
    "Replace",
    "Restore",
    "Restored",
    "StageChanged",
    "State",
    "Status",
    "Update",
    "Updated",
    "Won",
    "decide",
    "evolve",
]
