"""Child processes that cannot outlive us, started without a shell; and waiting until they are ready, or for any other state."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(number: signal.Signals = signal.SIGTERM, parent: int | None = None) -> None:
    """On Linux, send this process the signal ``number`` when the thread that forked it ends; does nothing elsewhere."""
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if parent is not None and os.getppid() != parent:
            os.kill(os.getpid(), number)


def spawn(
    command: Sequence[str | Path],
    *,
    stop: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    output: IO[Any] | None = None,
    user: int | None = None,
    group: int | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child that gets ``stop`` when we die, and no Ctrl-C of our terminal. Call it from the main thread.

    When we are root, the child runs as ``user`` and ``group``. It inherits the open files ``pass_fds``.
    """
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=env,
        cwd=cwd,
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        pass_fds=pass_fds,
        start_new_session=True,
        preexec_fn=follower(stop),  # noqa: PLW1509  it makes two system calls
    )


def follower(stop: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()
    return lambda: die_with_parent(stop, parent)


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
    """Ask a child to end, kill it after ``seconds``, and return its exit code."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds; False if it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
