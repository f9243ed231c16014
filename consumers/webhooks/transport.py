"""Sends one signed request to an endpoint, within limits of time and size, no matter what the receiver does.

Ignores redirects, proxies of the environment and cookies, asks for no compression, and stops reading when it has enough.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from socket import getaddrinfo
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, TraceConfig
from yarl import URL

from consumers.webhooks import schedule
from consumers.webhooks.schedule import Outcome
from consumers.webhooks.ssrf_guard import Lookup, Refused, Resolver, socket_factory
from domain.webhook_url import Rules, url_error
from projections.clock import Clock

SECONDS = 15.0
BODY_SECONDS = 2.0
"""How long reading the body may take once a response has begun; it is only for the log."""
SPARE_SECONDS = 0.1
"""Seconds reserved at the end of the total time, to finish after reading."""
MAX_READ = 16 * 1024
MAX_KEPT = 1024
KEEPALIVE_SECONDS = 4.0
HEADERS = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "opportunities-webhooks/1"}


class Response(NamedTuple):
    """The result of a request. ``body`` is its first part as text; ``retry_after`` is in seconds."""

    outcome: Outcome
    ms: int
    status: int | None = None
    body: str = ""
    error: str | None = None
    retry_after: float | None = None


class Transport:
    """Connections to endpoints, kept open for a moment. Create, use and close it on the same event loop."""

    def __init__(
        self,
        rules: Rules,
        *,
        seconds: float = SECONDS,
        lookup: Lookup = getaddrinfo,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._rules = rules
        self._seconds = seconds
        self._lookup = lookup
        self._clock = clock or Clock()
        self._tls = tls or ssl.create_default_context()
        self._session = self._opened(keep=True)
        self._fresh = self._opened(keep=False)

    def _opened(self, *, keep: bool) -> ClientSession:
        trace = TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        return ClientSession(
            connector=TCPConnector(
                limit=0,
                socket_factory=socket_factory(self._rules),
                resolver=Resolver(self._lookup),
                ttl_dns_cache=30,
                ssl=self._tls,
                **({"keepalive_timeout": KEEPALIVE_SECONDS} if keep else {"force_close": True}),
            ),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=MAX_READ,
            trace_configs=[trace],
        )

    async def close(self) -> None:
        await self._session.close()
        await self._fresh.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Send ``body`` once. Never raises for what the receiver does or fails to do."""
        began = perf_counter()

        def failed(outcome: Outcome, error: str) -> Response:
            return Response(outcome, _ms(began), error=error)

        if message := url_error(url, self._rules):
            return failed("refused", message)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange(url, headers, body, began)
        except TimeoutError:
            return failed("timeout", f"No response within {self._seconds:g} s.")
        except aiohttp.ClientSSLError as error:
            return failed("tls", f"TLS failed: {_reason(error.__cause__ or error)}.")
        except aiohttp.ClientConnectorDNSError:
            return failed("unresolved", "The host has no address.")
        except (aiohttp.ClientOSError, ConnectionError) as error:
            if (refused := _refusal(error)) is not None:
                return failed("refused", str(refused))
            return failed("unreachable", f"The connection failed: {_reason(error)}.")
        except aiohttp.ServerDisconnectedError:
            return failed("unreachable", "The connection was closed before a response came.")
        except (aiohttp.ClientError, ValueError) as error:
            return failed("broken", f"The response is not HTTP: {_reason(error)}.")

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes, began: float) -> Response:
        noted = SimpleNamespace(reused=False)
        try:
            return await self._send(self._session, url, headers, body, began, noted)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not noted.reused:
                raise
        # A kept connection that the receiver had closed meanwhile says nothing about the receiver, and another kept one might be
        # closed too, so try again with a new one.
        return await self._send(self._fresh, url, headers, body, began, noted)

    async def _send(
        self,
        session: ClientSession,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        began: float,
        noted: SimpleNamespace,
    ) -> Response:
        async with session.post(
            URL(url, encoded=True),
            data=body,
            headers={**HEADERS, **headers},
            allow_redirects=False,
            trace_request_ctx=noted,
        ) as response:
            ms = _ms(began)
            first = await _first_of(response, min(BODY_SECONDS, self._seconds - (perf_counter() - began) - SPARE_SECONDS))
            outcome = schedule.from_status(response.status)
            return Response(
                outcome,
                ms,
                response.status,
                first.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}"),
                None if outcome == "delivered" else f"Responded with {response.status}.",
                None if outcome == "delivered" else schedule.retry_after(response.headers.get("retry-after"), self._clock.now()),
            )


async def _note_reuse(session: ClientSession, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx.reused = True


async def _first_of(response: ClientResponse, seconds: float) -> bytes:
    """The first bytes of a response. If there is more than we read, the connection is closed."""
    read = b""
    with suppress(aiohttp.ClientError, ConnectionError, TimeoutError, ValueError):
        async with asyncio.timeout(seconds):
            while len(read) < MAX_READ and (chunk := await response.content.read(MAX_READ - len(read))):
                read += chunk
    if not response.content.at_eof():
        response.close()
    return read[:MAX_KEPT]


def _refusal(error: BaseException) -> Refused | None:
    """Our own refusal, if that is why there is no connection."""
    inner: BaseException | None = getattr(error, "os_error", None) or error
    while inner is not None and not isinstance(inner, Refused):
        inner = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner.__cause__
    return inner


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def _ms(began: float) -> int:
    return round((perf_counter() - began) * 1000)
