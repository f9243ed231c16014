"""The OpenAPI document and its docs page, Swagger UI served from our own files (``swagger_ui/VERSION``), and the page at ``/``.

The content security policies of the pages allow nothing from another host.
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
LANDING = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Opportunities</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
body { color: #1d2733; background: #fff }
code { background: #eef1f4; padding: .1rem .3rem; border-radius: 3px }
@media (prefers-color-scheme: dark) {
  body { color: #e4e8ec; background: #14181d }
  code { background: #252c34 }
  a { color: #7cb7ff }
}
</style>
</head>
<body>
<h1>Opportunities</h1>
<p>The API is running. It is at <a href="/api/"><code>/api/</code></a> and wants
<code>Authorization: Bearer &lt;token&gt;</code>.</p>
<ul>
<li><a href="/schema/">Documentation</a>, to read and try out</li>
<li><a href="/schema/openapi.json">OpenAPI document</a></li>
<li><a href="/schema/asyncapi.json">AsyncAPI document</a> of the event stream</li>
<li><a href="/health/ready">Health</a></li>
</ul>
</body>
</html>
"""


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


@get("/", opt={"operation": HIDDEN})
async def get_landing() -> ASGIResponse:
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return ASGIResponse(body=LANDING, media_type="text/html", headers=[("content-security-policy", policy)])


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
    get_landing,
)
