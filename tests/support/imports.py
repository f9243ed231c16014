"""Imports in tests: a file is uploaded through the API, and a worker of ours is stepped until there is nothing left to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest

from app.importing.worker import Importer
from app.writing.committer import Committer
from tests.support.scenarios import Json, made
from tests.support.server import Client, Reply

PATH = "/api/imports/"
BOUNDARY = "a-boundary-of-tests"


def multipart(parts: Sequence[tuple[str, str | None, bytes]]) -> bytes:
    """A body of parts: name, file name and content."""
    body = bytearray()
    for name, file_name, content in parts:
        named = f'; filename="{file_name}"' if file_name is not None else ""
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
    return bytes(body + f"--{BOUNDARY}--\r\n".encode())


def send(
    client: Client, data: bytes, kind: str = "opportunities", *histories: bytes, name: str = "file.csv", **options: Any
) -> Reply:
    parts: list[tuple[str, str | None, bytes]] = [("kind", None, kind.encode()), ("file", name, data)]
    parts += [("history", f"history{number}.csv", one) for number, one in enumerate(histories)]
    if options:
        parts.append(("options", None, json.dumps(options).encode()))
    return client.post(PATH, multipart(parts), Content_Type=f"multipart/form-data; boundary={BOUNDARY}")


class Work:
    """A worker, stepped by hand."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.committer = Committer(url)
        self.importer = Importer(url, self.committer, Event())

    def all(self) -> None:
        while self.importer.step():
            pass

    def uploaded(self, client: Client, data: bytes, kind: str = "opportunities", *histories: bytes, **options: Any) -> Json:
        """An import whose file was looked at."""
        id_ = made(send(client, data, kind, *histories, **options))["id"]
        self.all()
        return made(client.get(f"{PATH}{id_}/"), 200)

    def imported(self, client: Client, data: bytes, kind: str = "opportunities", *histories: bytes, **options: Any) -> Json:
        """An import that ran to its end."""
        return self.started(client, self.uploaded(client, data, kind, *histories, **options))

    def started(self, client: Client, found: Json, verb: str = "start/") -> Json:
        made(client.post(f"{PATH}{found['id']}/{verb}"), 202)
        self.all()
        return made(client.get(f"{PATH}{found['id']}/"), 200)


@pytest.fixture
def work(shared_database_url: str) -> Iterator[Work]:
    """A worker of the imports of a test's orgs."""
    with working(shared_database_url) as one:
        yield one


@contextmanager
def working(url: str) -> Iterator[Work]:
    work = Work(url)
    try:
        yield work
    finally:
        work.importer.close()
        work.committer.close()


def rows(client: Client, found: Json) -> list[Json]:
    """What was wrong with which row."""
    results: list[Json] = made(client.get(f"{PATH}{found['id']}/rows/?page_size=200"), 200)["results"]
    return results


def counts(found: Json) -> tuple[int, int, int, int]:
    """Created, updated, skipped, failed."""
    return found["created"], found["updated"], found["skipped"], found["failed"]
