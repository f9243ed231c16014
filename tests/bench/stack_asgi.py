"""Our HTTP stack without SQL: the product's application with one more route, which reads a list's query and answers.

Authentication (cached, as for everyone), rate limit, parsing of filters, headers, metrics and the log line are all
there; the answer is the fixed one of ``raw_asgi``, so the difference between the two is what the stack costs.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, get

from app import listing, logs, settings
from app.answer import Answer
from app.main import Application
from app.operations import HIDDEN
from app.opportunities import TABLE
from app.routes import ROUTES
from app.serve import application
from tests.bench.raw_asgi import BODY

PATH = "/api/bench/"


@get(PATH, opt={"operation": HIDDEN})
async def answer(request: Request[Any, Any, Any]) -> Answer:
    await listing.asked(request, TABLE)
    return Answer(BODY)


def create() -> Application:
    config = settings.load()
    logs.configure(config.log_level, config.log_format)
    return application(config, [*ROUTES, answer])
