"""The org's pipeline policy over HTTP: get, and replace as a whole."""

from __future__ import annotations

import msgspec
from litestar import get, put

from app.http import bodies, dispatch, filters, records, request_context
from app.http.json_schema import shown
from app.http.operations import describe
from app.http.request_context import Http
from app.http.response import JsonResponse
from domain import pipeline
from domain.errors import NotFound

TAG = "Pipeline"
PATH = "/api/pipeline"
Pipeline = shown(pipeline.State, "Pipeline")
EXAMPLE = msgspec.to_builtins(pipeline.DEFAULT)


@get(PATH, opt=describe(TAG, "Get the pipeline policy", answer=Pipeline, versioned=True))
async def get_pipeline(request: Http) -> JsonResponse:
    filters.reject_any(request.scope["query_string"])
    found = await records.settings(request, "pipeline")
    if found is None:
        raise NotFound("This organization has no pipeline.")
    return dispatch.record(request, *found)


@put(
    PATH,
    opt=describe(
        TAG,
        "Replace the pipeline policy",
        description=(
            "For admins. `transitions` is `permissive`, `no_skip`, `no_backward` or a map from stages to those"
            " a deal may move to. A stage with deals cannot be removed: 409 with their number."
        ),
        body=pipeline.Replace,
        body_example=EXAMPLE,
        answer=Pipeline,
        versioned=True,
    ),
)
async def replace_pipeline(request: Http) -> JsonResponse:
    command = await bodies.read(request, pipeline.Replace)
    stream_id = pipeline.stream_id(request_context.from_request(request).identity.org_id)
    return dispatch.answer(await dispatch.execute(request, command, stream_id=stream_id))


HANDLERS = (
    get_pipeline,
    replace_pipeline,
)
