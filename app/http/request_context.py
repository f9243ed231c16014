"""What is known of a request before its handler runs: its id, its sender, and the few headers that are used, which
``app.http.middleware`` reads once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, cast

from litestar import Request

from app.reading.read_pool import Identity
from domain.errors import Unauthenticated

Encoding = Literal["gzip", "zstd"]
Encoded = dict[Encoding | None, bytes]
"""The same content in every encoding."""
Http = Request[Any, Any, Any]

# ASGI header name → attribute.
HEADERS = {
    b"authorization": "authorization",
    b"content-type": "content_type",
    b"content-length": "content_length",
    b"host": "host",
    b"if-match": "if_match",
    b"if-none-match": "if_none_match",
    b"idempotency-key": "idempotency_key",
    b"accept-encoding": "accept_encoding",
    b"content-encoding": "content_encoding",
    b"origin": "origin",
    b"access-control-request-method": "preflight",
    b"x-request-id": "given_id",
}


class RequestContext:
    """One request. Headers that were not sent are None.

    ``encoding`` is how the response is compressed, if it is; ``body`` is what was sent, decompressed, once it has been read.
    """

    __slots__ = ("_identity", "body", "encoding", "method", "path", "request_id", "scheme", *HEADERS.values())

    authorization: str | None
    content_type: str | None
    content_length: str | None
    host: str | None
    if_match: str | None
    if_none_match: str | None
    idempotency_key: str | None
    accept_encoding: str | None
    content_encoding: str | None
    origin: str | None
    preflight: str | None
    given_id: str | None

    def __init__(self, method: str, scheme: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.method = method
        self.scheme = scheme
        self.path = path
        self.request_id = ""
        self._identity: Identity | None = None
        self.encoding: Encoding | None = None
        self.body: bytes | None = None
        self.authorization = self.content_type = self.content_length = self.host = None
        self.if_match = self.if_none_match = self.idempotency_key = self.given_id = None
        self.accept_encoding = self.content_encoding = self.origin = self.preflight = None
        for name, value in headers:
            if attribute := HEADERS.get(name):
                setattr(self, attribute, value.decode("latin-1"))

    @property
    def identity(self) -> Identity:
        """The token's identity. Raises ``Unauthenticated`` if there is none."""
        if self._identity is None:
            raise Unauthenticated("Send a token: Authorization: Bearer <token>.")
        return self._identity

    @identity.setter
    def identity(self, identity: Identity) -> None:
        self._identity = identity

    @property
    def known(self) -> Identity | None:
        return self._identity


def from_request(request: Http) -> RequestContext:
    return cast("RequestContext", request.scope["request_context"])  # type: ignore[typeddict-item]
