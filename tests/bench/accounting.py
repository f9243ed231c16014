"""What processes cost, from /proc: CPU time of whole trees and peak memory. Linux only; refuses to guess."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    pid: int
    name: str
    parent: int
    cpu: float
    """Seconds of all its threads and of its children that have ended."""


def _stat(pid: int) -> Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Stat(pid, name, int(fields[1]), sum(map(int, fields[11:15])) / TICK)


def tree(root: int) -> list[Stat]:
    """A process and everything below it."""
    stats = [stat for entry in os.listdir("/proc") if entry.isdigit() and (stat := _stat(int(entry)))]
    children: dict[int, list[Stat]] = {}
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat)
    found = [stat for stat in stats if stat.pid == root]
    for stat in found:
        found += children.get(stat.pid, [])
    return found


def cpu(roots: Mapping[str, int]) -> dict[str, float]:
    """Seconds used so far by the trees of the named roots."""
    return {name: sum(stat.cpu for stat in tree(root)) for name, root in roots.items()}


def parent(pid: int) -> int:
    stat = _stat(pid)
    if stat is None:
        raise ProcessLookupError(f"process {pid} is not on this machine")
    return stat.parent


@dataclass(frozen=True)
class Memory:
    """Of one process, in MiB: its highest resident size (shared pages included) and what it holds alone now."""

    pid: int
    command: str
    peak: float
    private: float


def memory(root: int) -> list[Memory]:
    return [found for stat in tree(root) if (found := _memory(stat))]


def _memory(stat: Stat) -> Memory | None:
    try:
        status = Path(f"/proc/{stat.pid}/status").read_text()
        rollup = Path(f"/proc/{stat.pid}/smaps_rollup").read_text()
        command = Path(f"/proc/{stat.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    private = _kilobytes(rollup, "Private_Clean") + _kilobytes(rollup, "Private_Dirty")
    return Memory(stat.pid, command or stat.name, _kilobytes(status, "VmHWM") / 1024, private / 1024)


def _kilobytes(text: str, name: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:")), 0)
