"""Multipart bodies read as a stream: each part's beginning, its bytes as they come, and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.http import request_context
from app.http.problems import Refused
from app.http.request_context import Http

MAX_PARTS = 40
MAX_HEADER = 8 * 1024


class Part(NamedTuple):
    """The beginning of a part; ``file_name`` is None for a field."""

    name: str
    file_name: str | None


def boundary_of(request: Http) -> bytes:
    context = request_context.from_request(request)
    kind, options = parse_options_header(context.content_type or "")
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 256:
        raise Refused(415, "unsupported_media_type", "Send the file as multipart/form-data, with a boundary.")
    if context.content_encoding not in (None, "identity"):
        raise Refused(415, "unsupported_content_encoding", "Send the file as it is, without Content-Encoding.")
    return boundary


async def stream(request: Http, boundary: bytes) -> AsyncIterator[Part | bytes | None]:
    """Each part: its beginning, its bytes, and None at its end. Raises ``Refused``."""
    events = _Events()
    parser = MultipartParser(boundary, events.callbacks())
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "incomplete_body", "The connection was closed before all of the body came.")
        try:
            if body := message.get("body", b""):
                parser.write(body)
            if not message.get("more_body"):
                parser.finalize()
        except FormParserError as error:
            raise Refused(400, "malformed_body", f"This is no multipart/form-data: {error}.") from None
        for one in events.taken():
            yield one
        if not message.get("more_body"):
            if not events.ended:
                raise Refused(400, "malformed_body", "This is no multipart/form-data: it does not end with its boundary.")
            return


class _Events:
    """What the parser finds."""

    def __init__(self) -> None:
        self._found: list[Part | bytes | None] = []
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._parts = 0
        self.ended = False

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
            "on_part_end": lambda: self._found.append(None),
            "on_header_field": self._field,
            "on_header_value": self._more,
            "on_header_end": self._header,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }

    def taken(self) -> list[Part | bytes | None]:
        found, self._found = self._found, []
        return found

    def _begin(self) -> None:
        self._headers = {}
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Refused(400, "malformed_body", f"The body has more than {MAX_PARTS} parts.")

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._bound()

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound()

    def _bound(self) -> None:
        if len(self._name) + len(self._value) > MAX_HEADER:
            raise Refused(400, "malformed_body", "A part's header is too long.")

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if not (name := options.get(b"name")):
            raise Refused(400, "malformed_body", "Each part needs a name in its Content-Disposition.")
        file_name = options.get(b"filename")
        self._found.append(Part(_text(name), None if file_name is None else _text(file_name)))

    def _end(self) -> None:
        self.ended = True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "�")
