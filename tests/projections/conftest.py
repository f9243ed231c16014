"""Read models are tested on both kinds of cursors that they are applied on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.projections.cursors import WAYS, Cursors, cursors_of


@pytest.fixture(scope="module", params=WAYS)
def cursors(request: pytest.FixtureRequest, shared_database_url: str) -> Iterator[Cursors]:
    with cursors_of(request.param, shared_database_url) as cursors:
        yield cursors
