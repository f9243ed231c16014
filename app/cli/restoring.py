"""What ``opportunities restored`` finds out and does."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import uuid4

from psycopg import Cursor

from app import migrations
from app.process.failures import Failure
from app.settings import Settings
from app.writing import epochs
from consumers import checkpoints, common_history, database, kafka
from domain import event_store
from domain.epoch import Epoch, Epochs
from projections.directory import credentials

MARGIN = 1_000_000
"""Positions that are left free: what was not published, or not yet, may have been seen in the feed."""


class Plan(NamedTuple):
    """``said`` is what was found, ``epoch`` what is to begin; None if there is nothing to do."""

    said: str
    epoch: Epoch | None


def first_above(position: int) -> int:
    """The first position of an epoch, after a whole million and more than a million above a position."""
    return (position + 2 * MARGIN) // MARGIN * MARGIN + 1


def plan(config: Settings, above: int | None, good: int | None) -> Plan:
    """Raises ``SettingsError``, ``SchemaError``, ``Failure``, ``KafkaError``, ``psycopg.Error``."""
    migrations.check(config.database_url, writing=True)
    with database.connect(config.database_url, "restored") as connection, connection.cursor() as cursor:
        known, head = event_store.epochs(cursor), event_store.head(cursor)
        if above is not None:
            relayed, _ = checkpoints.load(cursor, checkpoints.RELAY)
            good = min(head, relayed) if good is None else good
            if good > head:
                raise Failure(f"--good {good} is beyond the log's end, which is at {head}.")
            return _planned(f"The log ends at position {head}.", known, head, above, good)
        return _from_the_topic(cursor, config, known, head)


def _from_the_topic(cursor: Cursor[Any], config: Settings, known: Epochs, head: int) -> Plan:
    kafka.quiet(config.log_level)
    kafka.require_checksum()
    cluster = config.kafka()
    found = common_history.find(cursor, known, cluster)
    if found is None:
        raise Failure(f"There is no topic {cluster.topic}: give the highest position that anybody has seen with --above.")
    if not found.lost:
        text = (
            f"The log has all that is on the topic {cluster.topic}: there is nothing to do. If the topic was emptied, or readers of"
            " the feed saw more, give the highest position that anybody has seen with --above."
        )
        return Plan(text, None)
    relayed, _ = checkpoints.load(cursor, checkpoints.RELAY)
    good = min(head, relayed) if found.common is None else found.common
    text = (
        f"The log ends at position {head}. The topic {cluster.topic} goes up to {found.highest}, and {found.lost} of its records"
        f" are not in the log; both agree up to {good}."
    )
    return _planned(text, known, head, found.highest, good)


def _planned(found: str, known: Epochs, head: int, above: int, good: int) -> Plan:
    first = first_above(max(above, head, known.current.first_position))
    will = (
        f" An epoch begins: the next event gets position {first}, and in each org an event log.restored tells subscribers that what"
        f" they have after {good} is lost. What the log has after {good} is published with ids of the new epoch."
    )
    return Plan(found + will, Epoch(uuid4(), first, good, head))


def begin(url: str, epoch: Epoch) -> int:
    """Begin the epoch; returns the number of orgs that are told. Raises ``psycopg.Error``."""
    with database.connect(url, "restored") as connection, connection.cursor() as cursor:
        orgs = credentials.organizations(cursor)
    epochs.begin(url, epoch, orgs)
    return len(orgs)
