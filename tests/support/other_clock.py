"""``python -m tests.support.other_clock SECONDS verb …``: the command line in a process whose clock is off by so much."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import time_machine


def main() -> None:
    _, seconds, *arguments = sys.argv
    time_machine.travel(datetime.now(UTC) + timedelta(seconds=float(seconds)), tick=True).start()
    from app.cli.main import main as verb

    sys.argv = ["opportunities", *arguments]
    verb()


if __name__ == "__main__":
    main()
