"""The whole product behind PgBouncer that pools by session."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from app.process.children import wait_until
from consumers.kafka_settings import Kafka
from tests.support import pgbouncer
from tests.support.kafka import has_the_last, whole
from tests.support.processes import opportunities
from tests.support.sse import Events
from tests.support.webhooks import complete, system
from tests.support.worker import Load, Worker

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def test_everything_works_by_session(database_url: str, kafka: Kafka, tmp_path: Path) -> None:
    """Requests, the stream, relay, webhooks, imports, rebuild and verify, and all of it again once the pooler was away."""
    with ExitStack() as stack:
        pooler = stack.enter_context(pgbouncer.pooling(database_url, {"default_pool_size": "40"}))
        url = pooler.url("session")
        made = stack.enter_context(system(url, kafka))
        made.endpoint("/hooks", "opportunity.won")
        workers = [Worker(verb, env=made.env, log=tmp_path / verb) for verb in ("webhooks", "imports")]
        for worker in workers:
            worker.start()
            stack.callback(worker.stop)
        with Load(made.server, made.org), Events(made.server.port, made.org.token) as events:
            assert events.take(20)
            for verb in ("rebuild", "verify"):
                done = opportunities(verb, *(["--all"] if verb == "rebuild" else []), env={"DATABASE_URL": url}, seconds=100)
                assert done.returncode == 0, done.stderr
            pooler.restart()
            seen = len(made.receiver.at("/hooks"))
            assert wait_until(lambda: len(made.receiver.at("/hooks")) > seen + 20, 60)
            assert events.take(20)
        complete(made, "/hooks", "opportunity.won")
        assert wait_until(lambda: has_the_last(database_url, kafka), 60)
        whole(database_url, kafka)
        assert all(worker.runs() for worker in workers)
