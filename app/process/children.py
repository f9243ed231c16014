"""Child processes that cannot outlive us, free ports, folder locks, waiting for a state, and memory. Children are started without a
shell."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from app.process.failures import Failure

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(number: signal.Signals = signal.SIGTERM, parent: int | None = None) -> None:
    """On Linux, send this process the signal ``number`` when the thread that forked it ends; does nothing elsewhere."""
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if parent is not None and os.getppid() != parent:
            os.kill(os.getpid(), number)


def tune_gc() -> None:
    """Collect cyclic garbage less often, and exempt the objects that exist now.

    For work that makes many small objects and hardly any cycles: collection was a tenth of the cost of a write, and a sixth of a
    rebuild.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def return_memory() -> None:
    """Return freed memory to the system, if the C library supports it; by itself it keeps it for reuse."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


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


def bind_problem(host: str, port: int) -> str | None:
    """Why we cannot listen there, in a sentence; None if we can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                return f"Port {port} is in use by another program: stop that program, or choose another port with --port."
            case errno.EACCES:
                return f"Port {port} needs root rights: choose one above 1023 with --port."
        return f"Cannot listen on {host} port {port}: {error.strerror}."
    return None


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class Unusable(Failure):
    """Why a folder cannot be used, in one sentence."""


def lock_folder(folder: Path) -> IO[str]:
    """Create ``folder`` if needed, private to this user, and lock it until the returned file is closed. Raises ``Unusable``."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except FileExistsError:
        raise Unusable(f"The data folder {folder} cannot be used: it is a file.") from None
    except OSError as error:
        raise Unusable(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Unusable(f"The data folder {folder} is in use by another process: stop that process first.") from None
    return lock


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds; False if it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
