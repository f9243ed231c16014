"""A verb of the command line that works until it is stopped, as a process to be killed and started again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.processes import ROOT, command, environment


class Worker:
    """``opportunities <arguments>``, with these settings."""

    def __init__(self, *arguments: str, env: Mapping[str, str]) -> None:
        self._command = command(*arguments)
        self._environ = environment(env)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, cwd=ROOT, env=self._environ, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def at_work(*arguments: str, env: Mapping[str, str]) -> Iterator[Worker]:
    worker = Worker(*arguments, env=env)
    worker.start()
    try:
        yield worker
    finally:
        code = worker.stop()
        assert code == 0, f"{arguments} ended with {code}"
