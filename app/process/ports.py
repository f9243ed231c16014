"""Ports to listen on: whether one can be had, and one that is free."""

from __future__ import annotations

import errno
import socket


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
