"""What is measured and the bars it must hold: each measure is two samples, ours and another, and how they compare."""

from __future__ import annotations

import json
import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Literal, get_args

from tests.bench import accounting, bulk, databases, exporting, fairness, imports, live, load, moving, outbound, questions
from tests.bench.rig import Rig, Sample
from tests.bench.servers import Server
from tests.bench.workload import CONNECTIONS, ROOT, Workload, months, windows

PAGE = 200
DEEP = 80_000

INSERT = """
INSERT INTO bench.event (stream, topic, state)
VALUES (gen_random_uuid(), 'opportunity.created.v1', decode(repeat('7b', 500), 'hex'));
"""


@dataclass(frozen=True)
class Measure:
    """The bar holds for ``ratio``, which compares two samples; without ``other``, for ours alone."""

    name: str
    what: str
    ours: Callable[[Rig], Sample]
    other: Callable[[Rig], Sample] | None
    against: str
    bar: float
    holds: Literal["at least", "at most"] = "at least"
    ratio: Callable[[Sample, Sample], float] = lambda ours, other: ours.value / other.value
    large: bool = False
    """Whether it needs the large database."""
    rounds: int | None = None
    """At most so many, where one takes long."""

    def passes(self, figure: float) -> bool:
        return figure >= self.bar if self.holds == "at least" else figure <= self.bar


def _list(rig: Rig) -> Sample:
    return rig.hit(rig.ours, rig.work.lists())


def _create_limit(name: str, connections: int, bar: float) -> Measure:
    """Deals created beside the least that a recorded fact can cost, by as many clients."""
    return Measure(
        name,
        f"create, {connections} connections",
        lambda rig: rig.hit(rig.ours, rig.work.creates(), expect=b"201", connections=connections),
        lambda rig: _insert(rig, connections),
        "pgbench, one durable row",
        bar,
    )


def _insert(rig: Rig, connections: int) -> Sample:
    """One row in a transaction of its own, made durable."""
    with databases.connect(rig.url) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS bench.event"
            " (id bigserial PRIMARY KEY, stream uuid NOT NULL, topic text NOT NULL, state bytea NOT NULL)"
        )
    return rig.pgbench(INSERT, connections)


def _bench_request(rig: Rig) -> bytes:
    return rig.work.get(f"/api/bench/?{windows(rig.work.today)[0].query}")


def _stack(rig: Rig) -> Sample:
    sample = rig.hit(rig.stack_alone, load.same(_bench_request(rig)))
    return Sample(sample.cpu["server"], "µs", sample.p50, sample.p99, sample.cpu)


def _raw(rig: Rig) -> Sample:
    sample = rig.hit(rig.raw, load.same(_bench_request(rig)))
    return Sample(sample.cpu["server"], "µs", sample.p50, sample.p99, sample.cpu)


def _latency(rig: Rig, server: Server, data: bytes) -> Sample:
    """The median time of one request at a time, and what it costs."""
    sample = rig.hit(server, load.same(data), connections=1)
    assert sample.p50 is not None
    return Sample(sample.p50, "ms", sample.p50, sample.p99, sample.cpu)


def _cursor_path(rig: Rig, row: int) -> str:
    """The path of the page of 50 that begins at a row of the whole list, found by following the links."""
    path, seen = f"{ROOT}?cursor=&page_size={PAGE}", 0
    while seen < row and (answer := _results(rig.large, rig.large_work, path))["next"]:
        seen += PAGE
        path = re.sub(r"^https?://[^/]+", "", answer["next"])
    return path.replace(f"page_size={PAGE}", "page_size=50")


def _results(server: Server, work: Workload, path: str) -> dict[str, str]:
    status, body = load.fetch(server.port, work.get(path))
    assert status == 200, body
    answer: dict[str, str] = json.loads(body)
    return answer


def _page_at(row: int) -> Callable[[Rig], Sample]:
    found: dict[int, str] = {}

    def sample(rig: Rig) -> Sample:
        if id(rig) not in found:
            found[id(rig)] = _cursor_path(rig, row)
        return _latency(rig, rig.large, rig.large_work.get(found[id(rig)]))

    return sample


def _group_by(rig: Rig) -> Sample:
    """The forecast of twelve months as one statement over the deals, without HTTP."""
    first, last = months(rig.small_work.today, 12)
    params = {"org": rig.small_work.loaded.org_id, "first": first, "last": last}
    took: list[float] = []
    with databases.connect(databases.at(rig.server_url, rig.small_name)) as connection:
        connection.prepare_threshold = 0
        deadline = time.perf_counter() + rig.seconds
        while time.perf_counter() < deadline or len(took) < 3:
            began = time.perf_counter()
            connection.execute(
                """
                SELECT date_trunc('month', CASE status WHEN 'won' THEN actual_close_date ELSE close_date END), currency,
                       sum(CASE status WHEN 'won' THEN actual_amount ELSE amount END),
                       sum(CASE status WHEN 'won' THEN actual_amount ELSE amount * probability / 100 END)
                FROM opportunities
                WHERE org_id = %(org)s AND valid_to = 'infinity' AND NOT deleted
                  AND (status = 'open' AND close_date BETWEEN %(first)s AND %(last)s
                       OR status = 'won' AND actual_close_date BETWEEN %(first)s AND %(last)s)
                GROUP BY 1, 2
                """,
                params,
            ).fetchall()
            took.append(time.perf_counter() - began)
    took.sort()
    return Sample(took[len(took) // 2] * 1e3, "ms", took[len(took) // 2] * 1e3, took[-1] * 1e3)


def _rebuild(rig: Rig, *options: str) -> Sample:
    """Events per second of a rebuild of every read model, from the start of the command to its end."""
    with databases.connect(rig.rebuilt_url) as connection:
        row = connection.execute("SELECT count(*) FROM opportunities_events").fetchone()
        assert row is not None
    used, server = resource.getrusage(resource.RUSAGE_CHILDREN), accounting.cpu(rig.running)["PostgreSQL"]
    began = time.perf_counter()
    done = databases.run("rebuild", "--all", *options, "--database-url", rig.rebuilt_url)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"the rebuild failed: {done.stderr}")
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = {
        "rebuild": (now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime) / row[0] * 1e6,
        "PostgreSQL": (accounting.cpu(rig.running)["PostgreSQL"] - server) / row[0] * 1e6,
    }
    return Sample(row[0] / took, "events/s", None, None, cpu)


def _peer(rig: Rig) -> Server:
    """Refuses to compare rates of servers that do not answer alike."""
    if rig.difference:
        raise RuntimeError(rig.difference)
    return rig.peer


def _against_peer(name: str, what: str, bar: float, requests: Callable[[Workload], object], expect: bytes = b"200") -> Measure:
    def sample(server: Callable[[Rig], Server], work: Callable[[Rig], Workload]) -> Callable[[Rig], Sample]:
        return lambda rig: rig.hit(server(rig), requests(work(rig)), expect=expect)  # type: ignore[arg-type]

    ours = sample(lambda rig: rig.ours, lambda rig: rig.work)
    peer = sample(_peer, lambda rig: rig.peer_work)
    return Measure(name, what, ours, peer, "Django REST Framework", bar)


def _fair(verb: str, whose: fairness.Whose) -> Measure:
    return Measure(
        f"fair-{verb}{'-elsewhere' if whose == 'other org' else ''}",
        f"{verb} beside {fairness.ASKERS} dear questions, {whose}, p99",
        fairness.beside(verb, whose),
        fairness.alone(verb, whose),
        "alone",
        2.5,
        "at most",
    )


def _questions(group: str) -> tuple[Measure, Measure]:
    """The slowest question of a group, warm and cold."""
    _, warm, cold = questions.GROUPS[group]
    what = f"slowest question of {group}"
    return (
        Measure(f"ask-{group}", f"{what}, median", questions.warm(group), None, "", warm, "at most", large=True, rounds=1),
        Measure(f"ask-{group}-cold", f"{what}, first", questions.cold(group), None, "", cold, "at most", large=True, rounds=1),
    )


SINGLES = f"one request each, {bulk.SINGLE_CONNECTIONS} connections"
MEASURES = (
    _against_peer("list", "page of 50 by stage and close dates", 20, lambda work: work.lists()),
    _against_peer("detail", "one record", 12, lambda work: work.details()),
    _against_peer("forecast", "forecast of a quarter", 12, lambda work: repeat(work.forecast(3))),
    _against_peer("create", "create", 5, lambda work: work.creates(), b"201"),
    _against_peer("transition", "transition", 5, lambda work: work.transitions()),
    Measure(
        "list-limit",
        "page of 50 by stage and close dates",
        _list,
        lambda rig: rig.loop(),
        "the SELECT in bare loops",
        0.35,
    ),
    _create_limit("create-limit", 128, 0.2),
    _create_limit("create-limit-few", CONNECTIONS, 0.05),
    Measure("bulk", f"deals created {bulk.OPERATIONS} in a call", bulk.bulk, bulk.singles, SINGLES, 3),
    Measure("bulk-beside", "create beside bulk calls, p99", bulk.create_beside, bulk.create_alone, "alone", 3, "at most"),
    Measure("import", "deals imported, two events each", imports.imported, bulk.singles, SINGLES, 2.5),
    Measure("undo", "… and undone", imports.undone, bulk.singles, SINGLES, 2.5),
    Measure("import-beside", "create beside an import, p99", imports.create_beside, bulk.create_alone, "alone", 3, "at most"),
    Measure("import-list", "list right after an import, p99", imports.list_after, imports.lists, "before", 2, "at most"),
    Measure("export", "export as CSV, by the processor's time", exporting.rate, None, "", 30_000, rounds=2),
    Measure("export-memory", "memory that an export takes", exporting.growth, None, "", 20, "at most", rounds=1),
    Measure(
        "export-beside", "page of 50 beside an export, p99", exporting.lists_beside, exporting.lists_alone, "alone", 5, "at most"
    ),
    Measure("history-export", "export of all history", moving.exported, None, "", 10_000, rounds=1),
    Measure("history-import", "… and taken over by another org", moving.imported, None, "", 1_000, rounds=1),
    Measure("stack", "authenticated answer without SQL, CPU", _stack, _raw, "raw ASGI reply", 5, "at most"),
    Measure(
        "list-growth",
        "page of 50 and count, ten times the deals",
        lambda rig: rig.hit(rig.large, rig.large_work.lists()),
        lambda rig: rig.hit(rig.small, rig.small_work.lists()),
        "the same on the small database",
        0.8,
        large=True,
    ),
    Measure(
        "cursor-depth",
        f"cursor page at row {DEEP:,}",
        _page_at(DEEP),
        _page_at(0),
        "the first page",
        4,
        "at most",
        large=True,
    ),
    Measure(
        "forecast-growth",
        "forecast of 12 months, ten times the deals",
        lambda rig: _latency(rig, rig.large, rig.large_work.forecast(12)),
        lambda rig: _latency(rig, rig.small, rig.small_work.forecast(12)),
        "the same on the small database",
        1.3,
        "at most",
        large=True,
    ),
    Measure(
        "forecast-ledger",
        "forecast of 12 months, over HTTP",
        lambda rig: _latency(rig, rig.small, rig.small_work.forecast(12)),
        _group_by,
        "GROUP BY, without HTTP",
        50,
        ratio=lambda ours, other: other.value / ours.value,
    ),
    Measure(
        "live",
        f"lag of {live.SUBSCRIBERS} subscribers at {live.EDITS} edits/s, p99",
        lambda rig: live.of(rig).lived.lag,
        None,
        "",
        300,
        "at most",
        rounds=1,
    ),
    Measure(
        "live-list",
        "list beside them, p99",
        lambda rig: live.of(rig).lived.list,
        lambda rig: live.of(rig).lived.alone,
        "alone",
        2,
        "at most",
        rounds=1,
    ),
    Measure("live-memory", "memory for them", lambda rig: live.of(rig).lived.growth, None, "", 40, "at most", rounds=1),
    Measure("live-memory-left", "… after they have gone", lambda rig: live.of(rig).lived.left, None, "", 15, "at most", rounds=1),
    *(measure for group in questions.GROUPS for measure in _questions(group)),
    *(_fair(verb, whose) for whose in get_args(fairness.Whose) for verb in ("list", "detail", "forecast", "create")),
    Measure("rebuild", "rebuild of all read models", _rebuild, None, "", 10_000, rounds=3),
    Measure(
        "rebuild-workers",
        "rebuild, a worker for each core",
        _rebuild,
        lambda rig: _rebuild(rig, "--workers", "1"),
        "one worker",
        1.5,
        rounds=3,
    ),
    Measure("relay", "relay of a whole log", lambda rig: outbound.of(rig).relayed.rate, None, "", 5_000, rounds=1),
    Measure(
        "relay-memory",
        f"relay's memory after {outbound.LATE:,} events",
        lambda rig: outbound.of(rig).relayed.memory.late,
        lambda rig: outbound.of(rig).relayed.memory.early,
        f"after {outbound.EARLY:,}",
        1.1,
        "at most",
        rounds=1,
    ),
    Measure(
        "webhooks-memory",
        f"webhooks' memory after {outbound.LATE:,} events",
        lambda rig: outbound.of(rig).taken.late,
        lambda rig: outbound.of(rig).taken.early,
        f"after {outbound.EARLY:,}",
        1.25,  # what is fetched ahead comes and goes: within one run 72 to 89 MiB were seen, and 64 at its end
        "at most",
        rounds=1,
    ),
    Measure(
        "close",
        f"close → webhook, {outbound.CLOSES} closes/s, p50",
        lambda rig: outbound.of(rig).close(),
        None,
        "",
        100,
        "at most",
        rounds=3,
    ),
    Measure(
        "close-late",
        f"close → webhook, {outbound.CLOSES} closes/s, p99",
        lambda rig: outbound.of(rig).close_late(),
        None,
        "",
        500,
        "at most",
        rounds=3,
    ),
    Measure("sender", "webhooks to fast endpoints", lambda rig: outbound.of(rig).send(), None, "", 300, rounds=3),
    Measure(
        "apache-relay",
        "relay of a whole log to Apache Kafka",
        lambda rig: outbound.of(rig, "apache").relayed.rate,
        None,
        "",
        5_000,
        rounds=1,
    ),
    Measure(
        "apache-close",
        f"close → webhook over Apache Kafka, {outbound.CLOSES} closes/s, p99",
        lambda rig: outbound.of(rig, "apache").close_late(),
        None,
        "",
        500,
        "at most",
        rounds=3,
    ),
)
APACHE = "apache-"
"""What the names of measures begin with that need Apache Kafka itself."""
