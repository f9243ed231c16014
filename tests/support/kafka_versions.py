"""What uses Kafka, on Apache Kafka itself instead of the embedded broker: ``make test-kafka``.

``VERSIONS`` names some: ``newest``, ``oldest``, or a number. Without it that is the newest for everything, and the oldest that we
support for what is of one broker and topics alone; where ``-m`` asks for other tests, the newest alone. With ``--fetch`` the
programs are fetched and nothing runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests.support import apache_kafka_programs, seen
from tests.support.apache_kafka_programs import Absent
from tests.support.kafka import VERSION
from tests.support.postgres import engine_answers

WORKERS = "2"
"""Each may have a broker of its own at once, of some 400 MiB."""
CHOSEN = ("-m", "(kafka or apache) and not long")
FEW = ("-m", "(kafka or apache) and not long and not e2e", "--ignore=tests/apache/test_cluster.py")


def run(version: str, arguments: Sequence[str]) -> int:
    print(f"== Apache Kafka {version}", flush=True)
    environ = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"} | {VERSION: version}
    report = seen.Report()
    command = [sys.executable, "-m", "pytest", "-n", WORKERS, *report.options(), *arguments]
    code = subprocess.run(command, env=environ).returncode
    report.write(f"Apache Kafka {version}", arguments)
    print(f"== Apache Kafka {version}: {'failed' if code else 'passed'}", flush=True)
    return code


def main(arguments: Sequence[str]) -> int:
    """The first exit code that is not 0; all are run all the same."""
    pinned = apache_kafka_programs.versions()
    names = os.environ.get("VERSIONS", "").split()
    several = pinned.values() if "-m" not in arguments else [pinned["newest"]]
    versions = [pinned.get(name, name) for name in names] or list(several)
    if not engine_answers():
        for version in versions:
            apache_kafka_programs.find(version)
    if "--fetch" in arguments:
        return 0
    usual = [FEW if not names and version == pinned["oldest"] else CHOSEN for version in versions]
    chosen = [() if "-m" in arguments else which for which in usual]
    codes = [run(version, [*which, *arguments]) for version, which in zip(versions, chosen, strict=True)]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Absent as error:
        sys.exit(str(error))
