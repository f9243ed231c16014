"""The documents as they are served."""

from __future__ import annotations

import msgspec

from app.http.operations import Json
from app.main import create_app
from app.schema import asyncapi, openapi
from app.settings import Settings

SETTINGS = Settings(database_url="postgresql://nowhere/none")


def openapi_document() -> Json:
    return _sent(openapi.document(create_app(SETTINGS)))


def asyncapi_document() -> Json:
    return _sent(asyncapi.document(SETTINGS))


def _sent(document: Json) -> Json:
    sent: Json = msgspec.json.decode(msgspec.json.encode(document))
    return sent
