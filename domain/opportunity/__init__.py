"""A sales opportunity (deal): its events and state, its commands, and the rules in ``decisions``."""

from domain.opportunity.commands import Adopt, ChangeStage, Create, Delete, Replace, Restore, Update
from domain.opportunity.decisions import decide, permit, references
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
    "Adopt",
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
    "permit",
    "references",
]
