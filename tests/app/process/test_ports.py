"""Ports are tried before a server is started on them, so that a taken one is told in a sentence."""

from __future__ import annotations

import socket

from app.process.ports import bind_problem, free_port


def test_a_free_port_can_be_listened_on() -> None:
    assert bind_problem("127.0.0.1", free_port()) is None


def test_a_taken_port_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert str(bind_problem("127.0.0.1", port)).startswith(f"Port {port} is in use by another program")


def test_an_address_that_is_not_ours_is_told() -> None:
    assert str(bind_problem("192.0.2.1", 8000)).startswith("Cannot listen on 192.0.2.1 port 8000: ")
