"""A run on a slow machine: says how long it will take, leaves out what is asked, and goes on until there is something to count."""

from __future__ import annotations

import pytest

from tests.bench import expected
from tests.bench.measures import MEASURES
from tests.bench.rig import Sample, long_enough, of_pgbench
from tests.bench.run import arguments, chosen

NONE_DONE = """
pgbench (18.0)
number of clients: 128
number of transactions actually processed: 0
number of failed transactions: 0 (0.000%)
"""
SOME_DONE = """
number of clients: 128
number of transactions actually processed: 250
number of failed transactions: 0 (0.000%)
latency average = 512.000 ms
initial connection time = 871.223 ms
tps = 250.000000 (without initial connection time)
"""


def test_where_pgbench_did_nothing_there_is_no_figure() -> None:
    assert of_pgbench(NONE_DONE, 1.0) is None
    assert of_pgbench(SOME_DONE, 0.5) == Sample(250, "/s", 512, None, {"PostgreSQL": 2000})


def test_a_sample_takes_longer_until_something_is_done_and_ends() -> None:
    given: list[float] = []

    def take(seconds: float) -> Sample | None:
        given.append(seconds)
        return Sample(1 / seconds, "/s") if seconds > 3 else None

    assert long_enough(1, take).value == 0.25
    assert given == [1, 2, 4]
    with pytest.raises(TimeoutError, match="nothing was done within 32 s"):
        long_enough(1, lambda seconds: None)


def test_the_large_database_can_be_left_out_or_be_all() -> None:
    both, without, alone = (chosen(arguments(given)) for given in ([], ["--no-large"], ["--large-only"]))
    assert len(both) == len(MEASURES) == len(without) + len(alone)
    assert {one.large for one in without} == {False}
    assert {one.large for one in alone} == {True}
    with pytest.raises(SystemExit):
        arguments(["--no-large", "--large-only"])


def test_what_is_said_follows_from_what_is_asked() -> None:
    few, every = MEASURES[:1], MEASURES
    assert expected.seconds(few, 5, 3, 100_000, 0) == expected.START + 5 * 2 * 3
    assert expected.seconds(every, 5, 3, 100_000, 0) > 10 * expected.seconds(few, 5, 3, 100_000, 0)
    slow = expected.told(every, 5, 3, 100_000, 1_100_000, 4)
    assert "49 to load 1,100,000 deals" in slow
    assert "4.0 times slower" in slow
    assert "--no-large" in slow
    assert expected.told(few, 5, 3, 100_000, 0, 1) == "1 measures in 5 rounds: about 1 minutes"


def test_a_machine_is_compared_with_the_readmes() -> None:
    ticks = iter(range(100))
    assert expected.slowness(lambda: next(ticks) * expected.REFERENCE * 3) == pytest.approx(3)
    assert expected.slowness(lambda: 0.0) == 1
