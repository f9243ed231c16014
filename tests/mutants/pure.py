"""A pytest plugin: leaves out the tests that ask for a server, so that a mutant meets the fast ones alone.

With ``--noconftest`` the fixtures that start PostgreSQL or Kafka are unknown; a test that names one is left out.
"""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    pure = [item for item in items if _known(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _known(item)])
    items[:] = pure


def _known(item: pytest.Item) -> bool:
    info = getattr(item, "_fixtureinfo", None)
    return info is not None and all(name == "request" or name in info.name2fixturedefs for name in info.names_closure)
