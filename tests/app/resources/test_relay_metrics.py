"""How far the relay is behind, as ``/metrics`` says it."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from app.cli import relay as relaying
from app.process.failures import Failure
from app.settings import Settings
from app.writing.committer import Committer
from consumers import checkpoints
from consumers.kafka_settings import Kafka
from consumers.relay import Relay
from tests.support.commands import Company, log
from tests.support.postgres import server_url
from tests.support.server import Client, Server, serving


def metrics(server: Server) -> dict[str, float]:
    """Those of the relay."""
    with Client(server.port, None) as client:
        text = client.get("/metrics").body.decode()
    return {name: float(value) for name, value in re.findall(r"^(relay_\w+) (\S+)$", text, re.MULTILINE)}


def test_the_lag_is_told_in_events_and_seconds(database_url: str, kafka: Kafka) -> None:
    with closing(Committer(database_url)) as committer, serving(database_url) as server:
        company = Company(committer)
        assert metrics(server) == {}, "of a relay that never was there is nothing to tell"
        with closing(Relay(database_url, kafka, threading.Event())) as relay:
            while relay.step():
                pass
            caught_up = metrics(server)
            assert (caught_up["relay_lag_events"], caught_up["relay_lag_seconds"]) == (0, 0)
            assert caught_up["relay_unseen_seconds"] < 60
            last = log(database_url)[-1].position
            for n in range(3):
                company.deal(f"Deal {n}")
            behind = metrics(server)
            assert behind["relay_lag_events"] == 3
            assert 0 < behind["relay_lag_seconds"] < 60
            assert behind["relay_position"] == caught_up["relay_position"] == last
            with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
                assert checkpoints.load(cursor, checkpoints.RELAY)[0] == last


def test_the_operator_is_told_whether_a_relay_is_at_work(database_url: str) -> None:
    config = Settings(database_url=database_url)
    with pytest.raises(Failure, match="No relay has ever run"):
        relaying.check(config)
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        checkpoints.save(cursor, checkpoints.RELAY, 0)
    assert relaying.check(config) == "A relay is running, 0 events behind."
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE checkpoints SET updated_at = clock_timestamp() - interval '1 hour'")
    with pytest.raises(Failure, match="for 3600 s"):
        relaying.check(config)


def test_without_the_database_the_other_metrics_are_there(database_url: str) -> None:
    with serving(database_url) as server:
        with psycopg.connect(server_url(), autocommit=True) as connection:
            name = sql.Identifier(urlsplit(database_url).path[1:])
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        with Client(server.port, None) as client:
            reply = client.get("/metrics")
    text = reply.body.decode()
    assert (reply.status, "http_requests_in_flight" in text, "webhook_deliveries_due" in text) == (200, True, False)
