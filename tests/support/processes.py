"""The product's command line as a person runs it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(extra: Mapping[str, str] = {}) -> dict[str, str]:
    """The run's environment without settings of the product, but for those given."""
    ours = ("DATABASE_URL", "OPPORTUNITIES_", "KAFKA_BOOTSTRAP_SERVERS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(extra)


def command(*arguments: str, program: Sequence[str] = ("app.cli",)) -> list[str]:
    return [sys.executable, "-m", *program, *arguments]


def opportunities(
    *arguments: str, env: Mapping[str, str] = {}, seconds: float = 60, program: Sequence[str] = ("app.cli",)
) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end. ``program`` is what it is run by, as after ``python -m``."""
    return subprocess.run(
        command(*arguments, program=program),
        cwd=ROOT,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
