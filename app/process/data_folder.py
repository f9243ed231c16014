"""The folder in which a process keeps its data, locked against other processes."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from app.process.failures import Failure


class Unusable(Failure):
    """Why a folder cannot be used, in one sentence."""


def lock(folder: Path) -> IO[str]:
    """Create ``folder`` if needed, private to this user, and lock it until the returned file is closed. Raises ``Unusable``."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = (folder / "lock").open("a+")
    except FileExistsError:
        raise Unusable(f"The data folder {folder} cannot be used: it is a file.") from None
    except OSError as error:
        raise Unusable(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise Unusable(f"The data folder {folder} is in use by another process: stop that process first.") from None
    return held
