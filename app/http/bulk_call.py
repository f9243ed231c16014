"""A call of many operations as it is done: all at once, or part by part with others' turns in between; and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.http import problems
from app.http.bulk_operations import Mode
from app.http.problems import Refused
from app.process.failures import Unavailable
from app.writing.bulk import Bulk, BulkOutcome, Results
from app.writing.envelope import Envelope, Outcome, Result
from domain.errors import DomainError, Forbidden, Unauthenticated
from domain.event import Command
from projections.idempotency_records import Key


class ItemResult(Struct, kw_only=True):
    """What became of an operation: ``status`` is that of the single request; ``code``, ``detail`` and ``errors`` are those of its
    problem."""

    index: int
    status: int
    id: UUID | UnsetType = UNSET
    version: int | UnsetType = UNSET
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    errors: dict[str, list[str]] | UnsetType = UNSET


class Counts(Struct):
    """How many operations had each result."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    failed: int = 0


class BulkAnswer(Struct):
    """The results in the order of the operations."""

    results: list[ItemResult]
    counts: Counts


@dataclass(frozen=True)
class Call:
    """A call as it was read: the commands, or why there is none, and the command that deletes. ``report`` is told of internal
    errors, ``size`` says how many commands are committed together where a call need not be done as a whole."""

    mode: Mode
    commands: Sequence[Envelope | Exception]
    delete: type[Command]
    key: tuple[Key, bytes] | None
    report: Callable[[Exception], object]
    size: Callable[[], int]

    async def run(self, execute: Callable[[Bulk], Awaitable[BulkOutcome]]) -> BulkAnswer | str:
        """The answer, or the one that was given before. An atomic call is one transaction; of others each part is, and what
        cannot be done after the first part is refused by operation.

        Raises ``Unavailable``, ``Unauthenticated``, ``Forbidden`` if nothing was done, and ``KeyReused``.
        """
        answer = BulkAnswer([], Counts())
        while (first := len(answer.results)) < len(self.commands):
            try:
                outcome = await execute(self._part(answer))
            except (Unavailable, Unauthenticated, Forbidden) as error:
                if not first:
                    raise
                self._add(answer, [error] * (len(self.commands) - first))
                break
            if outcome.replayed is not None:
                return outcome.replayed
            if outcome.resumed is not None:
                answer = msgspec.json.decode(outcome.resumed, type=BulkAnswer)
                continue
            results = list(chain.from_iterable(outcome.results))
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, DomainError | Refused):
                    self.report(result)
            self._add(answer, results)
        return answer

    def _part(self, before: BulkAnswer) -> Bulk:
        """The commands that come next."""
        if self.mode == "atomic":
            return Bulk([self.commands], partial(self._kept, before), self.key)
        first = len(before.results)
        last = first + self.size()
        units = [[command] for command in self.commands[first:last]]
        records = [result.id if result.status < 400 and isinstance(result.id, UUID) else None for result in before.results]
        return Bulk(units, partial(self._kept, before), self.key, records, last >= len(self.commands))

    def _kept(self, before: BulkAnswer, results: Results) -> str | None:
        """The response to keep under an idempotency key. A refused call can be sent again, as any refused request."""
        answer = BulkAnswer([*before.results], msgspec.structs.replace(before.counts))
        self._add(answer, list(chain.from_iterable(results)))
        return None if self.mode == "atomic" and answer.counts.failed else msgspec.json.encode(answer).decode()

    def _add(self, answer: BulkAnswer, results: Sequence[Result]) -> None:
        counts = answer.counts
        for result in results:
            index = len(answer.results)
            if not isinstance(result, Outcome):
                answer.results.append(_refused(index, result))
                counts.failed += 1
                continue
            command = self.commands[index]
            deleted = isinstance(command, Envelope) and isinstance(command.command, self.delete)
            status = 201 if result.status == "created" else 204 if deleted else 200
            answer.results.append(ItemResult(index=index, status=status, id=result.stream_id, version=result.version))
            setattr(counts, result.status, getattr(counts, result.status) + 1)


def _refused(index: int, error: Exception) -> ItemResult:
    problem = problems.from_exception(error)
    errors = {name: list(messages) for name, messages in problem.errors.items()} if problem.errors else UNSET
    return ItemResult(index=index, status=problem.status, code=problem.code, detail=problem.detail, errors=errors)
