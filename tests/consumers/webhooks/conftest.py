"""An org on a database of its own, and a receiver that has heard nothing yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from app.writing.committer import Committer
from tests.support.commands import Company
from tests.support.receiver import Receiver, receiving


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


@pytest.fixture(scope="module")
def shared() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared: Receiver) -> Receiver:
    shared.clear()
    return shared
