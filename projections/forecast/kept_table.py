"""A table of few rows that a process keeps as PostgreSQL writes arrays, one for each column, and gives back as parameters."""

from __future__ import annotations

from typing import NamedTuple


class Kept(NamedTuple):
    """A table that is kept: its columns with their types."""

    name: str
    columns: dict[str, str]

    def given(self) -> str:
        """SQL for its rows, from parameters."""
        arrays = ", ".join(f"%({self.name}_{column})s::{type_}[]" for column, type_ in self.columns.items())
        return f"SELECT * FROM unnest({arrays}) AS u ({', '.join(self.columns)})"

    def arrays(self) -> str:
        """SQL for its columns as texts of arrays, each NULL if the table is not to be kept."""
        return "".join(f", (SELECT k.{column} FROM to_keep_{self.name} k)" for column in self.columns)

    def to_keep(self, source: str, when: str) -> str:
        columns = ", ".join(f"coalesce(array_agg(x.{column})::text, '{{}}')::varchar AS {column}" for column in self.columns)
        return f"to_keep_{self.name} AS MATERIALIZED (SELECT {columns} FROM {source} x HAVING {when})"
