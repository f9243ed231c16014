"""The product's source files, for the rules about them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT

PACKAGES = ("app", "consumers", "domain", "projections")


def modules(*packages: str) -> Iterator[Path]:
    """Paths of the packages' modules, relative to the project."""
    for package in packages or PACKAGES:
        yield from (path.relative_to(ROOT) for path in sorted((ROOT / package).rglob("*.py")))


def tree(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def texts(module: Path) -> Iterator[tuple[int, str]]:
    """Line and value of every string that is no docstring, bytes as Latin-1; of an f-string, its constant parts."""
    parsed = tree(module)
    docstrings = {
        id(node.value) for node in ast.walk(parsed) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(parsed):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in docstrings:
            yield node.lineno, node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
