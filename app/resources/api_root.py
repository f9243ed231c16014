"""``/api/``: an index of the API, made from the routes. It says nothing about the org, and so needs no database."""

from __future__ import annotations

import msgspec
from litestar import Litestar, get
from litestar.routes import HTTPRoute

from app.http import shared
from app.http.operations import describe
from app.http.request_context import Http
from app.http.response import JsonResponse

PREFIX = "/api/"
EXAMPLE = {"opportunities": "/api/opportunities/", "forecast": "/api/opportunities/forecast/", "documentation": "/schema/"}


@get("/api", opt=describe("Operations", "Index of the API", answer=dict[str, str], answer_example=EXAMPLE))
async def get_index(request: Http) -> JsonResponse:
    return JsonResponse(shared.from_request(request).index)


def document(app: Litestar) -> bytes:
    """Every address that can be read without knowing an id; nested ones such as ``forecast`` are named without their collection."""
    found: dict[str, str] = {}
    for path in (route.path for route in app.routes if isinstance(route, HTTPRoute) and "GET" in route.methods):
        if path.startswith(PREFIX) and "{" not in path:
            whole = path.removeprefix(PREFIX).split("/")
            names = ["_".join(parts).replace("-", "_") for parts in (whole[1:], whole) if parts]
            found[next(name for name in names if name not in found)] = f"{path}/"
    return msgspec.json.encode({**found, "documentation": "/schema/"})


HANDLERS = (get_index,)
