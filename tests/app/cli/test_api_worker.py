"""A worker process of the API has the settings that its parent has in force."""

from __future__ import annotations

import os

import pytest

from app import settings
from app.cli import api_worker


def test_a_secret_from_a_file_is_handed_down_as_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings.load({"DATABASE_URL": "postgresql://a@b/c", "OPPORTUNITIES_METRICS_TOKEN": "secret" * 4})
    for name in config.environ():
        monkeypatch.setenv(name, "before")
    monkeypatch.setenv("OPPORTUNITIES_METRICS_TOKEN_FILE", "/gone/since")
    api_worker.hand_down(config)
    assert "OPPORTUNITIES_METRICS_TOKEN_FILE" not in os.environ
    assert settings.load() == config
