"""The rules that an org sets for itself, as a decision sees them."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from domain import custom_field, organization, pipeline
from domain.context import Context


class Policy(Struct, frozen=True):
    """The org's own rules, read under the lock of the decision. ``custom_fields`` is None before the first one is defined."""

    organization: organization.State
    pipeline: pipeline.State
    custom_fields: custom_field.State | None

    @property
    def custom_field_keys(self) -> Collection[str]:
        return self.custom_fields.by_key if self.custom_fields is not None else ()


class PolicyContext(Context, frozen=True, kw_only=True):
    """The context of a decision that depends on the org's rules."""

    policy: Policy
