"""Readiness asks for the schema's version now and then, not with every request."""

from __future__ import annotations

import asyncio

import pytest

from app.http.problems import Refused
from app.http.schema_check import SchemaCheck
from app.process.failures import Unavailable


def test_a_database_that_was_never_migrated_is_refused(empty_database_url: str) -> None:
    with pytest.raises(Refused, match="opportunities migrate") as told:
        asyncio.run(SchemaCheck(empty_database_url).check())
    assert (told.value.status, told.value.code) == (503, "schema")


def test_what_was_found_good_is_good_until_it_is_to_be_forgotten(shared_database_url: str) -> None:
    check = SchemaCheck(shared_database_url)
    asyncio.run(check.check())
    check._url = "postgresql://nobody@127.0.0.1:1/x"
    asyncio.run(check.check())
    check.forget()
    with pytest.raises(Unavailable):
        asyncio.run(check.check())
