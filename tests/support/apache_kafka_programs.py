"""Where the programs of Apache Kafka come from: Maven, once for each version, into a folder of the user's cache.

The versions are those of ``pom.xml`` beside this module.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

POM = Path(__file__).with_name("pom.xml")
OLDEST_JAVA = 17
FETCH_SECONDS = 300
WAY = "check the network, or the mirror in Maven's settings.xml"


class Absent(Exception):
    """Apache Kafka is not to be had here, and what to do about it, on one line."""


@cache
def versions() -> dict[str, str]:
    """The pinned ones, the ``newest`` and the ``oldest`` that we support."""
    found = ElementTree.parse(POM).iter()  # noqa: S314  it is our own file
    texts = {element.tag.rpartition("}")[2]: element.text or "" for element in found}
    return {name: texts[f"kafka.{name}"] for name in ("newest", "oldest")}


def find(version: str, *, tools: bool = False) -> Path:
    """The folder of its programs, fetched if need be; with the ``tools`` for its operators. Raises ``Absent``."""
    if (major := java_version(java())) < OLDEST_JAVA:
        raise Absent(
            f"Apache Kafka {version} needs Java {OLDEST_JAVA} or newer, not {major}: apt-get install openjdk-17-jre-headless."
        )
    folder = cache_folder() / f"apache-kafka-{'tools-' if tools else ''}{version}"
    if not folder.exists():
        fetch(version, folder, *(["--activate-profiles=tools"] if tools else []))
    return folder


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opportunities"


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None:
        raise Absent("Apache Kafka needs Java, which is missing: apt-get install openjdk-17-jre-headless, or set JAVA_HOME.")
    return found


@cache
def java_version(program: str) -> int:
    """The major version. Raises ``Absent`` if it cannot be run."""
    try:
        told = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30).stderr
    except OSError as error:
        raise Absent(
            f"{program} cannot be run ({error.strerror}): correct JAVA_HOME, or apt-get install openjdk-17-jre-headless."
        ) from None
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0


def fetch(version: str, target: Path, *options: str) -> None:
    program = shutil.which("mvn")
    if program is None:
        raise Absent(f"Apache Kafka {version} is not here, nor is Maven, which fetches it: apt-get install maven.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=target.parent) as made:
        folder = Path(made) / "programs"
        command = [
            program,
            "--batch-mode",
            "--quiet",
            "--file",
            str(POM),
            f"-Dkafka.version={version}",
            f"-DoutputDirectory={folder}",
            *options,
        ]
        try:
            done = subprocess.run([*command, "dependency:copy-dependencies"], capture_output=True, text=True, timeout=FETCH_SECONDS)
        except subprocess.TimeoutExpired:
            raise Absent(f"Apache Kafka {version} did not come in {FETCH_SECONDS} s: {WAY}.") from None
        if done.returncode:
            said = next(
                iter(re.findall(r"\[ERROR\] (?:Failed to execute goal [^:]+:\S+ \S+ on project \S+ )?(.+)", done.stdout)), ""
            )
            raise Absent(f"Maven cannot fetch Apache Kafka {version}: {WAY} ({said[:200]}).")
        if not target.exists():
            folder.rename(target)
