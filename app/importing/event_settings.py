"""The stages and custom fields that a file with history has and the org does not: which they are, and how they are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import structs
from psycopg import Cursor

from app.importing import org_vocabulary
from app.importing.event_head import Head
from app.importing.faults import Unreadable
from app.importing.options import Options
from app.importing.plan import Sender
from app.writing.committer import Committer
from app.writing.envelope import Envelope
from domain import custom_field, event, pipeline
from domain.errors import Invalid
from domain.pipeline import REQUIRABLE_BY_TYPE, Stage
from domain.policy import Policy


def stages(head: Head, policy: Policy, options: Options) -> list[Stage]:
    """The stages that are missing. They require what fields there are."""
    meant = options.values.get("stage", {})
    given = head.rules.stages if head.rules is not None else ()
    fields = {f"custom_fields.{key}" for key in policy.custom_field_keys}
    found = []
    for stage in given:
        if stage.key not in policy.pipeline.by_key and not meant.get(stage.key):
            known = fields.union(REQUIRABLE_BY_TYPE[stage.type])
            found.append(structs.replace(stage, required_fields=tuple(name for name in stage.required_fields if name in known)))
    return found


def fields(head: Head, policy: Policy) -> Iterator[custom_field.Create]:
    """The commands that define the fields that are missing."""
    for one in head.fields:
        definition = one.definition
        if definition.key not in policy.custom_field_keys:
            yield custom_field.Create(**structs.asdict(definition))


def would_be(head: Head, policy: Policy, options: Options) -> Policy:
    """The org's rules with what is to be created."""
    found = policy
    if options.create_missing.stages:
        more = (*policy.pipeline.stages, *stages(head, policy, options))
        found = structs.replace(found, pipeline=structs.replace(policy.pipeline, stages=more))
    if options.create_missing.custom_fields and head.fields:
        present = policy.custom_fields
        definitions = (*(present.definitions if present else ()), *(one.definition for one in head.fields))
        base = present or custom_field.State(**_of_org(policy))
        found = structs.replace(found, custom_fields=structs.replace(base, definitions=definitions))
    return found


def _of_org(policy: Policy) -> dict[str, Any]:
    org = policy.organization
    return {name: getattr(org, name) for name in event.State.__struct_fields__}


def create(cursor: Cursor[Any], committer: Committer, sender: Sender, head: Head, options: Options) -> None:
    """Create what is missing, as far as the options say so. Raises ``Unreadable`` with what the org refuses of it."""
    policy = org_vocabulary.policy(cursor, sender.org_id)
    if options.create_missing.custom_fields:
        id_ = custom_field.stream_id(sender.org_id)
        if commands := list(fields(head, policy)):
            _do(committer, [sender.envelope("custom_field", id_, command) for command in commands])
        policy = org_vocabulary.policy(cursor, sender.org_id)
    if options.create_missing.stages and (missing := stages(head, policy, options)):
        present = policy.pipeline
        command = pipeline.Replace(
            stages=(*present.stages, *missing),
            transitions=present.transitions,
            lost_reasons=present.lost_reasons,
            allow_free_text=present.allow_free_text,
        )
        _do(committer, [sender.envelope("pipeline", pipeline.stream_id(sender.org_id), command)])


def _do(committer: Committer, envelopes: list[Envelope]) -> None:
    """All of them or none."""
    try:
        committer.run_as_one(envelopes)
    except Invalid as error:
        raise Unreadable(" ".join(f"{path}: {' '.join(messages)}" for path, messages in error.errors.items())) from None
