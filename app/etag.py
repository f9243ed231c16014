"""Entity tags: the version of a record, in quotes. Refuses a precondition that cannot be read, for to ignore one
loses an update."""

from __future__ import annotations

import re

from app.problems import Refused

_TAG = re.compile(r'\s*(?:(?:W/)?"([\x21\x23-\x7e]*)"|(\d+))\s*')


def of(version: int) -> str:
    return f'"{version}"'


def versions(header: str, name: str) -> frozenset[int] | None:
    """The versions an ``If-Match`` or ``If-None-Match`` lists, None for ``*``. Tags that are not ours match nothing.

    A weak tag counts as a strong one, for proxies that compress make ours weak.
    """
    if header.strip() == "*":
        return None
    found: set[int] = set()
    for part in header.split(","):
        matched = _TAG.fullmatch(part)
        if matched is None:
            raise Refused(400, "bad_header", f'{name} must list entity tags such as "5", or be *.')
        text = matched[1] if matched[1] is not None else matched[2]
        if text.isascii() and text.isdigit() and len(text) < 19:
            found.add(int(text))
    return frozenset(found)


def unchanged(header: str | None, version: int) -> bool:
    """Whether an ``If-None-Match`` names this version, so that a GET may answer 304."""
    if header is None:
        return False
    listed = versions(header, "If-None-Match")
    return listed is None or version in listed
