"""The envelope around a page of a list: its count, its links and its results.

``count`` is exact; ``next`` and ``previous`` are absolute URLs and keep every filter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote, unquote_plus

from msgspec import Meta, Raw, Struct

from app.http.paging import Page
from app.http.problems import Refused
from app.http.request_context import RequestContext
from domain.errors import NotFound

_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def joined(items: bytes | None) -> list[Raw]:
    """The results as the database rendered them: JSON of items joined by commas, which goes into the array as it is."""
    return [Raw(items)] if items else []


Link = Annotated[str, Meta(extra_json_schema={"format": "uri"})]


class ListEnvelope(Struct):
    """A page of a list. ``results`` are records, or JSON from ``joined``."""

    count: Annotated[int, Meta(ge=0)]
    next: Link | None
    previous: Link | None
    results: Sequence[Any]


def envelope(
    context: RequestContext,
    query_string: bytes,
    public_url: str,
    at: Page,
    results: Sequence[Any],
    count: int,
    next_cursor: str | None = None,
) -> ListEnvelope:
    """A page of a list with its links. Raises ``NotFound`` beyond the last page."""
    if at.number is not None and at.number > 1 and at.offset >= count:
        last = max(1, -(-count // at.limit))
        raise NotFound(f"There is no page {at.number}; the last one is {last}.")
    following = previous = None
    if at.cursor is not None:
        if next_cursor is not None:
            following = _link(context, query_string, public_url, {"cursor": next_cursor})
    elif at.number is not None:
        if at.offset + at.limit < count:
            following = _link(context, query_string, public_url, {"page": at.number + 1})
        if at.number > 1:
            previous = _link(context, query_string, public_url, {"page": at.number - 1})
    else:
        if at.offset + at.limit < count:
            following = _link(context, query_string, public_url, {"limit": at.limit, "offset": at.offset + at.limit})
        if at.offset:
            previous = _link(context, query_string, public_url, {"limit": at.limit, "offset": max(0, at.offset - at.limit)})
    return ListEnvelope(count, following, previous, results)


def _link(context: RequestContext, query_string: bytes, public_url: str, changes: Mapping[str, object]) -> str:
    """This request's URL with some parameters set."""
    kept = [
        part for part in query_string.decode("ascii").split("&") if part and unquote_plus(part.partition("=")[0]) not in changes
    ]
    query = "&".join([*kept, *(f"{name}={value}" for name, value in changes.items())])
    return f"{base_url(context, public_url)}{quote(context.path)}?{query}"


def base_url(context: RequestContext, public_url: str) -> str:
    """Scheme and host of absolute URLs: from the settings, or from the request. Raises ``Refused`` for an invalid host."""
    if public_url:
        return public_url.rstrip("/")
    host = context.host or "localhost"
    if not _HOST.fullmatch(host):
        raise Refused(400, "bad_header", "The Host header is not a valid host name.")
    return f"{context.scheme}://{host}"
