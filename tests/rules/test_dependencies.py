"""What we stand on in libraries beyond what they document: an upgrade that takes it away fails here, by its name."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from kafka import TopicPartition, partitioner
from kafka.producer.producer_batch import ProducerBatch
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.record import util
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder
from psycopg import errors, pq
from psycopg.adapt import PyFormat, Transformer
from uvicorn.protocols.http import flow_control, httptools_impl

from consumers import kafka as clients
from consumers.kafka_settings import Kafka
from tests.support.processes import ROOT
from tests.support.sources import modules, tree

INSIDES = {"eventsourcing", "kafka-python", "psycopg", "uvicorn"}
"""Packages of which we use what is inside."""


@pytest.fixture
def connection(shared_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shared_database_url, autocommit=True) as connection:
        yield connection


def test_packages_whose_insides_we_use_have_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounded = {
        re.split(r"[<>=\[ ;]", requirement)[0] for requirement in project["dependencies"] if "<" in requirement.split(";")[0]
    }
    assert bounded >= INSIDES


def test_private_names_of_libraries_are_those_that_are_tested_here() -> None:
    """``getattr`` with a name that begins with an underscore is how we reach them."""
    found = {
        call.args[1].value
        for module in modules()
        for call in ast.walk(tree(module))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "getattr"
        if isinstance(call.args[1], ast.Constant) and str(call.args[1].value).startswith("_")
    }
    assert found == {"_batches", "_client", "_incomplete", "_latch", "_record_futures", "_sender", "_tp_lock"}


def test_psycopg_makes_the_error_of_a_failed_result(connection: psycopg.Connection[Any]) -> None:
    """``psycopg.errors.error_from_result``: of the writer's statements and the reader's connection."""
    result = connection.pgconn.exec_(b"SELECT 1/0")
    error = errors.error_from_result(result)
    assert isinstance(error, errors.DivisionByZero)
    assert (error.sqlstate, error.diag.message_primary) == ("22012", "division by zero")


def test_psycopg_turns_values_into_bytes_and_rows_into_values(connection: psycopg.Connection[Any]) -> None:
    """``psycopg.adapt.Transformer``: ``get_dumper`` and ``load_rows`` of the writer, ``dump_sequence`` of the reader."""
    transformer = Transformer(connection)
    dumper = transformer.get_dumper(True, PyFormat.AUTO)
    sent = dumper.dump(True)
    assert sent is not None
    assert (dumper.oid, dumper.format in (pq.Format.TEXT, pq.Format.BINARY)) == (16, True)
    assert transformer.dump_sequence(["a", None], [PyFormat.AUTO] * 2) == [b"a", None]
    assert (len(transformer.types or ()), len(transformer.formats or ())) == (2, 2)
    result = connection.pgconn.exec_params(b"SELECT $1, 7::bigint", [sent], [dumper.oid], [dumper.format])
    transformer.set_pgresult(result)
    assert transformer.load_rows(0, result.ntuples, tuple) == [(True, 7)]


def test_psycopg_waits_for_everything_in_one_method(shared_database_url: str) -> None:
    """``Connection.wait``: ours gives up in time; with a ``timeout`` somebody waits for a notification."""
    asked: list[bool] = []

    class Watched(psycopg.Connection[Any]):
        def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append(kwargs.get("timeout") is not None)
            return super().wait(gen, *args, **kwargs)

    with Watched.connect(shared_database_url, autocommit=True) as connection:
        asked.clear()
        connection.execute("SELECT 1")
        assert asked == [False]
        assert list(connection.notifies(timeout=0)) == []
        assert asked[1:]
        assert all(asked[1:])


def test_kafka_producers_and_consumers_can_be_given_up(kafka: Kafka) -> None:
    """``KafkaProducer._sender`` and ``KafkaConsumer._client``: their own ``close`` waits, or gives up before it is done."""
    producer, consumer = clients.producer(kafka), clients.consumer(kafka)
    sender, client = getattr(producer, "_sender", None), getattr(consumer, "_client", None)
    assert sender is not None
    assert client is not None
    assert sender.is_alive()
    sender.force_close()
    sender.join(10)
    assert not sender.is_alive()
    producer.close(timeout=1)
    consumer.close()
    client.close()


def test_kafka_producers_take_batches_of_ours() -> None:
    """``RecordAccumulator._tp_lock``, ``_batches`` and ``_incomplete``, ``ProducerBatch._record_futures``,
    ``FutureProduceResult._latch``, and what ``kafka_batches`` inherits, whose own test uses them."""
    place = TopicPartition("topic", 0)
    accumulator: Any = RecordAccumulator()
    batch: Any = ProducerBatch(place, MemoryRecordsBuilder(2, 0, 1_000))
    with accumulator._tp_lock(place):
        accumulator._batches[place].append(batch)
        accumulator._incomplete.add(batch)
    assert accumulator.has_undrained()
    assert accumulator.has_incomplete
    assert batch._record_futures == []
    assert not batch.produce_future._latch.is_set()
    assert set(MemoryRecordsBuilder.__slots__) >= {"_builder", "_next_offset"}
    used = {"_buffer", "_first_timestamp", "_max_timestamp", "_num_records", "_last_offset"}
    assert set(DefaultRecordBatchBuilder.__slots__) >= used


def test_kafka_partitions_and_checksums_are_told() -> None:
    """``kafka.partitioner.murmur2``, as every client has it, and ``kafka.record.util.crc32c_c``, without which it is slow."""
    assert partitioner.murmur2(b"21") == -973932308 & 0xFFFFFFFF
    assert util.crc32c_c is not None


def test_uvicorn_has_what_our_cycles_change() -> None:
    """``RequestResponseCycle``, ``FlowControl``, ``STATUS_LINE`` and ``HIGH_WATER_LIMIT``: of ``app.server``."""
    assert httptools_impl.STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"
    assert flow_control.HIGH_WATER_LIMIT > 0
    assert {"receive", "send"} <= vars(httptools_impl.RequestResponseCycle).keys()
    assert {"pause_reading", "resume_reading"} <= vars(flow_control.FlowControl).keys()
    members = set(httptools_impl.RequestResponseCycle.__init__.__code__.co_names)
    assert members >= {
        "default_headers", "disconnected", "flow", "keep_alive", "message_event", "on_response", "response_complete",
        "response_started", "scope", "transport",
    }  # fmt: skip
