"""Imports in tests: a file is uploaded through the API, and a worker of ours is stepped until there is nothing left to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from threading import Event
from typing import Any

import pytest

from app.importing.worker import Importer
from app.process import children
from app.writing.committer import Committer
from tests.support.scenarios import Json, made
from tests.support.server import Client, Reply
from tests.support.worker import Worker

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


def done_under_kills(client: Client, url: str, found: Json, kills: int) -> Json:
    """An import as it is after workers looked at it and ran it, each of which was killed (-9) at some moment but for the last."""
    random, worker, started = Random(13), Worker("imports", env={"DATABASE_URL": url}), False

    def shown() -> Json:
        return made(client.get(f"{PATH}{found['id']}/"), 200)

    for left in reversed(range(kills + 1)):
        worker.start()
        try:
            assert children.wait_until(lambda: shown()["state"] != "inspecting", 120)
            if not started:
                made(client.post(f"{PATH}{found['id']}/start/"), 202)
                started = True
            more = random.randint(1, shown()["rows"] // (kills + 1))
            wanted = shown()["done"] + more if left else shown()["rows"] + 1  # until all is settled
            assert children.wait_until(lambda: shown()["done"] >= wanted or shown()["state"] == "done", 300)  # noqa: B023
        finally:
            worker.kill() if left else worker.stop()
    return shown()


def rows(client: Client, found: Json) -> list[Json]:
    """What was wrong with which row."""
    results: list[Json] = made(client.get(f"{PATH}{found['id']}/rows/?page_size=200"), 200)["results"]
    return results


def counts(found: Json) -> tuple[int, int, int, int]:
    """Created, updated, skipped, failed."""
    return found["created"], found["updated"], found["skipped"], found["failed"]
