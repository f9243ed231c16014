"""Records that are sent together: all of them arrive, in order, and what becomes of them is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from consumers import kafka as clients
from consumers.kafka import Producer, errors
from consumers.kafka_settings import MAX_MESSAGE_BYTES, Kafka
from consumers.message import Record
from consumers.publisher import Publisher
from tests.support.kafka import records


def made(*sizes: int) -> list[Record]:
    return [Record(n, b"key-%d" % n, b"v" * size, [("n", b"%d" % n)]) for n, size in enumerate(sizes)]


@contextmanager
def producing(config: Kafka) -> Iterator[Producer]:
    Publisher(config, config.topic).close()  # it has made the topic
    producer = clients.producer(config)
    try:
        yield producer
    finally:
        clients.abandon(producer)


def test_all_arrive_in_order_with_those_that_are_sent_one_by_one(kafka: Kafka) -> None:
    """In as many batches as they need."""
    small, large = made(*[1_000] * 300), made(10, 400_000, 10)
    with producing(kafka) as producer:
        sent = producer.send_all(kafka.topic, {0: small, 1: large, 2: []})
        alone = producer.send(kafka.topic, value=b"alone", key=b"k", headers=[], partition=0)
        sent += producer.send_all(kafka.topic, {0: made(5)})
        assert alone.get(10).offset == 300
        ends = [(one.partition, one.get(10)) for one in sent]
        assert all(one.is_done for one in sent)
    assert ends[-1] == (0, 302)
    assert [end for partition, end in ends if partition == 1] == [1, 2, 3]
    assert [end for partition, end in ends if partition == 0] == sorted(end for partition, end in ends if partition == 0)
    assert len(ends) > 5, "300 KB are several batches"
    found = {number: [one for one in records(kafka) if one.partition == number] for number in (0, 1)}
    assert [(one.key, one.value, one.headers) for one in found[1]] == [(one.key, one.value, one.headers) for one in large]
    assert [one.offset for one in found[0]] == list(range(302))
    assert [one.key for one in found[0][:300]] == [one.key for one in small]


def test_what_is_too_large_is_refused_at_once(kafka: Kafka) -> None:
    with producing(kafka) as producer, pytest.raises(errors.MessageSizeTooLargeError):
        producer.send_all(kafka.topic, {0: made(MAX_MESSAGE_BYTES)})
    assert records(kafka) == []


def test_a_wait_that_ends_says_nothing_of_the_records(kafka: Kafka) -> None:
    with producing(kafka) as producer:
        (sent,) = producer.send_all(kafka.topic, {0: made(1_000)})
        try:
            sent.get(0)
        except errors.KafkaTimeoutError:
            assert sent.get(10) == 1
        assert sent.is_done


def test_records_of_a_producer_that_was_given_up_did_not_arrive(kafka: Kafka) -> None:
    with producing(kafka) as producer:
        (sent,) = producer.send_all(f"{kafka.topic}", {0: made(1)})
        sent.get(10)
    with pytest.raises(errors.KafkaError):
        producer.send_all(kafka.topic, {0: made(1)})[0].get(10)
