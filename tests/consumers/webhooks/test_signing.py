"""Secrets and signatures, by the word of the reference implementation."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from consumers.webhooks.signing import headers, in_force, secret, shown

KEY = b"k" * 32
ENDPOINT = UUID(int=1)
BODY = '{"id":"evt_1","name":"Acme — Annual"}'.encode()


def test_a_signature_is_what_the_reference_makes_and_takes() -> None:
    now = datetime.now(UTC)
    made = secret(KEY, ENDPOINT, 1)
    signed = headers([made], "evt_1", BODY, now)
    assert set(signed) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    oracle = Webhook(shown(made))
    assert signed["webhook-signature"] == oracle.sign("evt_1", now, BODY.decode())
    assert oracle.verify(BODY, signed) == {"id": "evt_1", "name": "Acme — Annual"}
    with pytest.raises(WebhookVerificationError):
        oracle.verify(BODY + b" ", signed)


def test_the_zone_of_the_clock_does_not_matter() -> None:
    now = datetime(2026, 3, 1, 10, tzinfo=UTC)
    elsewhere = now.astimezone(timezone(timedelta(hours=9)))
    assert headers([KEY], "evt_1", BODY, now) == headers([KEY], "evt_1", BODY, elsewhere)


def test_a_secret_is_32_bytes_of_its_endpoint_and_generation() -> None:
    secrets = {secret(KEY, ENDPOINT, 1), secret(KEY, ENDPOINT, 2), secret(KEY, UUID(int=2), 1), secret(b"x" * 32, ENDPOINT, 1)}
    assert len(secrets) == 4
    text = shown(secret(KEY, ENDPOINT, 1))
    assert text.startswith("whsec_")
    assert len(base64.b64decode(text.removeprefix("whsec_"))) == 32


def test_for_a_day_after_a_rotation_either_secret_will_do() -> None:
    rotated = datetime.now(UTC)
    old, new = (Webhook(shown(secret(KEY, ENDPOINT, generation))) for generation in (1, 2))
    during = headers(in_force(KEY, ENDPOINT, 2, rotated, rotated), "evt_1", BODY, rotated)
    assert len(during["webhook-signature"].split()) == 2
    assert old.verify(BODY, during) == new.verify(BODY, during)
    assert len(in_force(KEY, ENDPOINT, 2, rotated, rotated + timedelta(hours=24, seconds=-1))) == 2
    after = headers(in_force(KEY, ENDPOINT, 2, rotated, rotated + timedelta(hours=24)), "evt_1", BODY, rotated)
    assert new.verify(BODY, after)
    with pytest.raises(WebhookVerificationError):
        old.verify(BODY, after)


def test_a_secret_never_rotated_has_no_other() -> None:
    now = datetime.now(UTC)
    assert in_force(KEY, ENDPOINT, 1, None, now) == in_force(KEY, ENDPOINT, 1, now, now) == [secret(KEY, ENDPOINT, 1)]
