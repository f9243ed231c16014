"""Entity tags: the version of a record and a checksum of its JSON, which also covers embedded records: ``"6.1f3a90c2"``.

Refuses a precondition that cannot be parsed, because ignoring it could lose an update.
"""

from __future__ import annotations

import re
from zlib import crc32

from app.http.problems import Refused

_VERSION = re.compile(r"(\d{1,18})(\.[0-9a-f]+)?", re.ASCII)
_TAG = re.compile(r'\s*(?:(?:W/)?"([\x21\x23-\x7e]*)"|(\d+))\s*')


def tag(version: int, body: bytes) -> str:
    """Two bodies of the same version have the same tag with probability 2⁻³²."""
    return f'"{version}.{crc32(body):08x}"'


def versions(header: str) -> frozenset[int] | None:
    """The versions an ``If-Match`` lists, None for ``*``. Tags that are not ours match nothing.

    A change in an embedded record does not count: it is a change of that record.
    """
    tags = _tags(header, "If-Match")
    return None if tags is None else frozenset(int(found[1]) for tag in tags if (found := _VERSION.fullmatch(tag)))


def unchanged(header: str | None, tag: str) -> bool:
    """Whether an ``If-None-Match`` lists this tag, so that a GET may answer 304."""
    if header is None:
        return False
    tags = _tags(header, "If-None-Match")
    return tags is None or tag[1:-1] in tags


def _tags(header: str, name: str) -> set[str] | None:
    """The tags listed, without quotes, None for ``*``. Weak tags count as strong ones, because compression makes ours weak."""
    if header.strip() == "*":
        return None
    found: set[str] = set()
    for part in header.split(","):
        matched = _TAG.fullmatch(part)
        if matched is None:
            raise Refused(400, "bad_header", f'{name} must list entity tags such as "5", or be *.')
        found.add(matched[1] if matched[1] is not None else matched[2])
    return found
