"""An org that moves: everything that ever happened in it as a file, and that file taken over by another org."""

from __future__ import annotations

import json
import resource
import time
from contextlib import closing
from functools import cache
from pathlib import Path

from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.bench import accounting, databases
from tests.bench.rig import Rig, Sample

EMAIL = "admin@moved.example"


@cache
def of(rig: Rig) -> Moving:
    return Moving(rig)


class Moving:
    """With the verbs of the command line, on a database of its own."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._file: Path = rig.logs / "moved.history.ndjson"
        self._events = 0

    def exported(self) -> Sample:
        """Events per second, from the start of the command to its end."""
        sample = self._run("export", str(self._file), "--org", str(self._rig.work.loaded.org_id))
        self._rig.report(f"a file of {self._file.stat().st_size / 1024**2:,.0f} MiB with {self._events:,} events")
        return sample

    def imported(self) -> Sample:
        """Events per second, from the start of the command, with the look at the file, to its end."""
        if not self._file.exists():
            self.exported()
        with closing(Committer(self._rig.moved_url)) as committer:
            org = create_org(committer, "Moved", "USD", EMAIL)
        mapping = self._rig.logs / "moved.json"
        create = {"custom_fields": True, "stages": True, "exchange_rates": True}
        mapping.write_text(json.dumps({"create_missing": create, "defaults": {"owner": EMAIL}}))
        asked = ("--org", str(org.org_id), "--as", EMAIL, "--mapping", str(mapping))
        sample = self._run("import", str(self._file), *asked)
        self._file.unlink()
        return sample

    def _run(self, *arguments: str) -> Sample:
        """A command, by the events of its file."""
        before, server = resource.getrusage(resource.RUSAGE_CHILDREN), accounting.cpu(self._rig.running)["PostgreSQL"]
        began = time.perf_counter()
        done = databases.run(*arguments, "--database-url", self._rig.moved_url)
        took = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"{arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        with self._file.open("rb") as lines:
            self._events = sum(line.startswith(b'{"line":"event"') for line in lines)
        cpu = {
            arguments[0]: (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / self._events * 1e6,
            "PostgreSQL": (accounting.cpu(self._rig.running)["PostgreSQL"] - server) / self._events * 1e6,
        }
        return Sample(self._events / took, "events/s", cpu=cpu)


def exported(rig: Rig) -> Sample:
    return of(rig).exported()


def imported(rig: Rig) -> Sample:
    return of(rig).imported()
