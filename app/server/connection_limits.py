"""How many connections a process may have, by its settings and its file descriptors, and how long each may take."""

from __future__ import annotations

import resource

import msgspec
import structlog

from app.settings import Settings

RESERVE = 32
"""Connections beyond the limit, for ``/health/`` alone."""
OURS = 128
"""File descriptors that the process needs for itself: the database, logs, the listening socket."""

log = structlog.get_logger("connections")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times are in seconds, sizes in bytes."""

    connections: int
    keep_alive: float
    head: float
    body: float
    max_body: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of the settings, reduced to the file descriptors that this process may have."""
        return cls(
            connections=max(1, min(settings.max_connections, descriptors() - OURS - RESERVE)),
            keep_alive=settings.keep_alive_s,
            head=settings.head_timeout_s,
            body=settings.body_timeout_s,
            max_body=settings.max_body_bytes,
        )


def descriptors() -> int:
    """The number of file descriptors that this process may have."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


def raise_descriptors(wanted: int) -> None:
    """Raise the soft limit of file descriptors to serve ``wanted`` connections, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVE + OURS
    if resource.RLIM_INFINITY not in (soft, hard):
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    if descriptors() < wanted + RESERVE + OURS:
        log.warning("connections.few_descriptors", descriptors=descriptors(), connections=wanted)
