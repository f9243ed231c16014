"""The mark of the benchmark's own test. It runs when its folder is named: ``pytest tests/bench``."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bench: shows that the benchmark runs; not part of the tests by default")
