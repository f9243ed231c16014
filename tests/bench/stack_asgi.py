"""Our HTTP stack without SQL: the product's application with one more route, which reads a list's query and answers.

Authentication (cached, as for everyone), rate limit, parsing of filters, headers, metrics and the log line are all
there; the answer is the fixed one of ``raw_asgi``, so the difference between the two is what the stack costs.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, get

from app import logs, settings
from app.cli.api_worker import application
from app.http import listing
from app.http.operations import HIDDEN
from app.http.response import JsonResponse
from app.main import Application
from app.resources.opportunities import TABLE
from app.routes import ROUTES
from tests.bench.raw_asgi import BODY

PATH = "/api/bench/"


@get(PATH, opt={"operation": HIDDEN})
async def answer(request: Request[Any, Any, Any]) -> JsonResponse:
    await listing.parse(request, TABLE)
    return JsonResponse(BODY)


def create() -> Application:
    config = settings.load()
    logs.configure(config.log_level, config.log_format)
    return application(config, [*ROUTES, answer])
