"""The JSON response of a handler, kept as bytes and header pairs because every request pays for it.

It leaves out what Litestar's own response adds: cookies, background tasks, HEAD (``app.http.middleware`` handles that).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

Header = tuple[bytes, bytes]

_JSON: Header = (b"content-type", b"application/json")
_BODILESS = frozenset({204, 304})
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def extended(body: bytes, members: Mapping[str, Any]) -> bytes:
    """A JSON object with further members appended."""
    return msgspec.json.encode({**_members.decode(body), **members})


class JsonResponse(ASGIResponse):
    """``body`` is JSON, and empty with 204 and 304. ``headers`` may be added to until it is sent."""

    __slots__ = ()

    headers: list[Header]  # type: ignore[assignment]

    def __init__(self, body: bytes | str = b"", status: int = 200, headers: Iterable[Header] = ()) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.status_code = status
        self.headers = [] if status in _BODILESS else [_JSON, (b"content-length", b"%d" % len(self.body))]
        self.headers += headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
