"""SSRF guard: decides by the address a request connects to, at the moment it connects.

A name that passed when the endpoint was created may resolve to another address now, and an address in a URL is never looked up at
all; so neither check alone would do. It allows what the rules allow; a firewall may be stricter.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from domain.webhook_url import Rules, address_error

Lookup = Callable[..., Sequence[tuple[Any, Any, int, str, tuple[Any, ...]]]]
"""Signature of ``socket.getaddrinfo``."""
LOOKUP_SECONDS = 3.0


class Refused(OSError):
    """The address must not be connected to."""


def socket_factory(rules: Rules) -> Callable[[Any], socket.socket]:
    """Makes the sockets of connections, each for the address it will connect to. Raises ``Refused``."""

    def make(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, proto, _, place = info
        try:
            message = address_error(ip_address(place[0]), rules)
        except ValueError:
            message = "Not an IP address."
        if message:
            raise Refused(message)
        return socket.socket(family, kind, proto)

    return make


class Resolver(AbstractResolver):
    """Resolves each name in a thread of its own, so that a name server that does not answer delays nobody else."""

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await _in_thread(lambda: self._lookup(host, port, family=family, type=socket.SOCK_STREAM))
        return [
            ResolveResult(hostname=host, host=place[0], port=port, family=each, proto=proto, flags=socket.AI_NUMERICHOST)
            for each, _, proto, _, place in found
        ]

    async def close(self) -> None:
        pass


async def name_error(url: str, rules: Rules, lookup: Lookup = socket.getaddrinfo) -> str | None:
    """Why nothing can be sent to a URL whose host is a name, by its present addresses. A name that does not resolve passes."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            found = await _in_thread(lambda: lookup(host, parts.port or 0, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError, TimeoutError):
        return None
    for place in {info[4][0] for info in found}:
        if address_error(ip_address(place), rules):
            return f"{host} resolves to an address that is not public: private, loopback, link-local and reserved ones are refused."
    return None


async def _in_thread(work: Callable[[], Any]) -> Any:
    """The result of ``work`` in a new thread. An executor has few threads, and waits for them at exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error else future.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except (OSError, UnicodeError) as failed:
            error = failed
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="lookup", daemon=True).start()
    return await future
