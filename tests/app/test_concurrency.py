"""No update is lost where many work on the same deals at once, and all that is read of them agrees."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from random import Random
from typing import Any
from uuid import UUID

from app.writing.committer import Committer
from projections.rebuild import verify
from tests.support.commands import Company, fold, stream
from tests.support.scenarios import OPPORTUNITIES
from tests.support.server import Client, Reply, serving


class Hammer:
    """Threads that work on a few deals over HTTP, each with a connection of its own, and what was acknowledged to them."""

    threads, rounds = 8, 25

    def __init__(self, port: int, company: Company, ids: list[str]) -> None:
        self._port = port
        self._token = company.admin.token
        self._ids = ids
        self._lock = threading.Lock()
        self.versions: dict[str, list[int]] = {id_: [] for id_ in ids}
        self.counted: Counter[str] = Counter()
        self.own: dict[tuple[str, str], int] = {}
        self.faults: list[str] = []

    def run(self) -> None:
        threads = [threading.Thread(target=self._work, args=(n,)) for n in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self.faults == []

    def _work(self, n: int) -> None:
        random = Random(n)
        with Client(self._port, self._token) as client:
            for turn in range(self.rounds):
                id_ = random.choice(self._ids)
                path = f"{OPPORTUNITIES}{id_}/"
                match turn % 3:
                    case 0:
                        self._count_up(client, id_, path)
                    case 1:
                        body = {"custom_fields": {f"of_{n}": turn}}
                        if self._acknowledged(id_, client.patch(path, body)):
                            self.own[id_, f"of_{n}"] = turn
                    case 2:
                        stage = random.choice(["discovery", "qualification", "proposal", "negotiation"])
                        self._acknowledged(id_, client.post(f"{path}transition/", {"stage": stage, "amount": str(turn)}))

    def _count_up(self, client: Client, id_: str, path: str) -> None:
        """Add one to what was read, if nobody was faster; else read again."""
        while True:
            read = client.get(path)
            so_far = read.json()["custom_fields"].get("counter", 0)
            reply = client.patch(path, {"custom_fields": {"counter": so_far + 1}}, If_Match=read.headers["etag"])
            if reply.status != 412:
                if self._acknowledged(id_, reply):
                    with self._lock:
                        self.counted[id_] += 1
                return

    def _acknowledged(self, id_: str, reply: Reply) -> bool:
        with self._lock:
            if reply.status != 200:
                self.faults.append(f"{reply.status} {reply.body!r}")
                return False
            self.versions[id_].append(reply.json()["version"])
            return True


def test_no_update_is_lost_where_many_work_on_the_same_deals(database_url: str) -> None:
    with closing(Committer(database_url)) as committer, serving(database_url, workers=2) as server:
        company = Company(committer)
        ids = [str(company.deal(f"Deal {n}")) for n in range(5)]
        hammer = Hammer(server.port, company, ids)
        hammer.run()
        with server.client(company.admin.token) as client:
            listed = {item["id"]: item for item in client.get(OPPORTUNITIES).json()["results"]}
            for id_ in ids:
                record = client.get(f"{OPPORTUNITIES}{id_}/").json()
                assert {name: record[name] for name in listed[id_]} == listed[id_]
                assert record["custom_fields"].get("counter", 0) == hammer.counted[id_]
                own = {key: value for (deal, key), value in hammer.own.items() if deal == id_}
                assert own.items() <= record["custom_fields"].items()
                events = stream(database_url, UUID(id_))
                assert [recorded.version for recorded in events] == list(range(1, record["version"] + 1))
                assert set(hammer.versions[id_]) >= set(range(2, record["version"] + 1)), "a change nobody was told of"
                state: Any = fold(events)
                assert (state.stage, state.custom_fields) == (record["stage"], record["custom_fields"])
                times = [recorded.meta.occurred_at for recorded in events]
                assert times == sorted(times)
    assert verify(database_url) == []
