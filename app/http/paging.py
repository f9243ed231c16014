"""Pages of a list: by number, by offset or by cursor, with order and fields, and the envelope around them.

``count`` is exact; ``next`` and ``previous`` are absolute URLs and keep every filter. Refuses mixtures of the three ways and pages
beyond the last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, unquote_plus

import msgspec
from msgspec import Meta, Raw, Struct

from app.http.filters import Pairs
from app.http.problems import Refused
from app.http.request_context import RequestContext
from domain.did_you_mean import MAX_HINTS, suggestion
from domain.errors import Errors, NotFound
from projections.conditions import Order

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_OFFSET = 10**12

_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_DIGITS = re.compile(r"\d{1,19}", re.ASCII)

PAGING = ("page", "page_size", "limit", "offset", "cursor")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list. ``number`` is set when paging by number, ``cursor`` ("" for the first page) when paging by cursor."""

    limit: int = PAGE_SIZE
    offset: int = 0
    number: int | None = 1
    cursor: str | None = None


def parse_page(given: Mapping[str, str], errors: Errors) -> Page:
    """The page that the parameters ask for; errors are added to ``errors``."""
    if given.keys().isdisjoint(PAGING):
        return Page()
    modes = {"page", "page_size"} & given.keys(), {"limit", "offset"} & given.keys(), {"cursor"} & given.keys()
    if (modes[1] and (modes[0] or modes[2])) or ("cursor" in given and "page" in given):
        for name in sorted(set().union(*modes)):
            errors[name] = ["Use page and page_size, or limit and offset, or cursor and page_size."]
        return Page()
    if modes[1]:
        limit = parse_number(given, "limit", PAGE_SIZE, 1, MAX_PAGE_SIZE, errors)
        return Page(limit, parse_number(given, "offset", 0, 0, MAX_OFFSET, errors), None)
    size = parse_number(given, "page_size", PAGE_SIZE, 1, MAX_PAGE_SIZE, errors)
    if "cursor" in given:
        return Page(size, 0, None, given["cursor"])
    asked = parse_number(given, "page", 1, 1, MAX_OFFSET, errors)
    return Page(size, (asked - 1) * size, asked)


def parse_number(given: Mapping[str, str], name: str, default: int, least: int, most: int, errors: Errors) -> int:
    text = given.get(name)
    if text is None:
        return default
    value = int(text) if _DIGITS.fullmatch(text) else -1
    if value < least or value > most:
        errors[name] = [f"Must be a whole number from {least} to {most}."]
        return default
    return value


def parse_order(text: str | None, allowed: Sequence[str], default: tuple[Order, ...], errors: Errors) -> tuple[Order, ...]:
    """Parse ``-close_date,name``."""
    if text is None:
        return default
    found: list[Order] = []
    for part in text.split(","):
        name = part.strip().removeprefix("-")
        if name not in allowed:
            errors["ordering"] = [
                f"Cannot order by {name[:100]!r}.{suggestion(name, allowed)} Possible: {', '.join(sorted(allowed))}."
            ]
            return default
        if all(name != earlier.field for earlier in found):
            found.append(Order(name, part.strip().startswith("-")))
    return tuple(found)


def parse_fields(text: str | None, known: Sequence[str], errors: Errors) -> tuple[str, ...]:
    """Parse ``id,name``; empty for all fields."""
    if text is None:
        return ()
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        errors["fields"] = [f"No field {name[:100]!r}.{suggestion(name, known)}" for name in unknown[:MAX_HINTS]]
        return ()
    return tuple(name for name in known if name in names)


_items = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def joined(items: bytes | None) -> list[Raw]:
    """The results as the database rendered them: JSON of items joined by commas, which goes into the array as it is."""
    return [Raw(items)] if items else []


def select_fields(results: Sequence[Any], names: Sequence[str]) -> list[dict[str, Raw]]:
    """Keep only the named fields of results."""
    rows = _items.decode(msgspec.json.encode(results))
    return [{name: row[name] for name in row if name in names} for row in rows]


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


def take_single(given: Pairs, names: Sequence[str], errors: Errors) -> tuple[dict[str, str], Pairs]:
    """Split off the named parameters, each of which may be given once. Returns them and the rest."""
    taken: dict[str, str] = {}
    rest: Pairs = []
    for name, text in given:
        if name not in names:
            rest.append((name, text))
        elif name in taken:
            errors[name] = ["Must be given once."]
        else:
            taken[name] = text
    return taken, rest
