"""Mutants that mutmut does not make: each number that stands outside of functions, one more and one less.

Bounds stand there, such as ``MAX_TAGS = 50``, and so do defaults of fields and the counts in patterns.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.mutants.mutant import Mutant

TREES = ("app", "consumers", "domain", "projections", "tests")
_COUNT = re.compile(r"(?<=[{,])\d+(?=})")


class Number(NamedTuple):
    """A number of a source, by its place in it."""

    line: int
    start: int
    end: int
    value: int


def numbers(source: str) -> Iterator[Number]:
    """The whole numbers outside of functions; of the texts there, the last number in braces, as in ``[a-z]{0,63}``."""
    for node in _outside(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.lineno == node.end_lineno and node.end_col_offset is not None:
            text = source.splitlines()[node.lineno - 1].encode()[node.col_offset : node.end_col_offset].decode()
            if type(node.value) is int:
                yield Number(node.lineno, node.col_offset, node.end_col_offset, node.value)
            elif isinstance(node.value, str):
                for found in _COUNT.finditer(text):
                    before = node.col_offset + len(text[: found.start()].encode())
                    yield Number(node.lineno, before, before + len(found[0]), int(found[0]))


def _outside(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _outside(child)


def changed(source: str, number: Number, value: int) -> str:
    lines = source.splitlines(keepends=True)
    line = lines[number.line - 1].encode()
    lines[number.line - 1] = (line[: number.start] + str(value).encode() + line[number.end :]).decode()
    return "".join(lines)


def mutants(files: Sequence[str]) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with the source of its file."""
    for file in files:
        source = Path(file).read_text()
        for number in numbers(source):
            for value in (number.value + 1, number.value - 1):
                new = changed(source, number, value)
                was, becomes = (text.splitlines()[number.line - 1].strip() for text in (source, new))
                yield Mutant(file, "", was, becomes), new


def survivors(files: Sequence[str], options: Sequence[str], workers: int) -> tuple[Counter[str], list[Mutant]]:
    """How many there are, by file, and those that no test of their tree notices, each looked at in a copy of the sources."""
    made = list(mutants(files))
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(workers) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            copies.put(_copy(Path(directory) / str(number)))

        def survives(mutant: Mutant, source: str) -> bool:
            copy = copies.get()
            place = copy / mutant.file
            kept = place.read_text()
            try:
                place.write_text(source)
                run = [sys.executable, "-m", "pytest", "-x", "-q", *options, *_tests(mutant.file)]
                return subprocess.run(run, cwd=copy, capture_output=True, check=False).returncode == 0
            finally:
                place.write_text(kept)
                copies.put(copy)

        alive = list(pool.map(lambda one: survives(*one), made))
    return Counter(mutant.file for mutant, _ in made), [mutant for (mutant, _), lives in zip(made, alive, strict=True) if lives]


def _tests(file: str) -> list[str]:
    """Those of a file's tree, the likely ones first."""
    tree, *_, name = file.split("/")
    likely = (
        f"tests/{tree}/test_bounds.py",
        *(f"{place}/test_{name}" for place in (f"tests/{tree}", f"tests/{Path(file).parent}")),
    )
    return [*dict.fromkeys(path for path in likely if Path(path).exists()), f"tests/{tree}"]


def _copy(place: Path) -> Path:
    for tree in TREES:
        shutil.copytree(tree, place / tree, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("pyproject.toml", place)
    return place
