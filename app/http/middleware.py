"""The layer around every request: request id, authentication, rate limit, security headers, metrics and one line in the log.

It is one hand-written piece because every request pays for it. It wraps the routing, so that a request for an unknown path is
counted, logged and answered like any other. Refuses every path under ``/api/`` without a token.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import getrandbits
from time import perf_counter
from typing import Any

from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.utils import normalize_path

from app import logs
from app.http import client_address, compression, cors, problems
from app.http.authentication import Identities, authenticate
from app.http.metrics import InFlight, observe
from app.http.rate_limit import RateLimit
from app.http.request_context import RequestContext
from app.http.response import Header, JsonResponse
from app.reading.read_pool import RoleChanged
from domain.errors import Unauthenticated
from domain.webhook_url import Network

HUNG_UP = 499
"""In the log and the metrics: the client was gone before the response."""
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
# Unless the response sets its own.
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_CACHE = (b"cache-control", b"private, no-cache")


@dataclass(frozen=True)
class Limits:
    """Rate limits: per user, across tokens, and per address for invalid tokens. A valid token is never limited by its address."""

    users: RateLimit
    strangers: RateLimit
    proxies: Sequence[Network]


class Access:
    """ASGI middleware around ``inner``. ``allowed`` has the verbs of each route template, for OPTIONS."""

    def __init__(
        self,
        inner: ASGIApp,
        identities: Identities,
        allowed: dict[str, bytes],
        limits: Limits | None,
        *,
        origins: frozenset[str] = frozenset(),
        compressing: bool = False,
    ) -> None:
        self._inner = inner
        self._identities = identities
        self._allowed = allowed
        self._limits = limits
        self._origins = origins
        self._compressing = compressing
        self._in_flight = InFlight()
        varying = [name for name, whether in ((b"accept-encoding", compressing), (b"origin", origins)) if whether]
        self._vary = (b"vary", b", ".join(varying)) if varying else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        method, path = scope["method"], scope["path"]  # type: ignore[typeddict-item]
        context = RequestContext(method, scope["scheme"], path, scope["headers"])
        given = context.given_id
        context.request_id = given if given is not None and _SANE_ID.fullmatch(given) else _new_id()
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # type: ignore[assignment]
        scope["request_context"] = context  # type: ignore[typeddict-unknown-key]
        context.encoding = compression.chosen(context.accept_encoding) if self._compressing else None
        status = 0
        start: Message | None = None

        async def reply(message: Message) -> None:
            nonlocal status, start
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._headers(context, scope, message)
                if context.encoding is not None:
                    start = message  # held back until the body has come
                    return
            elif context.encoding is not None and start is not None:
                message = await compression.compressed(start, message, context.encoding)
                begun, start = start, None
                await send(begun)
            if method == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        self._in_flight.add(1)
        try:
            await self._answer(context, scope, receive, reply)
        except asyncio.CancelledError:
            status = status or HUNG_UP
            raise
        except Exception as error:
            if status:  # too late for a response: the server closes the connection
                problems.report(error, path, context.request_id)
                raise
            await _refuse(context, error, reply)
        finally:
            self._in_flight.add(-1)
            seconds = perf_counter() - started
            route: str = scope.get("path_template") or "(none)"
            observe(method, route, status, seconds)
            _log(context, route, status, seconds)

    async def _answer(self, context: RequestContext, scope: Scope, receive: Receive, reply: Send) -> None:
        if "refused" in scope:  # by app.server.protocol
            raise scope["refused"]  # type: ignore[typeddict-item]
        if context.preflight is not None and context.method == "OPTIONS" and context.origin in self._origins:
            await JsonResponse(status=204, headers=cors.PREFLIGHT)(scope, receive, reply)
        else:
            await self._admit(context, scope)
            await self._routed(context, scope, receive, reply)

    async def _routed(self, context: RequestContext, scope: Scope, receive: Receive, reply: Send) -> None:
        """Run the handler again with the new role if the token's role changed since it was looked up."""
        try:
            await self._inner(scope, receive, reply)
        except RoleChanged as changed:
            context.identity = changed.identity
            scope["state"] = {}
            await self._inner(scope, receive, reply)

    async def _admit(self, context: RequestContext, scope: Scope) -> None:
        path = context.path if "//" not in context.path else normalize_path(context.path)
        if not (path + "/").startswith("/api/") or context.method == "OPTIONS":
            return
        try:
            context.identity = identity = await authenticate(context.authorization, self._identities)
        except Unauthenticated:
            if self._limits is not None:
                self._limits.strangers.take(client_address.from_scope(scope, self._limits.proxies))
            raise
        if self._limits is not None:
            self._limits.users.take(identity.user_id)

    def _headers(self, context: RequestContext, scope: Scope, message: Any) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = list(message["headers"])
        names = {name for name, _ in headers}
        if context.method == "OPTIONS" and (allowed := self._allowed.get(scope.get("path_template", ""))):
            headers = [(name, value) for name, value in headers if name != b"allow"]
            headers.append((b"allow", allowed))
        headers += _HEADERS
        if self._vary is not None:
            if b"vary" in names:
                headers = _varying(headers, self._vary)
            else:
                headers.append(self._vary)
            if context.origin is not None and context.origin in self._origins:
                headers += cors.allowing(context.origin)
        if _POLICY[0] not in names:
            headers.append(_POLICY)
        if _CACHE[0] not in names:
            headers.append(_CACHE)
        headers.append((b"x-request-id", context.request_id.encode()))
        return headers


def _varying(headers: list[Header], vary: Header) -> list[Header]:
    """The headers with a single ``Vary`` that joins the response's own and ours."""
    own = [value.lower() for name, value in headers if name == b"vary"]
    names = dict.fromkeys(b", ".join([*own, vary[1]]).split(b", "))
    return [header for header in headers if header[0] != b"vary"] + [(b"vary", b", ".join(names))]


def _new_id() -> str:
    """Unique, not secret."""
    return f"{getrandbits(128):032x}"


def allowed(routes: list[Any]) -> dict[str, bytes]:
    """The verbs of every route template. Litestar's own OPTIONS names those of the first handler only (#4169)."""
    verbs: dict[str, set[str]] = {}
    for route in routes:
        if isinstance(route, HTTPRoute):
            verbs.setdefault(route.path_format, set()).update(*(handler.http_methods for handler in route.route_handlers))
    return {
        path: ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()))).encode() for path, methods in verbs.items()
    }


async def _refuse(context: RequestContext, error: Exception, send: Send) -> None:
    problem = problems.report(error, context.path, context.request_id)
    body = problem.body(context.request_id)
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _log(context: RequestContext, route: str, status: int, seconds: float) -> None:
    identity = context.known
    logs.request(
        logs.Request(
            method=context.method,
            path=context.path[: logs.MAX_PATH],
            route=route,
            status=status,
            ms=round(seconds * 1000, 2),
            request_id=context.request_id,
            org_id=identity.org_id if identity else None,
            user_id=identity.user_id if identity else None,
            token_id=identity.token_id if identity else None,
        )
    )
