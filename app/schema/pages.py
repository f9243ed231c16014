"""The OpenAPI document and its docs page, Swagger UI served from our own files (``swagger_ui/VERSION``).

The page's content security policy allows nothing from another host.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from app.http import compression, request_context, shared
from app.http.operations import HIDDEN, describe
from app.http.request_context import Encoded, Http

MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}
# Swagger UI uses style attributes and images in data URLs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = [("content-security-policy", POLICY), ("cache-control", "no-cache")]


@get("/schema/openapi.json", opt=describe("Documentation", "This document", answer=dict[str, Any]))
async def get_openapi(request: Http) -> ASGIResponse:
    return sent(request, shared.from_request(request).openapi)


@get("/schema", opt={"operation": HIDDEN})
async def get_docs() -> ASGIResponse:
    return ASGIResponse(body=_file("index.html")[None], media_type="text/html", headers=PAGE_HEADERS)


@get("/schema/files/{name:str}", opt={"operation": HIDDEN})
async def get_docs_file(request: Http, name: FromPath[str]) -> ASGIResponse:
    media_type = MEDIA_TYPES.get(name[name.rfind(".") :])
    if media_type is None or name not in _names():
        raise NotFoundException
    content = await asyncio.to_thread(_file, name)  # which compresses it, once
    return _in_its_encoding(request, content, media_type, "public, max-age=3600")


def sent(request: Http, document: Encoded) -> ASGIResponse:
    """A packed document, compressed for clients that accept it."""
    return _in_its_encoding(request, document, "application/json", "no-cache")


def _in_its_encoding(request: Http, content: Encoded, media_type: str, caching: str) -> ASGIResponse:
    encoding = request_context.from_request(request).encoding
    headers = [("cache-control", caching), *([("content-encoding", encoding)] if encoding else [])]
    return ASGIResponse(body=content[encoding], media_type=media_type, headers=headers)


def packed(document: dict[str, Any]) -> Encoded:
    """A document as JSON, plain and compressed."""
    return compression.beforehand(msgspec.json.encode(document))


@cache
def _names() -> frozenset[str]:
    return frozenset(entry.name for entry in files("app.schema.swagger_ui").iterdir())


@cache
def _file(name: str) -> Encoded:
    return compression.beforehand(files("app.schema.swagger_ui").joinpath(name).read_bytes())


HANDLERS = (
    get_openapi,
    get_docs,
    get_docs_file,
)
