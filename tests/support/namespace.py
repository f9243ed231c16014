"""A network namespace of Linux with a wire of its own to each of some addresses of this machine; each can be cut silently."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

NOBODY = "02:00:00:00:00:01"


class Namespace:
    """Wire ``n`` leads to this machine's ``10.77.n.1``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.command = ("ip", "netns", "exec", name)
        """What a command begins with that runs inside."""

    def wire(self, number: int) -> str:
        """Lay one; the address at our end. What it leads to must listen there."""
        ours, theirs = f"{self.name}o{number}", f"{self.name}i{number}"
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
        ip("link", "set", theirs, "netns", self.name)
        ip("addr", "add", f"10.77.{number}.1/30", "dev", ours)
        ip("link", "set", ours, "up")
        ip("-n", self.name, "addr", "add", f"{self.inside(number)}/30", "dev", theirs)
        ip("-n", self.name, "link", "set", theirs, "up")
        return f"10.77.{number}.1"

    def inside(self, number: int) -> str:
        """The address at the other end of a wire."""
        return f"10.77.{number}.2"

    def cut(self, number: int) -> None:
        """What is sent goes nowhere, and nobody says so."""
        neighbour = (f"10.77.{number}.1", "lladdr", NOBODY, "nud", "permanent", "dev", f"{self.name}i{number}")
        ip("-n", self.name, "neigh", "replace", *neighbour)

    def mend(self, number: int) -> None:
        ip("-n", self.name, "neigh", "del", f"10.77.{number}.1", "dev", f"{self.name}i{number}")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Skips the test where none may be made."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("a network namespace takes Linux, root and ip (Debian: apt-get install iproute2)")
    made = Namespace(f"o{uuid4().hex[:6]}")
    if subprocess.run(["ip", "netns", "add", made.name], capture_output=True).returncode:
        pytest.skip("no network namespace may be made here")
    try:
        yield made
    finally:
        ip("netns", "del", made.name)
